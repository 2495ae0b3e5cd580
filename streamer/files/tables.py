"""Reads tables, for every command and for training: csv, tsv, JSON and Parquet, compressed or not, of any encoding.

    bytes -> decompressed -> UTF-8 -> rows

Damage is an error that names the file and the line, or a row that is left out and counted.
"""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import os
import stat
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Self, cast

import orjson

from streamer.files.bad_rows import BadRows
from streamer.files.compression import CHUNK, SUFFIXES, decompressed, on_disk, peek
from streamer.files.delimited import DelimitedRows, Row
from streamer.files.encoding import Encoding, as_utf8, codec_name
from streamer.files.errors import FileError
from streamer.files.json_rows import ArrayRows, line_rows
from streamer.files.options import TableOptions
from streamer.files.parquet import parquet_rows
from streamer.files.read_ahead import Interruptible
from streamer.files.wrong_kind import wrong_bytes, wrong_text
from streamer.printable import printable, shown_path

logger = logging.getLogger(__name__)

STANDARD_INPUT = "-"
_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_ALIASES = {"ndjson": "jsonl"}
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_ENOUGH = 8  # Bytes at the beginning that show what a text is.


class TableReader:
    """A table that is read once, from its first row to its last. A context manager, which closes the file."""

    def __init__(
        self,
        path: str,
        options: TableOptions | None = None,
        *,
        required: Sequence[str] = (),
        stopped: threading.Event | None = None,
        content: io.BytesIO | None = None,
        name: str | None = None,
    ) -> None:
        """Opens nothing yet: a pipe may let one wait.

        path: `-` is standard input. required: columns that a table with a header, or a schema, must have. stopped:
        ends the reading of a pipe when it is set. content: the bytes of the file, if it is not one of the disk. name:
        in messages, by default the path.
        """
        self.path = path
        self.name = name or path
        self.is_empty = True  # Nothing but blanks was read.
        self.bad_rows = BadRows(self.name, skip=options is not None and options.skip_bad_rows)
        self._options = options or TableOptions()
        self._required = required
        self.stopped = stopped or threading.Event()
        self._content = content
        self._closing = contextlib.ExitStack()
        self._line = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        self.bad_rows.log_summary()

    def rows(self) -> Iterator[Row]:
        """Each row: the line where it begins, its values, and its JSON where it came as such.

        Raises FileError for a file that is missing, damaged or of another kind, and for a missing column.
        """
        try:
            for row in self._open():
                self._line = row[0]
                yield row
        except FileError as error:
            if error.file is not None:
                raise
            raise FileError(error.what, self.name, self._line) from None
        except OSError as error:
            raise FileError(printable(error.strerror or str(error)), self.name) from None

    def values(self) -> Iterator[bytes]:
        """Each row as JSON: a row of csv as an object of its columns, a line of JSON unchanged. Raises as `rows`."""
        for _, row, value in self.rows():
            yield orjson.dumps(row) if value is None else value

    def _open(self) -> Iterator[Row]:
        codec = codec_name(self._options.encoding)
        stream, name = decompressed(self._raw(), self._closing, self._warn)
        head, stream = peek(stream, _shows_kind)
        if not head:
            return
        if (what := wrong_bytes(head, encoding_given=codec != "utf-8")) is not None:
            raise FileError(what)
        format = self._format(name)
        if format == "parquet":
            file = stream if stream.seekable() else self._closing.enter_context(on_disk(stream))
            self.bad_rows.unit = "row"
            self.is_empty = False
            yield from parquet_rows(file, self._required)
            return
        stream = as_utf8(stream, codec)
        encoding = Encoding(codec, head if codec == "utf-8" else b"")
        head, stream = peek(stream, _shows_kind)
        self.is_empty = not head.strip()
        if format == "json":  # Either kind.
            format = "jsonl" if head.lstrip()[:1] == b"{" else "json"
        if (what := wrong_text(head, format)) is not None:
            raise FileError(what)
        if format in _DELIMITERS:
            yield from self._delimited(stream, format, encoding)
        else:
            options = self._options
            if options.delimiter or options.quote or options.escape or not options.header:
                what = "--delimiter, --quote, --escape and --no-header are for csv and tsv"
                raise FileError(f"{what}; this is {format}")
            if format == "jsonl":
                yield from line_rows(stream, encoding, self.bad_rows)
            else:
                yield from ArrayRows(stream, encoding, self.bad_rows).read()

    def _raw(self) -> io.BufferedReader:
        if self._content is not None:
            return io.BufferedReader(self._content, CHUNK)
        if self.path == STANDARD_INPUT:
            try:
                number = sys.stdin.buffer.fileno()
            except OSError:  # Something in memory.
                return io.BufferedReader(sys.stdin.buffer, CHUNK)  # type: ignore[arg-type]
            # Ctrl-C could not end a thread that waits for a pipe.
            return io.BufferedReader(Interruptible(number, self.stopped), CHUNK)
        opened = self._closing.enter_context(Path(self.path).open("rb", CHUNK))  # noqa: SIM115
        file = cast(io.BufferedReader, opened)
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            return io.BufferedReader(Interruptible(file.fileno(), self.stopped), CHUNK)
        return file

    def _format(self, inner: str | None) -> str:
        """The format by option, by the file's name, or by that of the file in the zip; lines of JSON for a pipe."""
        if (given := self._options.format) is not None:
            format = _ALIASES.get(given.lower(), given.lower())
            if format not in _FORMATS.values():
                raise FileError(f"--format {printable(given)}: it is one of csv, tsv, jsonl, json and parquet")
            return format
        if self.path == STANDARD_INPUT and inner is None:
            return "json"
        for name in (self.path, inner or ""):
            suffix = _suffix(name)
            if suffix in _FORMATS:
                return _FORMATS[suffix]
        raise FileError("not named .csv, .tsv, .jsonl, .json or .parquet: --format names the kind")

    def _delimited(self, stream: io.BufferedReader, format: str, encoding: Encoding) -> Iterator[Row]:
        options = self._options
        dialect: dict[str, Any] = {
            "delimiter": _character("--delimiter", options.delimiter) or _DELIMITERS[format],
            "escapechar": _character("--escape", options.escape),
        }
        if (options.quote or "").lower() == "none":
            dialect["quoting"] = csv.QUOTE_NONE
        elif options.quote is not None:
            dialect["quotechar"] = _character("--quote", options.quote)
        special = [dialect["delimiter"], dialect["escapechar"]]
        special += [] if "quoting" in dialect else [dialect.get("quotechar", '"')]
        if len(special) > len(set(special)):
            raise FileError("--delimiter, --quote and --escape must differ")
        table = DelimitedRows(stream, dialect, encoding, self.bad_rows)
        return table.read(self._required, header=options.header, fixed_delimiter=options.delimiter is not None)

    def _warn(self, what: str) -> None:
        logger.warning("%s: %s", shown_path(self.name), what)


def _shows_kind(head: bytes) -> bool:
    begin = head.lstrip()
    return len(begin) >= _ENOUGH or b"\n" in begin


def _suffix(name: str) -> str:
    path = PurePosixPath(name.lower())
    while path.suffix in SUFFIXES:
        path = path.with_suffix("")
    return path.suffix


def _character(option: str, given: str | None) -> str | None:
    """The one character of an option. Raises FileError."""
    if given is None:
        return None
    character = {"tab": "\t", "\\t": "\t"}.get(given.lower(), given)
    if len(character) != 1 or character in "\r\n\0" or (character == '"' and option == "--delimiter"):
        raise FileError(f"{option} {printable(given)!r}: one character is expected")
    return character
