"""Rows read ahead in a thread, and let go at a rate."""

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

_ROWS_AHEAD = 2000
_ROWS_AT_ONCE = 500
# Rows go in bursts of so much time: a Kafka batch for each row would be slow.
_BURST_SECONDS = 0.1
# How long a thread takes to notice that it is not needed any more.
_NOTICE_SECONDS = 0.05

Value = TypeVar("Value")


class TokenBucket:
    """How many rows may go now, at `rate` a second on average. Pure: callers pass a monotonic time in seconds."""

    def __init__(self, rate: float, now: float) -> None:
        """A rate of 0 is no limit. After a delay up to a burst more may go, so that the average is kept."""
        self._rate = rate
        self._burst = max(1.0, rate * _BURST_SECONDS)
        self._tokens = 1.0
        self._filled_at = now

    def take(self, wanted: int, now: float) -> int:
        """How many of `wanted` rows may go; they count as gone."""
        if not self._rate:
            return wanted
        self._tokens = min(2 * self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        taken = min(wanted, int(self._tokens))
        self._tokens -= taken
        return taken

    def wait(self, wanted: int) -> float:
        """Seconds after `take` until `wanted` rows, or a burst of them, may go."""
        return max(0.0, min(wanted, self._burst) - self._tokens) / self._rate if self._rate else 0.0


class Interruptible(io.RawIOBase):
    """A file that is at its end once `stopped` is set: a thread that waits for a pipe could not be ended else."""

    def __init__(self, file: int, stopped: threading.Event) -> None:
        self._file = file
        self._stopped = stopped

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Wait for bytes; 0 at the end."""
        while not self._stopped.is_set():
            if select.select([self._file], [], [], _NOTICE_SECONDS)[0]:
                return os.readv(self._file, [buffer])
        return 0


async def in_thread(work: Callable[[], Value], stopped: threading.Event) -> Value:
    """Work in a thread; cancelled, set `stopped` and wait for the work, which is to end then."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stopped.set()
        await asyncio.gather(working, return_exceptions=True)
        raise


class ReadAhead:
    """Rows of an iterator that may block, as a pipe's does: each goes on as soon as it is there, with all that are.

    So many rows are read ahead and no more.
    """

    def __init__(self, rows: Iterator[bytes], rate: float, stopped: threading.Event) -> None:
        """`rate` is in rows a second; 0 is no limit. Reading ends when `stopped` is set, and sets it at the end."""
        self._source = rows
        self._pace = TokenBucket(rate, time.monotonic())
        self._read: queue.Queue[bytes] = queue.Queue(_ROWS_AHEAD)
        self._stopped = stopped

    async def read(self) -> None:
        """Read to the end; raises what the iterator raises. To run beside `batches`."""
        try:
            await in_thread(self._pump, self._stopped)
        finally:
            self._stopped.set()

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """What is there, as far as it may go."""
        while rows := await asyncio.to_thread(self._take):
            while rows:
                ready = self._pace.take(len(rows), time.monotonic())
                if ready:
                    yield rows[:ready]
                    rows = rows[ready:]
                else:
                    await asyncio.sleep(self._pace.wait(len(rows)))

    def _pump(self) -> None:
        for row in self._source:
            while not self._stopped.is_set() and not self._put(row):
                pass
            if self._stopped.is_set():
                return

    def _put(self, row: bytes) -> bool:
        try:
            self._read.put(row, timeout=_NOTICE_SECONDS)
        except queue.Full:
            return False
        return True

    def _take(self) -> list[bytes]:
        """At least one row; none after the last."""
        rows: list[bytes] = []
        while not rows:
            ended = self._stopped.is_set()  # Before looking: what was read until then is there now.
            try:
                rows.append(self._read.get(timeout=_NOTICE_SECONDS))
            except queue.Empty:
                if ended:
                    break
        with contextlib.suppress(queue.Empty):
            while rows and len(rows) < _ROWS_AT_ONCE:
                rows.append(self._read.get_nowait())
        return rows
