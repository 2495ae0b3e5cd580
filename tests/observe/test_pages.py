"""The three pages, from a real server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from streamer.observe.metrics import CONTENT_TYPE, Metrics
from streamer.observe.pages import AddressInUse, application, serve


class Worker:
    """What the pages ask."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.reason: str | None = None

    def not_ready_reason(self) -> str | None:
        return self.reason


@contextlib.asynccontextmanager
async def served(worker: Worker, host: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    """A client of the worker's pages."""
    pages = application(worker.metrics.render, CONTENT_TYPE, worker.not_ready_reason)
    async with serve(pages, host, 0) as port:
        name = f"[{host}]" if ":" in host else host
        async with httpx.AsyncClient(base_url=f"http://{name}:{port}", trust_env=False) as client:
            for _ in range(100):
                with contextlib.suppress(httpx.ConnectError):
                    await client.get("/health/live")
                    break
                await asyncio.sleep(0.05)
            yield client


async def test_the_worker_is_alive() -> None:
    """Whether it is ready or not."""
    worker = Worker()
    worker.reason = "no assignment yet"
    async with served(worker) as client:
        answer = await client.get("/health/live")
    assert (answer.status_code, answer.text) == (200, "alive\n")


async def test_a_worker_is_ready_or_says_why_not() -> None:
    """503 with the reason, for people and probes."""
    worker = Worker()
    async with served(worker) as client:
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.text) == (200, "ready\n")
        worker.reason = "no progress for 61 s while there is lag"
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.text) == (503, "no progress for 61 s while there is lag\n")


async def test_metrics_are_served_as_they_are_now() -> None:
    """In Prometheus's text format, with its content type."""
    worker = Worker()
    async with served(worker) as client:
        worker.metrics.cache(True)
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert 'streamer_cache_lookups_total{result="hit"} 1.0' in answer.text.splitlines()
    assert _ours(answer.text) == _ours(worker.metrics.render().decode())


def _ours(page: str) -> list[str]:
    """Without what changes by itself: the process's memory and time, and its tasks."""
    lines = (line for line in page.splitlines() if not line.startswith("#"))
    return [line for line in lines if not line.startswith(("process_", "streamer_tasks"))]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 405), ("HEAD", "/metrics", 200)]
)
async def test_there_is_nothing_else(method: str, path: str, status: int) -> None:
    """And nothing to write to."""
    async with served(Worker()) as client:
        answer = await client.request(method, path)
    assert answer.status_code == status


async def test_an_address_in_use_is_said() -> None:
    """By the names of its settings."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressInUse, match=rf"http.host 127.0.0.1, http.port {port}: "):
            async with serve(application(bytes, CONTENT_TYPE, lambda: None), "127.0.0.1", port):
                pass


async def test_an_address_that_is_not_ours_is_said() -> None:
    """192.0.2.0/24 is for documentation: nobody has it."""
    with pytest.raises(AddressInUse, match=r"http.host 192.0.2.1, http.port 0: "):
        async with serve(application(bytes, CONTENT_TYPE, lambda: None), "192.0.2.1", 0):
            pass


async def test_the_port_is_free_again_afterwards() -> None:
    """Also when a client keeps its connection open."""
    worker = Worker()
    async with served(worker) as client:
        port = client.base_url.port
    assert port is not None
    with socket.create_server(("127.0.0.1", port)):
        pass
