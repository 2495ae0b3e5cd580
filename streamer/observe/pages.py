"""`/metrics`, `/health/live` and `/health/ready`, on the same event loop as the pipeline."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from streamer.printable import printable, reason_of, without_credentials

log = logging.getLogger(__name__)


class AddressInUse(Exception):
    """The address for metrics and health cannot be bound."""


def application(
    metrics: Callable[[], bytes], content_type: str, not_ready_reason: Callable[[], str | None]
) -> Starlette:
    """The three pages. `not_ready_reason` returns the reason, or None if the worker is ready."""

    async def live(request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def ready(request: Request) -> Response:
        reason = not_ready_reason()
        if reason is None:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"{printable(without_credentials(reason), None)}\n", 503)

    async def scrape(request: Request) -> Response:
        return Response(metrics(), media_type=content_type)

    return Starlette(
        routes=[Route("/health/live", live), Route("/health/ready", ready), Route("/metrics", scrape)],
    )


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the worker handles signals and drains."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


@contextlib.asynccontextmanager
async def serve(app: Starlette, host: str, port: int, section: str = "http") -> AsyncIterator[int]:
    """Serve until the block ends; yields the port, which is a free one if `port` is 0.

    section: the settings section of host and port. Raises AddressInUse if the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # Before the port is announced, so that early clients wait instead of being refused.
        except (OSError, UnicodeError) as error:  # The latter of a host that cannot be a name.
            reason = reason_of(error) if isinstance(error, OSError) else "not the name or the address of a host"
            raise AddressInUse(f"{section}.host {printable(host)}, {section}.port {port}: {reason}") from None
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            bound: int = listener.getsockname()[1]
            log.info("%s on http://%s:%d", "metrics and health" if section == "http" else section, host, bound)
            yield bound
        finally:
            server.should_exit = True
            await task
