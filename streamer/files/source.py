"""Rows of csv and jsonl files as records, and results as lines: labelling and producing without or before Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, TextIO

import orjson

from streamer.events import CommitOutcome, Message, Record, TopicPartition

_ROWS_A_POLL = 1000
# csv's own limit is 128 KiB a field, less than a long review may have.
_FIELD_BYTES = 1 << 27


class FileError(Exception):
    """The input file cannot be used; the message says why, and what was found instead."""


def open_rows(path: str, kind: str | None = None) -> tuple[IO[bytes], str]:
    """Open a file, `.gz` or not, or standard input for `-`; gives the stream and its kind, csv or jsonl.

    Raises FileError where it is missing or its kind is not known from its name or `kind`.
    """
    name = path.removesuffix(".gz")
    kinds = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    kind = kind or kinds.get(Path(name).suffix.lower()) or ("jsonl" if path == "-" else None)
    if kind not in ("csv", "jsonl"):
        raise FileError(f"{path}: not a .csv or .jsonl file (or .gz of one); --format names the kind")
    if path == "-":
        return sys.stdin.buffer, kind
    try:
        if path.endswith(".gz"):
            return gzip.open(path), kind  # type: ignore[return-value]  # It reads like any stream.
        return Path(path).open("rb"), kind
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from None


def read_values(stream: IO[bytes], kind: str, text_column: str, name: str) -> Iterator[bytes]:
    """The value of each row as JSON: a csv row becomes an object of its columns, a jsonl line stays as it is.

    Lines that are not JSON pass as they are: they become dead letters, like the same value from Kafka.
    Blank lines are no rows. Raises FileError where the header of a csv, or the first object, lacks the column.
    """
    try:
        yield from _csv_values(stream, text_column, name) if kind == "csv" else _lines(stream, text_column, name)
    except (OSError, EOFError, zlib.error) as error:  # A broken .gz, a disk that fails.
        raise FileError(f"{name}: {error}") from None


def _lines(stream: IO[bytes], text_column: str, name: str) -> Iterator[bytes]:
    lines = (line.rstrip(b"\r\n") for line in stream)
    rows = (line for line in lines if line.strip())
    first = next(rows, None)
    if first is None:
        return
    with contextlib.suppress(orjson.JSONDecodeError):
        row = orjson.loads(first.removeprefix(b"\xef\xbb\xbf"))
        if isinstance(row, dict) and text_column.split(".")[0] not in row:
            raise FileError(f"{name}: no text column {text_column!r}; the columns are {', '.join(row) or 'none'}")
    yield from chain((first,), rows)


def _csv_values(stream: IO[bytes], text_column: str, name: str) -> Iterator[bytes]:
    csv.field_size_limit(_FIELD_BYTES)
    # A byte that is not UTF-8 becomes a lone surrogate, which the row's value turns back into that byte.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.DictReader(text)
    try:
        columns = reader.fieldnames
        if columns is None:
            return
        if text_column not in columns:
            raise FileError(f"{name}: no text column {text_column!r}; the columns are {', '.join(columns) or 'none'}")
        for row in reader:
            # Cells beyond the header have no name; missing ones no value.
            yield _object({key: cell for key, cell in row.items() if isinstance(key, str)})
    except csv.Error as error:
        raise FileError(f"{name}: line {reader.line_num}: {error}") from None
    finally:
        text.detach()  # The stream is the caller's to close.


def _object(row: Mapping[str, str | None]) -> bytes:
    try:
        return orjson.dumps(row)
    except TypeError:  # Not UTF-8 in the file, so not in the value either: the decoder will say so.
        return json.dumps(row, ensure_ascii=False).encode(errors="surrogateescape")


class RowSource:
    """Values as records of one partition; their offsets are the rows' numbers from 0. Implements `ports.Source`."""

    def __init__(self, values: Iterator[bytes], name: str, created_ms: int) -> None:
        self.partition = TopicPartition(name, 0)
        self._values = values
        self._created_ms = created_ms
        self._next = 0
        self._paused = False

    async def poll(self, wait: float) -> Mapping[TopicPartition, Sequence[Record]] | None:
        """Up to a thousand rows; None after the last."""
        if self._paused:
            await asyncio.sleep(wait)
            return {}
        values = await asyncio.to_thread(lambda: list(islice(self._values, _ROWS_A_POLL)))
        if not values:
            return None
        first, self._next = self._next, self._next + len(values)
        topic = self.partition.topic
        return {
            self.partition: [
                Record(topic, 0, offset, self._created_ms, None, value) for offset, value in enumerate(values, first)
            ]
        }

    def pause(self) -> int:
        """Hand out nothing for now."""
        self._paused = True
        return 1

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Rows come in their order: never asked for."""

    def positions(self) -> Mapping[TopicPartition, int]:
        """Rows have no gaps."""
        return {}

    def resume(self) -> None:
        """Hand out rows again."""
        self._paused = False

    def watermarks(self) -> Mapping[TopicPartition, int]:
        """Unknown: a stream says where it ends only when it does."""
        return {}


class LineSink:
    """Writes each result as a line, in the order of the rows. Implements `ports.Delivery`."""

    def __init__(self, output: TextIO | IO[bytes], written: Callable[[int], Any]) -> None:
        """`written` is told how many lines were added."""
        self._output: Any = output
        self._written = written
        self.lines = 0

    async def assigned(self, _: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Rows come from the first on."""
        return {}

    async def revoked(self, _: Sequence[TopicPartition]) -> None:
        """What is written stays."""

    async def send(self, _: TopicPartition, __: int, messages: Sequence[Message]) -> Awaitable[None]:
        """Write the messages; done when it returns. Raises FileError where that fails."""
        lines = [_line(message) for message in messages]
        try:
            await asyncio.to_thread(self._output.write, b"".join(lines))
        except OSError as error:
            raise FileError(f"the output cannot be written: {error.strerror or error}") from None
        self.lines += len(lines)
        self._written(len(lines))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        """A file has no offsets to keep."""
        return CommitOutcome.DONE


def _line(message: Message) -> bytes:
    headers = dict(message.headers)
    reason, detail = headers.get("dlq.reason"), headers.get("dlq.detail")
    if reason is None:
        return (message.value or b"null") + b"\n"
    row = int(headers["dlq.offset"] or 0)
    return orjson.dumps({"error": reason.decode(), "detail": (detail or b"").decode(), "row": row}) + b"\n"
