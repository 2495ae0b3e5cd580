"""A worker's health and metrics pages."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from streamer.settings.fields import Section


class HttpSettings(Section):
    enabled: bool = True
    """Whether to serve `/metrics`, `/health/live` and `/health/ready`."""
    host: str = "127.0.0.1"
    """Address to bind; any address but loopback needs protection, since there is no authentication."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to bind; worker i of `--workers` uses port + i. 0 picks a free one."""
    stalled_after_ms: PositiveInt = 60_000
    """The worker is not ready after this long without progress while there is lag."""
