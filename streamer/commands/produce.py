"""`streamer produce`: publishes the rows of a file to the input topic at a given rate."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Literal

import orjson

from streamer.events import Message
from streamer.files.bad_rows import row_count
from streamer.files.errors import FileError
from streamer.files.options import TableOptions
from streamer.files.read_ahead import ReadAhead, in_thread
from streamer.files.tables import STANDARD_INPUT, TableReader
from streamer.formats.json import MISSING, as_written, field_at_path, is_inexact
from streamer.formats.text import BOM
from streamer.kafka import Publisher
from streamer.observe.progress_bar import progress_bar
from streamer.printable import printable
from streamer.settings import Settings

_SENDS_IN_FLIGHT = 4


async def produce(
    settings: Settings,
    path: str,
    *,
    options: TableOptions | None = None,
    rate: float = 0.0,
    key_column: str | None = None,
    text_column: str | None = None,
    limit: int | None = None,
    repeat: int = 1,
) -> int:
    """Publish the rows of a table, or of standard input for `-`; returns their number, and says it on standard error.

    rate: rows a second; 0 is as fast as the brokers accept them. limit: of rows in total. repeat: how often to read the
    file. key_column: its value becomes the key; rows without one go to the partitions in turn. text_column: the text;
    by default `input.text_field`. Any other column is copied to that field.

    Raises FileError, BrokerUnreachable, TopicMissing and PublishRefused; rows acknowledged by then stay published.
    """
    source = settings.input
    mapping = RowMapping(source.topic, source.format, source.text_field, text_column or source.text_field, key_column)
    stopped = threading.Event()
    rows = _Rows(path, options or TableOptions(), mapping, repeat, stopped)
    async with contextlib.AsyncExitStack() as stack:
        all_values = rows.values()
        values = islice(stack.enter_context(contextlib.closing(all_values)), limit)
        first = await in_thread(lambda: next(values, None), stopped)  # A wrong column is reported before connecting.
        if first is None:
            if rows.left_out:
                raise FileError(f"no row could be sent: {rows.left_out}", path)
            return 0
        publisher = Publisher(settings.kafka, settings.output.compression)
        await publisher.start(source.topic)
        stack.push_async_callback(publisher.stop)
        advance = stack.enter_context(progress_bar(f"rows to {source.topic!r}", limit))
        sent = await _publish(publisher, mapping, ReadAhead(chain((first,), values), rate, stopped), advance)
    missing = "".join(f", {count:,} without the {what}" for what, count in rows.missing.items() if count)
    print(f"streamer: {row_count(sent)} sent to {source.topic}{missing}", file=sys.stderr)
    return sent


@dataclass(slots=True)
class _Rows:
    """The rows of a file as JSON, the file read `repeat` times."""

    path: str
    options: TableOptions
    mapping: RowMapping
    repeat: int
    stopped: threading.Event
    missing: dict[str, int] = field(default_factory=dict)  # How many rows have no text or no key.
    left_out: str = ""  # What became of the bad rows of a file without any other.

    def values(self) -> Generator[bytes]:
        """Raises FileError. A table with a header must have the columns; an object may lack them."""
        if self.path == STANDARD_INPUT and self.repeat > 1:
            raise FileError("standard input can be read only once")
        columns = {"text": self.mapping.text_column, "key": self.mapping.key_column}
        wanted = {f"{what} {printable(column)!r}": column for what, column in columns.items() if column is not None}
        self.missing = dict.fromkeys(wanted, 0)
        sent = 0
        for _ in range(self.repeat):
            with TableReader(self.path, self.options, required=tuple(wanted.values()), stopped=self.stopped) as table:
                for _, row, value in table.rows():
                    for what, column in wanted.items():
                        if column not in row and field_at_path(row, column) is MISSING:
                            self.missing[what] += 1
                    yield orjson.dumps(row) if value is None else value
                    sent += 1
                if not sent:
                    self.left_out = table.bad_rows.summary()


@dataclass(frozen=True, slots=True)
class RowMapping:
    """Converts rows to messages of the input topic. Pure. Columns may be dotted paths."""

    topic: str
    format: Literal["json", "text"]
    text_field: str
    text_column: str
    key_column: str | None

    def message(self, value: bytes, number: int, now: int) -> Message:
        """The message of row `number`. A row that is not a JSON object is sent unchanged, without a key."""
        key = None
        copies_text = self.text_column != self.text_field
        row = _json_object(value) if self.format == "text" or copies_text or self.key_column else None
        if row is not None:
            if self.key_column:
                given = field_at_path(row, self.key_column)
                # All of its digits, as the service reads ids and groups.
                exact = field_at_path(as_written(value), self.key_column) if is_inexact(given) else MISSING
                key = _as_bytes(given if exact is MISSING else exact)
            text = field_at_path(row, self.text_column)
            if self.format == "text":
                value = _as_bytes(text) or b""
            elif copies_text and text is not MISSING:
                value = _with_text(value, self.text_field, text) or orjson.dumps(_put(row, self.text_field, text))
        return Message(self.topic, key, value, (), now, number)


async def _publish(publisher: Publisher, mapping: RowMapping, rows: ReadAhead, advance: Callable[[int], None]) -> int:
    """Send the batches, a few of them in flight at a time; returns the number of rows.

    Raises FileError for a damaged file when all rows before the damage are acknowledged, and says how many they are.
    """
    slots = asyncio.Semaphore(_SENDS_IN_FLIGHT)

    async def acknowledge(sent: Awaitable[None], count: int) -> None:
        await sent
        advance(count)
        slots.release()

    damage: FileError | None = None

    async def read() -> None:
        nonlocal damage
        try:
            await rows.read()
        except FileError as error:
            damage = error

    number = 0
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            async for batch in rows.batches():
                now = time.time_ns() // 1_000_000
                messages = [mapping.message(row, number + index, now) for index, row in enumerate(batch)]
                number += len(messages)
                await slots.acquire()
                group.create_task(acknowledge(await publisher.send(messages), len(messages)))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if damage is not None:
        raise FileError(f"{damage.what} (sent before it: {row_count(number)})", damage.file, damage.line)
    return number


def _json_object(value: bytes) -> dict[str, Any] | None:
    try:
        row = orjson.loads(value.removeprefix(BOM))
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def _with_text(value: bytes, path: str, text: Any) -> bytes | None:
    """The row with the text at the path, and every digit of its whole numbers; None if it is nested too deep."""
    try:
        row = _put(json.loads(value.removeprefix(BOM)), path, text)
        return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
    except RecursionError:
        return None


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
