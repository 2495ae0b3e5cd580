"""Reads rows of csv and jsonl files, compressed (`.gz`) or not, and of standard input."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import IO

import orjson

from streamer.formats.text import BOM

# csv's own limit is 128 KiB a field, and a long review may be larger.
_MAX_FIELD_BYTES = 1 << 27
_FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class FileError(Exception):
    """A file cannot be used. The message gives the reason, and what was found instead."""


def open_rows(path: str, format: str | None = None) -> tuple[IO[bytes], str]:
    """Open a file, `.gz` or not, or standard input for `-`; returns the stream and its format, csv or jsonl.

    Raises FileError if it is missing, or if neither its name nor `format` gives the format.
    """
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    format = format or _FORMATS.get(suffix) or ("jsonl" if path == "-" else None)
    if format not in ("csv", "jsonl"):
        raise FileError(f"{path}: not a .csv or .jsonl file (or .gz of one); --format names the kind")
    if path == "-":
        return sys.stdin.buffer, format
    try:
        if path.endswith(".gz"):
            return gzip.open(path), format  # type: ignore[return-value]  # It can be read like any stream.
        return Path(path).open("rb"), format
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from None


def read_values(stream: IO[bytes], format: str, text_column: str, name: str) -> Iterator[bytes]:
    """The value of each row as JSON: a csv row becomes an object of its columns, a jsonl line is passed on unchanged.

    Lines that are not JSON are passed on too: they become dead letters, as from Kafka. Blank lines are not rows.
    Raises FileError if the csv header, or the first object, lacks the column.
    """
    read = _csv_values if format == "csv" else _lines
    try:
        yield from read(stream, text_column, name)
    except (OSError, EOFError, zlib.error) as error:  # A damaged .gz, or a failing disk.
        raise FileError(f"{name}: {error}") from None


def _lines(stream: IO[bytes], text_column: str, name: str) -> Iterator[bytes]:
    lines = (line.rstrip(b"\r\n") for line in stream)
    rows = (line for line in lines if line.strip())
    first = next(rows, None)
    if first is None:
        return
    with contextlib.suppress(orjson.JSONDecodeError):
        row = orjson.loads(first.removeprefix(BOM))
        if isinstance(row, dict) and text_column.split(".")[0] not in row:
            raise _no_column(name, text_column, row)
    yield from chain((first,), rows)


def _csv_values(stream: IO[bytes], text_column: str, name: str) -> Iterator[bytes]:
    csv.field_size_limit(_MAX_FIELD_BYTES)
    # A byte that is not UTF-8 becomes a lone surrogate, which `_json_object` turns back into that byte.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.DictReader(text)
    try:
        columns = reader.fieldnames
        if columns is None:
            return
        if text_column not in columns:
            raise _no_column(name, text_column, columns)
        for row in reader:
            # Cells beyond the header have no name; missing cells have no value.
            yield _json_object({key: cell for key, cell in row.items() if isinstance(key, str)})
    except csv.Error as error:
        raise FileError(f"{name}: line {reader.line_num}: {error}") from None
    finally:
        text.detach()  # The caller closes the stream.


def _no_column(name: str, text_column: str, columns: Iterable[str]) -> FileError:
    return FileError(f"{name}: no text column {text_column!r}; the columns are {', '.join(columns) or 'none'}")


def _json_object(row: Mapping[str, str | None]) -> bytes:
    try:
        return orjson.dumps(row)
    except TypeError:  # Not UTF-8 in the file, so not in the value either: the decoder will report it.
        return json.dumps(row, ensure_ascii=False).encode(errors="surrogateescape")
