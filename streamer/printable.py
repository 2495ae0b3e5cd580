"""How text from outside is shown on a terminal, in a log line and in an error: names, columns, paths, addresses.

No part of it is interpreted by a terminal, and no part is a secret that was pasted into the wrong place.
"""

from __future__ import annotations

import os
import re
from itertools import pairwise

_SHOWN_CHARACTERS = 80
_PATH_BYTES, _NAME_BYTES = 4095, 255  # Linux's PATH_MAX without its NUL, and NAME_MAX.
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/=_-]{40,}")
_DER = ("MII", "LS0tLS1CRUdJTi")  # How keys and certificates begin in base64: DER, and PEM that was encoded again.
_CREDENTIALS = re.compile(r"(?<=://)\S*@")


def printable(text: str, limit: int | None = _SHOWN_CHARACTERS) -> str:
    r"""The text on one line, with what a terminal would interpret as an escape: `\n`, `\x1b`, `\u202e`, `\ud800`.

    Control and format characters (BiDi overrides included), separators other than the space, lone surrogates, and what
    Unicode has not assigned become escapes. At most about `limit` characters are left, and then an ellipsis; None: all.
    """
    cut = limit is not None and len(text) > limit
    shown = text[:limit] if cut else text
    if not shown.isprintable():
        shown = "".join(character if character.isprintable() else _escape(character) for character in shown)
    return f"{shown}…" if cut else shown


def printable_lines(text: str) -> str:
    """As `printable`, line by line and whole: for tracebacks and messages of several lines."""
    return "\n".join(printable(line.replace("\t", "    "), None) for line in text.split("\n"))


def spaced(text: str) -> str:
    """The text with what a terminal would interpret replaced by spaces: for the cells of a table."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def why_not_a_path(path: str | os.PathLike[str]) -> str | None:
    """Why this cannot be the path of a file, in words that do not quote it; None for what can.

    Such a value is most often a secret: a key or a certificate where the path of its file was expected.
    """
    text = os.fspath(path)
    if "-----BEGIN" in text:
        return "a PEM text, not the path of a file"
    if "\0" in text or "\n" in text or "\r" in text:
        return "not the path of a file: it has line breaks or NUL characters"
    if len(text) > _PATH_BYTES or any(len(_bytes(name)) > _NAME_BYTES for name in re.split(r"[/\\]", text)):
        return "not the path of a file: it is too long"
    return None


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path as messages show it: printable, or only described if it is no path or looks like a key in base64."""
    text = os.fspath(path)
    if why_not_a_path(text) is not None or _looks_encoded(text):
        return f"(a value of {len(text):,} characters that does not look like a path)"
    return printable(text, None)


def without_credentials(text: str) -> str:
    """The text without the user and password of the URLs in it: `https://user:password@host/`.

    It may leave out more, since a password may hold any character: all from `://` to the last `@` before a space.
    """
    return _CREDENTIALS.sub("", text)


def reason_of(error: OSError) -> str:
    """Why a file could not be used, in the operating system's words and without the file's name."""
    if error.strerror or error.filename:
        return error.strerror or type(error).__name__
    return printable(str(error)) or type(error).__name__


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # A byte that is not UTF-8, as Python reads file names.
        number -= 0xDC00
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _looks_encoded(path: str) -> bool:
    """Whether a part of it is a long run of base64, with letters of both cases and digits as chance mixes them."""
    if path.startswith(_DER):
        return True
    for run in _BASE64_RUN.findall(path):
        changes = sum(_kind(one) != _kind(other) for one, other in pairwise(run))
        kinds = {_kind(character) for character in run}
        # In random base64 about two of three neighbours are of different kinds; in names few are.
        if kinds >= {"upper", "lower", "digit"} and changes > 0.4 * len(run):
            return True
    return False


def _kind(character: str) -> str:
    if character.isdigit():
        return "digit"
    return "upper" if character.isupper() else "lower" if character.islower() else "other"
