"""Regular expressions in time linear in the text, by RE2: what is searched was written by strangers.

Python's own `re` tries ways through a pattern one after the other, so a text made for it can take years.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import re2

Search = Callable[[bytes], object]  # Of UTF-8; gives None where the pattern is nowhere in it.

# What RE2 lacks, by what it says of it: without these no search could go back, so they cannot be had.
_LACKING = ("invalid perl operator", "invalid escape sequence", "bad repetition operator", "invalid named capture")


class PatternError(ValueError):
    """The pattern cannot be used; the message says why."""


def compiled(pattern: str) -> Search:
    """A search for the pattern, in RE2's syntax (https://github.com/google/re2/wiki/Syntax). Raises PatternError."""
    return _compiled(pattern).search  # type: ignore[no-any-return]


def any_of(patterns: Sequence[str]) -> Search | None:
    """One search for all patterns at once, each of which `compiled` takes; None where they cannot be put together."""
    # Unended, a quotation would swallow the brackets around it.
    if any(r"\Q" in pattern for pattern in patterns):
        return None
    try:
        return compiled("|".join(f"(?:{pattern})" for pattern in patterns))
    except PatternError:  # Together they are too large.
        return None


def wildcards(patterns: Sequence[str]) -> Search:
    """A search for whole texts that match one of the patterns, in which `*` stands for anything."""
    alternatives = (".*".join(map(_escaped, pattern.split("*"))) for pattern in patterns)
    return compiled(rf"(?s)\A(?:{'|'.join(alternatives)})\z")


def _compiled(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        said = error.args[0]
        why = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        if why.startswith(_LACKING):
            why += " (look-around, back-references, possessive and atomic groups and \\Z are not there: texts are "
            why += "searched in linear time, in RE2's syntax)"
        raise PatternError(why) from None
    except UnicodeEncodeError:
        raise PatternError("half of a surrogate pair is no character") from None


def _escaped(text: str) -> str:
    escaped: str = re2.escape(text)
    return escaped
