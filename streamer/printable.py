"""Text from outside, as it may be shown in a message."""

from __future__ import annotations


def printable(text: str, limit: int = 80) -> str:
    r"""The text with what a terminal would interpret written as escapes (`\x1b`), cut after `limit` characters.

    Letters of all scripts stay; control and format characters, line breaks and lone surrogates do not.
    """
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join(character if character.isprintable() else _escape(character) for character in shown)
    return shown + "…" if len(text) > limit else shown


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # A byte that is in no encoding's place, as Python reads file names.
        code -= 0xDC00
    width, prefix = (2, "x") if code < 0x100 else (4, "u") if code < 0x10000 else (8, "U")
    return f"\\{prefix}{code:0{width}x}"
