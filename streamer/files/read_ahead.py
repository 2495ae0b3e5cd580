"""Reads rows ahead in a thread and passes them on at a limited rate."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import queue
import select
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from typing_extensions import Buffer

_MAX_ROWS_AHEAD = 2000
_MAX_BATCH = 500
# Rows are released in bursts of this length: a Kafka batch for each row would be slow.
_BURST_SECONDS = 0.1
# How long a thread takes to notice that it should stop.
_STOP_CHECK_SECONDS = 0.05

Value = TypeVar("Value")


class TokenBucket:
    """Limits rows to `rate` a second on average. Pure: callers pass a monotonic time in seconds."""

    def __init__(self, rate: float, now: float) -> None:
        """A rate of 0 means no limit. After a delay, up to one more burst may be sent to keep the average."""
        self._rate = rate
        self._burst = max(1.0, rate * _BURST_SECONDS)
        self._tokens = 1.0
        self._filled_at = now

    def take(self, wanted: int, now: float) -> int:
        """Take tokens for up to `wanted` rows; returns the number of tokens taken."""
        if not self._rate:
            return wanted
        self._tokens = min(2 * self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        taken = min(wanted, int(self._tokens))
        self._tokens -= taken
        return taken

    def wait(self, wanted: int) -> float:
        """Seconds after `take` until there are tokens for `wanted` rows, or for a burst of them."""
        return max(0.0, min(wanted, self._burst) - self._tokens) / self._rate if self._rate else 0.0


class Interruptible(io.RawIOBase):
    """A file that ends when `stopped` is set. A thread that waits for a pipe cannot be ended in any other way."""

    def __init__(self, file: int, stopped: threading.Event) -> None:
        self._file = file
        self._stopped = stopped

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Wait for bytes; 0 at the end."""
        while not self._stopped.is_set():
            if select.select([self._file], [], [], _STOP_CHECK_SECONDS)[0]:
                return os.readv(self._file, [buffer])
        return 0


async def in_thread(work: Callable[[], Value], stopped: threading.Event) -> Value:
    """Run `work` in a thread. On cancellation, set `stopped`, which must end the work, and wait for its end."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stopped.set()
        await asyncio.gather(working, return_exceptions=True)
        raise


class ReadAhead:
    """Batches of rows from an iterator that may block, such as a pipe's. No row waits until the next one is read.

    At most 2,000 rows are read ahead.
    """

    def __init__(self, rows: Iterator[bytes], rate: float, stopped: threading.Event) -> None:
        """`rate` is in rows a second; 0 means no limit. Reading ends when `stopped` is set, and sets it at its end."""
        self._rows = rows
        self._bucket = TokenBucket(rate, time.monotonic())
        self._read: queue.Queue[bytes] = queue.Queue(_MAX_ROWS_AHEAD)
        self._stopped = stopped

    async def read(self) -> None:
        """Read to the end, concurrently with `batches`. Raises what the iterator raises."""
        try:
            await in_thread(self._fill, self._stopped)
        finally:
            self._stopped.set()

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """Rows that have been read, as soon as the rate allows."""
        while rows := await asyncio.to_thread(self._take):
            while rows:
                ready = self._bucket.take(len(rows), time.monotonic())
                if ready:
                    yield rows[:ready]
                    rows = rows[ready:]
                else:
                    await asyncio.sleep(self._bucket.wait(len(rows)))

    def _fill(self) -> None:
        for row in self._rows:
            while not self._stopped.is_set() and not self._put(row):
                pass
            if self._stopped.is_set():
                return

    def _put(self, row: bytes) -> bool:
        try:
            self._read.put(row, timeout=_STOP_CHECK_SECONDS)
        except queue.Full:
            return False
        return True

    def _take(self) -> list[bytes]:
        """At least one row; none after the last."""
        rows: list[bytes] = []
        while not rows:
            ended = self._stopped.is_set()  # Before reading the queue, which then holds every row that was read.
            try:
                rows.append(self._read.get(timeout=_STOP_CHECK_SECONDS))
            except queue.Empty:
                if ended:
                    break
        with contextlib.suppress(queue.Empty):
            while rows and len(rows) < _MAX_BATCH:
                rows.append(self._read.get_nowait())
        return rows
