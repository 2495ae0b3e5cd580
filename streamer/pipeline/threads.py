"""The threads that decode, tokenise and encode beside the event loop, and the clock on their results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Value = TypeVar("Value")


class CpuThreads:
    """Two threads: one decodes and tokenises while the other encodes, so that no batch waits for a chunk."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, "cpu")

    async def run(self, work: Callable[[], Value], inline: bool) -> Value:
        """Do the work in a thread, or `inline` at once: for little work, a thread and back take longer."""
        if inline:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def shutdown(self) -> None:
        """Start nothing more, and do not wait."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def epoch_milliseconds() -> int:
    """Now, in milliseconds since the epoch: the time of what is published."""
    return time.time_ns() // 1_000_000
