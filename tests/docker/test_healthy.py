"""The image's health check, run as the image runs it, on pages of the kind that the workers serve."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from streamer.observe.pages import AddressInUse, application, serve
from tests.brokers.ports import ReservedPorts
from tests.docker.reading import DOCKER


@asynccontextmanager
async def worker(reason: str | None, port: int = 0) -> AsyncIterator[int]:
    """One that is not ready for this reason; gives its port."""
    async with serve(application(lambda: b"", "text/plain", lambda: reason), "127.0.0.1", port) as bound:
        yield bound


@asynccontextmanager
async def two(first: str | None, second: str | None) -> AsyncIterator[int]:
    """Workers on ports that follow each other, the second of which may be taken: then others are tried."""
    async with AsyncExitStack() as stack:
        while True:
            port = await stack.enter_async_context(worker(first))
            try:
                await stack.enter_async_context(worker(second, port + 1))
                break
            except AddressInUse:
                continue
        yield port


async def check(workers: int, path: str, port: int) -> tuple[int, str]:
    """Exit status, and what is said."""
    command = [sys.executable, "-I", str(DOCKER / "healthy.py"), str(workers), path, str(port)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout


async def test_all_are_ready() -> None:
    """Each on its port."""
    async with two(None, None) as port:
        assert await check(2, "/health/ready", port) == (0, "")


async def test_one_is_not_ready() -> None:
    """And says why; it is alive all the same."""
    async with two(None, "no progress for 60 s") as port:
        assert await check(2, "/health/ready", port) == (1, f"port {port + 1}: 503 no progress for 60 s\n")
        assert await check(2, "/health/live", port) == (0, "")
        assert await check(1, "/health/ready", port) == (0, "")


async def test_nobody_is_there() -> None:
    """No worker yet, or no more."""
    with ReservedPorts(1) as reserved:
        status, said = await check(1, "/health/ready", reserved.ports[0])
    assert status == 1
    assert "refused" in said
