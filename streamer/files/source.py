"""Reads the rows of a file as records of one partition."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from streamer.events import Record, TopicPartition
from streamer.files.bad_rows import BadRows
from streamer.files.errors import FileError
from streamer.files.read_ahead import in_thread
from streamer.files.tables import TableReader

_POLL_ROWS = 1000


def overrides_for_rows(text_column: str) -> dict[str, Any]:
    """The settings for labelling a file, which replace those for Kafka."""
    return {
        "input": {"format": "json", "text_field": text_column},
        # A file is labelled to its end, however many of its rows are bad.
        "dead_letters": {"max_ratio": 1.0},
    }


@contextlib.asynccontextmanager
async def open_source(table: TableReader) -> AsyncIterator[RowSource | None]:
    """The rows of a table; None if there are none.

    Reads the first row before it yields, so that a wrong column is reported at once. Raises FileError.
    """
    with table:
        values = table.values()
        try:
            first = await in_thread(lambda: next(values, None), table.stopped)
            if first is None:
                yield None
            else:
                yield RowSource(chain((first,), values), _topic(table.path), time.time_ns() // 1_000_000)
        finally:
            table.stopped.set()


def nothing_labelled(path: str, errors: Mapping[str, int], bad: BadRows) -> FileError:
    """The error of a table that has rows of which none could be labelled. errors: by reason."""
    reasons = [f"{count:,} {reason}" for reason, count in errors.items()] + ([bad.summary()] if bad.counts else [])
    return FileError(f"no row could be labelled: {', '.join(reasons)}", path)


def _topic(path: str) -> str:
    """The file's name, which may be any bytes."""
    return (Path(path).name or path).encode(errors="surrogateescape").decode(errors="replace")


class RowSource:
    """Values as records of one partition, with row numbers from 0 as offsets. Implements `ports.Source`."""

    def __init__(self, values: Iterator[bytes], name: str, created_ms: int) -> None:
        """`name` is the topic of the records, `created_ms` their timestamp in milliseconds since the epoch."""
        self.partition = TopicPartition(name, 0)
        self._values = values
        self._created_ms = created_ms
        self._next_offset = 0
        self._paused = False

    async def poll(self, wait: float) -> Mapping[TopicPartition, Sequence[Record]] | None:
        """Up to a thousand rows; None after the last row."""
        if self._paused:
            await asyncio.sleep(wait)
            return {}
        values = await asyncio.to_thread(lambda: list(islice(self._values, _POLL_ROWS)))
        if not values:
            return None
        first, self._next_offset = self._next_offset, self._next_offset + len(values)
        topic = self.partition.topic
        return {
            self.partition: [
                Record(topic, 0, offset, self._created_ms, None, value) for offset, value in enumerate(values, first)
            ]
        }

    def pause(self) -> int:
        """Return no rows until `resume`."""
        self._paused = True
        return 1

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Does nothing: rows are only read in order."""

    def positions(self) -> Mapping[TopicPartition, int]:
        """Empty: rows have no gaps."""
        return {}

    def resume(self) -> None:
        """Return rows again."""
        self._paused = False

    def watermarks(self) -> Mapping[TopicPartition, int]:
        """Empty: the end of a stream is not known before it is read."""
        return {}
