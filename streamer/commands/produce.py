"""`streamer produce`: the rows of a file into the input topic, at a rate."""

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
from streamer.files.source import FileError, open_rows, read_values
from streamer.formats.json import MISSING, field_at_path
from streamer.kafka import Publisher
from streamer.observe.progress_bar import progress_bar
from streamer.settings import Settings

_SENDS_IN_FLIGHT = 4


async def produce(
    settings: Settings,
    path: str,
    *,
    kind: str | None = None,
    rate: float = 0.0,
    key_column: str | None = None,
    text_column: str | None = None,
    limit: int | None = None,
    repeat: int = 1,
) -> int:
    """Publish the rows of a csv or jsonl file, `.gz` or not, or of standard input for `-`; returns how many.

    rate: rows a second; 0 is as fast as the brokers take them. limit: rows in all. repeat: how often to read the file.
    key_column: its value becomes the key; rows without one go round the partitions in turn.
    text_column: the text; unset, `input.text_field`. Another one is copied there.

    Raises FileError, BrokerUnreachable, TopicMissing and PublishRefused; what was acknowledged before that stays.
    """
    given = settings.input
    mapping = RowMapping(given.topic, given.format, given.text_field, text_column or given.text_field, key_column)
    stopped = threading.Event()
    async with contextlib.AsyncExitStack() as stack:
        source = stack.enter_context(contextlib.closing(_values(path, kind, mapping.text_column, repeat, stopped)))
        values = islice(source, limit)
        first = await in_thread(lambda: next(values, None), stopped)  # A wrong column is told before connecting.
        if first is None:
            return 0
        mapping.check(first, path)
        publisher = Publisher(settings.kafka, settings.output.compression)
        await publisher.start(given.topic)
        stack.push_async_callback(publisher.stop)
        advance = stack.enter_context(progress_bar(f"rows to {given.topic!r}", limit))
        return await _publish(publisher, mapping, ReadAhead(chain((first,), values), rate, stopped), advance)


def _values(path: str, kind: str | None, text_column: str, repeat: int, stopped: threading.Event) -> Generator[bytes]:
    if path == "-" and repeat > 1:
        raise FileError("-: standard input can be read only once")
    for _ in range(repeat):
        stream, found = open_rows(path, kind)
        with io.BufferedReader(Interruptible(stream.fileno(), stopped)) if path == "-" else stream as rows:
            yield from read_values(rows, found, text_column, path)


@dataclass(frozen=True, slots=True)
class RowMapping:
    """What a row becomes on the input topic. Pure. Columns may be dotted paths."""

    topic: str
    format: Literal["json", "text"]
    text_field: str
    text_column: str
    key_column: str | None

    def check(self, value: bytes, name: str) -> None:
        """Raises FileError where the first row of the file lacks the key column."""
        row = _object(value)
        if row is not None and self.key_column is not None and _at(row, self.key_column) is MISSING:
            raise FileError(f"{name}: no key column {self.key_column!r}; the columns are {', '.join(row) or 'none'}")

    def message(self, value: bytes, number: int, now: int) -> Message:
        """The message of row `number`. What is no JSON object goes as it is, without a key."""
        key = None
        moved = self.text_column != self.text_field
        row = _object(value) if self.format == "text" or moved or self.key_column else None
        if row is not None:
            key = _bytes(_at(row, self.key_column)) if self.key_column else None
            text = _at(row, self.text_column)
            if self.format == "text":
                value = _bytes(text) or b""
            elif moved and text is not MISSING:
                value = orjson.dumps(_put(row, self.text_field, text))
        return Message(self.topic, key, value, (), now, number)


async def _publish(publisher: Publisher, mapping: RowMapping, feed: ReadAhead, advance: Callable[[int], None]) -> int:
    """Send batch after batch, a few of them on their way at a time; returns how many rows."""
    slots = asyncio.Semaphore(_SENDS_IN_FLIGHT)

    async def acknowledge(sent: Awaitable[None], count: int) -> None:
        await sent
        advance(count)
        slots.release()

    number = 0
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(feed.read())
            async for rows in feed.batches():
                now = time.time_ns() // 1_000_000
                messages = [mapping.message(row, number + index, now) for index, row in enumerate(rows)]
                number += len(messages)
                await slots.acquire()
                group.create_task(acknowledge(await publisher.send(messages), len(messages)))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return number


def _object(value: bytes) -> dict[str, Any] | None:
    try:
        row = orjson.loads(value.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def _at(row: dict[str, Any], path: str) -> Any:
    """The column of that name or, where there is none, what the dotted path leads to."""
    return row[path] if path in row else field_at_path(row, path)


def _put(row: dict[str, Any], path: str, text: Any) -> dict[str, Any]:
    """Put the text where the path leads to, in place of what is in the way."""
    *parents, last = path.split(".")
    place = row
    for part in parents:
        if not isinstance(place.get(part), dict):
            place[part] = {}
        place = place[part]
    place[last] = text
    return row


def _bytes(found: Any) -> bytes | None:
    """Strings as they are, other values as JSON writes them; null and what is missing is none."""
    if found is MISSING or found is None:
        return None
    return found.encode() if isinstance(found, str) else orjson.dumps(found)
