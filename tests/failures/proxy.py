"""A TCP proxy whose faults a test controls: connections cut, stalled, dropped in silence or slow, in each direction."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

_CHUNK = 64 * 1024
_STALLED_LOOK_SECONDS = 0.02

Way = Literal["forward", "stall", "drop"]


@dataclass(frozen=True, slots=True)
class Flow:
    """What becomes of bytes in one direction.

    stall: they are kept back, and go on when the flow forwards again; the sender feels it when its buffers are full.
    drop: they vanish, as on a connection of which the other half is gone.
    delay, jitter: seconds that each piece waits, in order, so that they also bound how much goes through.
    """

    way: Way = "forward"
    delay: float = 0.0
    jitter: float = 0.0


FORWARD = Flow()


class Proxy:
    """Listens on a loopback port of its own, inside its `with` block, and passes on to `target`, which may come later.

    A connection's bytes go through `to_target` and `to_client`, which may be set at any time. While `refusing`, new
    connections are closed at once.
    """

    def __init__(self, target: int = 0, seed: int = 0) -> None:
        self.target = target
        self.to_target: Flow = FORWARD
        self.to_client: Flow = FORWARD
        self.refusing = False
        self.port = 0
        self._chance = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")

    # What a test does to it

    def forward(self) -> None:
        """Let everything through; what was dropped or cut stays so."""
        self.refusing = False
        self.to_target = self.to_client = FORWARD

    def cut(self) -> None:
        """Close all connections, and refuse new ones until `forward`."""
        self.refusing = True
        self._call(self._close_all())

    def stall(self) -> None:
        """Accept, and never answer."""
        self.to_target = self.to_client = Flow("stall")

    def half_open(self) -> None:
        """Swallow everything, in both directions, on connections that stay open."""
        self.to_target = self.to_client = Flow("drop")

    def slow(self, delay: float, jitter: float) -> None:
        """Delay everything, in both directions."""
        self.to_target = self.to_client = Flow(delay=delay, jitter=jitter)

    # How it does it

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _close_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _end(self) -> None:
        await self._close_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.refusing:
            writer.transport.abort()
            return
        with suppress(OSError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers |= {writer, far_writer}
            try:
                await asyncio.gather(
                    self._pump(reader, far_writer, lambda: self.to_target),
                    self._pump(far_reader, writer, lambda: self.to_client),
                )
            finally:
                self._writers -= {writer, far_writer}
                writer.transport.abort()
                far_writer.transport.abort()
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: Callable[[], Flow]) -> None:
        """Until one side closes, which ends both directions."""
        while data := await reader.read(_CHUNK):
            while flow().way == "stall":
                await asyncio.sleep(_STALLED_LOOK_SECONDS)
            now = flow()
            if now.way == "drop":
                continue
            if now.delay or now.jitter:
                await asyncio.sleep(max(0.0, now.delay + self._chance.uniform(-now.jitter, now.jitter)))
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
