"""Regular expressions by RE2, which searches in linear time: the searched texts come from strangers.

Python's own `re` backtracks, so a malicious text can take it years.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import re2

Search = Callable[[bytes], object]  # Searches UTF-8; returns None if there is no match.

# RE2's messages for features that it lacks because they need backtracking.
_LACKING = ("invalid perl operator", "invalid escape sequence", "bad repetition operator", "invalid named capture")


class PatternError(ValueError):
    """The pattern cannot be used. The message gives the reason."""


def compiled(pattern: str) -> Search:
    """A search for the pattern, in RE2's syntax (https://github.com/google/re2/wiki/Syntax). Raises PatternError."""
    return _compiled(pattern).search  # type: ignore[no-any-return]


def any_of(patterns: Sequence[str]) -> Search | None:
    """One search for all patterns at once, each valid for `compiled`; None if they cannot be combined."""
    # An unclosed quotation would include the brackets around it.
    if any(r"\Q" in pattern for pattern in patterns):
        return None
    try:
        return compiled("|".join(f"(?:{pattern})" for pattern in patterns))
    except PatternError:  # Together they are too large.
        return None


def wildcards(patterns: Sequence[str]) -> Search:
    """A search for whole texts that match one of the patterns, in which `*` matches anything."""
    alternatives = (".*".join(map(_escaped, pattern.split("*"))) for pattern in patterns)
    return compiled(rf"(?s)\A(?:{'|'.join(alternatives)})\z")


def _compiled(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        message = error.args[0]
        why = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
        if why.startswith(_LACKING):
            why += " (look-around, back-references, possessive and atomic groups and \\Z are not supported: patterns "
            why += "are in RE2's syntax, which is searched in linear time)"
        raise PatternError(why) from None
    except UnicodeEncodeError:
        raise PatternError("half of a surrogate pair is not a character") from None


def _escaped(text: str) -> str:
    escaped: str = re2.escape(text)
    return escaped
