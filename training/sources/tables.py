"""Rows of tables (CSV, TSV and JSON Lines), each with the line where it begins.

bytes -> text -> (line, {column: value})
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

Row = tuple[int, Mapping[str, object]]  # The line where it begins, counted from 1, and its values by column.


class DataError(Exception):
    """A data file cannot be used; the message names the file, the line and the column."""

    def __init__(self, what: str, file: str, line: int | None = None, column: str | None = None) -> None:
        place = file + (f", line {line}" if line else "") + (f", column '{column}'" if column else "")
        super().__init__(f"{place}: {what}")
        self.file, self.line, self.column = file, line, column


def read_file(path: Path) -> bytes:
    """A file's bytes, decompressed when its name ends in .gz. Raises DataError."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except FileNotFoundError:
        raise DataError("no such file; is --data-dir right?", str(path)) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(str(error), str(path)) from error


def decode(data: bytes, name: str, encoding: str) -> str:
    """Decode the file called `name`. Raises DataError with the line that is not in this encoding."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"not {encoding} ({error.reason}); set `encoding` in the recipe", name, line) from error
    except LookupError:
        raise DataError(f"unknown encoding {encoding}", name) from None


def table_rows(data: bytes, name: str, encoding: str, columns: tuple[str, ...]) -> Iterator[Row]:
    """Rows of a table, each with the `columns`; the ending of `name` decides the format.

    Raises DataError for an empty, wrongly encoded or broken table and for a missing column.
    """
    text = decode(data, name, encoding)
    if not text.strip():
        raise DataError("the file is empty", name)
    suffix = Path(name.removesuffix(".gz")).suffix
    return _json_rows(text, name, columns) if suffix == ".jsonl" else _csv_rows(text, name, suffix, columns)


def _csv_rows(text: str, name: str, suffix: str, columns: tuple[str, ...]) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if suffix == ".tsv" else ",", strict=True)
    try:
        header = [column.strip() for column in next(rows)]
        if missing := [column for column in columns if column not in header]:
            raise DataError(f"no such column; there are {', '.join(header)}", name, 1, missing[0])
        while True:
            line = rows.line_num + 1  # Where the row begins: a quoted field may hold line breaks.
            if (row := next(rows, None)) is None:
                return
            if row and len(row) != len(header):
                raise DataError(f"{len(row)} fields, but the header has {len(header)}", name, line)
            if row:
                yield line, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise DataError(str(error), name, rows.line_num) from error


def _json_rows(text: str, name: str, columns: tuple[str, ...]) -> Iterator[Row]:
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except ValueError as error:
            raise DataError(f"not JSON ({error})", name, line) from error
        if not isinstance(row, dict):
            raise DataError("not a JSON object", name, line)
        if missing := [column for column in columns if column not in row]:
            raise DataError(f"no such field; there are {', '.join(row)}", name, line, missing[0])
        yield line, row
