"""The error of a file that cannot be used."""

from __future__ import annotations

from streamer.printable import printable, shown_path

_LONGEST_NAME = 300  # Of a file in a message, in characters.


class FileError(Exception):
    """A file cannot be used. The message names the file and the line, where they are known, and what is wrong.

    `what` must be printable; the name of the file is made so.
    """

    def __init__(self, what: str, file: str | None = None, line: int | None = None) -> None:
        """line: counted from 1."""
        self.what, self.file, self.line = what, file, line
        name = "" if file is None else printable(shown_path(file), _LONGEST_NAME)
        super().__init__(f"{name}{f', line {line}' if line else ''}: {what}" if name else what)
