"""The error of a file that cannot be used, and what its messages list."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from streamer.printable import printable, shown_path

_LONGEST_NAME = 300  # Of a file in a message, in characters.
_LONGEST_COLUMN = 40  # Characters of a column's name in a list.
_MAX_COLUMNS = 20  # Of a table that are listed in a message.


class FileError(Exception):
    """A file cannot be used. The message names the file and the line, where they are known, and what is wrong.

    `what` must be printable; the name of the file is made so.
    """

    def __init__(self, what: str, file: str | None = None, line: int | None = None) -> None:
        """line: counted from 1."""
        self.what, self.file, self.line = what, file, line
        name = "" if file is None else printable(shown_path(file), _LONGEST_NAME)
        super().__init__(f"{name}{f', line {line}' if line else ''}: {what}" if name else what)


def listed_columns(columns: Iterable[str]) -> str:
    """The first names of columns, for a message; `none` if there are none."""
    shown = [printable(name, _LONGEST_COLUMN) for name in islice(columns, _MAX_COLUMNS + 1)]
    return ", ".join(shown[:_MAX_COLUMNS]) + (", …" if len(shown) > _MAX_COLUMNS else "") or "none"
