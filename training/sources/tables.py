"""Rows of tables, each with the line where it begins, as `streamer.files` reads them; and whole files.

file -> (line, {column: value})
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from streamer.files.bad_rows import BadRows
from streamer.files.compression import decompressed
from streamer.files.errors import FileError, listed_columns
from streamer.files.options import TableOptions
from streamer.files.tables import STANDARD_INPUT, TableReader
from streamer.formats.json import MISSING, field_at_path
from streamer.printable import printable, shown_path
from training.recipe import Source

logger = logging.getLogger(__name__)

Row = tuple[int, Mapping[str, object]]  # The line where it begins, counted from 1, and its values by column.

_CHUNK = 1 << 20


class DataError(Exception):
    """A data file cannot be used; the message names the file, the line and the column."""

    def __init__(self, what: str, file: str, line: int | None = None, column: str | None = None) -> None:
        place = shown_path(file) + (f", line {line}" if line else "")
        place += f", column '{printable(column)}'" if column else ""
        super().__init__(f"{place}: {what}")
        self.what, self.file, self.line, self.column = what, file, line, column


def file_pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes, decompressed, in pieces of a MiB. Raises DataError."""
    name = str(path)
    try:
        with ExitStack() as closing:
            _check(path)
            raw = closing.enter_context(path.open("rb"))
            stream, _ = decompressed(raw, closing, lambda what: logger.warning("%s: %s", name, what))
            while piece := stream.read(_CHUNK):
                yield piece
    except FileError as error:
        raise DataError(error.what, name) from None
    except OSError as error:
        raise DataError(error.strerror or str(error), name) from error


def _check(path: Path) -> None:
    """Raises DataError for a file that is missing, or that cannot be read several times, as training does."""
    if path.name == STANDARD_INPUT and not path.exists():
        raise DataError("standard input can be read only once: give a file", STANDARD_INPUT)
    if not path.exists():
        raise DataError("no such file; is --data-dir right? A path that begins with ./ is beside the recipe", str(path))
    if path.is_fifo():
        raise DataError("a pipe can be read only once: give a file", str(path))


def read_file(path: Path) -> bytes:
    """A file's bytes, decompressed. Raises DataError."""
    return b"".join(file_pieces(path))


def decode(data: bytes, name: str, encoding: str) -> str:
    """Decode the file called `name`. Raises DataError with the line that is not in this encoding."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"not {encoding} ({error.reason}); set `encoding` in the recipe", name, line) from error
    except LookupError:
        raise DataError(f"unknown encoding {encoding}", name) from None


class Table:
    """The table of a source."""

    def __init__(self, source: Source, path: str, name: str, content: bytes | None = None) -> None:
        """name: in errors. content: of a file that is not on the disk."""
        self._options = TableOptions(
            format=source.format,
            encoding=source.encoding,
            delimiter=source.delimiter,
            quote=source.quote,
            escape=source.escape,
            header=source.header,
            skip_bad_rows=source.skip_bad_rows,
        )
        self._path, self._name = path, name
        self._content = None if content is None else io.BytesIO(content)
        self._bad_rows = BadRows(name, skip=source.skip_bad_rows)

    def rows(self, columns: tuple[str, ...]) -> Iterator[Row]:
        """The rows with their `columns` alone, each by its name or its dotted path.

        Raises DataError for an empty or damaged table and for a missing column; rows that are damaged or lack one are
        left out where the source says so.
        """
        if self._content is None:
            _check(Path(self._path))
        try:
            with TableReader(
                self._path, self._options, required=columns, content=self._content, name=self._name
            ) as reader:
                self._bad_rows = reader.bad_rows
                for line, row, _ in reader.rows():
                    values = {column: field_at_path(row, column) for column in columns}
                    if missing := [column for column, value in values.items() if value is MISSING]:
                        what = f"no such field; there are {listed_columns(row)}"
                        self.bad_row("without a column", what, line, missing[0])
                    else:
                        yield line, values
        except FileError as error:
            raise DataError(error.what, self._name, error.line) from None
        if reader.is_empty:
            raise DataError("the file is empty", self._name)

    def bad_row(self, kind: str, what: str, line: int, column: str) -> None:
        """Leave out a row, or raise DataError. kind: what such rows have in common."""
        if not self._bad_rows.skip:
            raise DataError(what, self._name, line, column)
        self._bad_rows.found(kind, line, f"column '{printable(column)}': {what}")
