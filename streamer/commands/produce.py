"""`streamer produce`: publishes the rows of a file to the input topic at a given rate."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal

import orjson

from streamer.events import Message
from streamer.files.read_ahead import Interruptible, ReadAhead, in_thread
from streamer.files.tables import FileError, open_rows, read_values
from streamer.formats.json import MISSING, field_at_path
from streamer.formats.text import BOM
from streamer.kafka import Publisher
from streamer.observe.progress_bar import progress_bar
from streamer.settings import Settings

_SENDS_IN_FLIGHT = 4


async def produce(
    settings: Settings,
    path: str,
    *,
    format: str | None = None,
    rate: float = 0.0,
    key_column: str | None = None,
    text_column: str | None = None,
    limit: int | None = None,
    repeat: int = 1,
) -> int:
    """Publish the rows of a csv or jsonl file, `.gz` or not, or of standard input for `-`; returns their number.

    rate: rows a second; 0 is as fast as the brokers accept them. limit: of rows in total. repeat: how often to read the
    file. key_column: its value becomes the key; rows without one go to the partitions in turn. text_column: the text;
    by default `input.text_field`. Any other column is copied to that field.

    Raises FileError, BrokerUnreachable, TopicMissing and PublishRefused; rows acknowledged by then stay published.
    """
    source = settings.input
    mapping = RowMapping(source.topic, source.format, source.text_field, text_column or source.text_field, key_column)
    stopped = threading.Event()
    async with contextlib.AsyncExitStack() as stack:
        all_values = _values(path, format, mapping.text_column, repeat, stopped)
        values = islice(stack.enter_context(contextlib.closing(all_values)), limit)
        first = await in_thread(lambda: next(values, None), stopped)  # A wrong column is reported before connecting.
        if first is None:
            return 0
        mapping.check(first, path)
        publisher = Publisher(settings.kafka, settings.output.compression)
        await publisher.start(source.topic)
        stack.push_async_callback(publisher.stop)
        advance = stack.enter_context(progress_bar(f"rows to {source.topic!r}", limit))
        return await _publish(publisher, mapping, ReadAhead(chain((first,), values), rate, stopped), advance)


def _values(path: str, format: str | None, text_column: str, repeat: int, stopped: threading.Event) -> Generator[bytes]:
    if path == "-" and repeat > 1:
        raise FileError("-: standard input can be read only once")
    for _ in range(repeat):
        stream, found = open_rows(path, format)
        with io.BufferedReader(Interruptible(stream.fileno(), stopped)) if path == "-" else stream as rows:
            yield from read_values(rows, found, text_column, path)


@dataclass(frozen=True, slots=True)
class RowMapping:
    """Converts rows to messages of the input topic. Pure. Columns may be dotted paths."""

    topic: str
    format: Literal["json", "text"]
    text_field: str
    text_column: str
    key_column: str | None

    def check(self, value: bytes, name: str) -> None:
        """Raises FileError if the first row of the file lacks the key column."""
        row = _json_object(value)
        if row is not None and self.key_column is not None and _column(row, self.key_column) is MISSING:
            raise FileError(f"{name}: no key column {self.key_column!r}; the columns are {', '.join(row) or 'none'}")

    def message(self, value: bytes, number: int, now: int) -> Message:
        """The message of row `number`. A row that is not a JSON object is sent unchanged, without a key."""
        key = None
        copies_text = self.text_column != self.text_field
        row = _json_object(value) if self.format == "text" or copies_text or self.key_column else None
        if row is not None:
            key = _as_bytes(_column(row, self.key_column)) if self.key_column else None
            text = _column(row, self.text_column)
            if self.format == "text":
                value = _as_bytes(text) or b""
            elif copies_text and text is not MISSING:
                value = orjson.dumps(_put(row, self.text_field, text))
        return Message(self.topic, key, value, (), now, number)


async def _publish(publisher: Publisher, mapping: RowMapping, rows: ReadAhead, advance: Callable[[int], None]) -> int:
    """Send the batches, a few of them in flight at a time; returns the number of rows."""
    slots = asyncio.Semaphore(_SENDS_IN_FLIGHT)

    async def acknowledge(sent: Awaitable[None], count: int) -> None:
        await sent
        advance(count)
        slots.release()

    number = 0
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(rows.read())
            async for batch in rows.batches():
                now = time.time_ns() // 1_000_000
                messages = [mapping.message(row, number + index, now) for index, row in enumerate(batch)]
                number += len(messages)
                await slots.acquire()
                group.create_task(acknowledge(await publisher.send(messages), len(messages)))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return number


def _json_object(value: bytes) -> dict[str, Any] | None:
    try:
        row = orjson.loads(value.removeprefix(BOM))
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def _column(row: dict[str, Any], path: str) -> Any:
    """The column with that name or, if there is none, the value at the dotted path."""
    return row[path] if path in row else field_at_path(row, path)


def _put(row: dict[str, Any], path: str, text: Any) -> dict[str, Any]:
    """Put the text at the path, replacing any value that is not an object on the way."""
    *parents, last = path.split(".")
    place = row
    for part in parents:
        if not isinstance(place.get(part), dict):
            place[part] = {}
        place = place[part]
    place[last] = text
    return row


def _as_bytes(value: Any) -> bytes | None:
    """A string unchanged, any other value as JSON; None for null or a missing value."""
    if value is MISSING or value is None:
        return None
    return value.encode() if isinstance(value, str) else orjson.dumps(value)
