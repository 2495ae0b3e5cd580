"""The dashboard: its address, its token and its limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt, SecretStr, StringConstraints

from streamer.settings.fields import Section, split_url


def _worker_url(url: str) -> str:
    parts = split_url(url, "a worker's address")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a worker is an http or https URL, as in http://127.0.0.1:8080")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a worker's address must not hold a user or a password: its pages ask for none")
    return url.rstrip("/")


class DashboardSettings(Section):
    host: Annotated[str, StringConstraints(min_length=1)] = "127.0.0.1"
    """Address to bind; anything but loopback needs a token."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8090
    """Port to bind; 0 picks a free one."""
    token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Token for logging in; unset, there is no login."""
    workers: tuple[Annotated[str, AfterValidator(_worker_url)], ...] = ("http://127.0.0.1:8080",)
    """Workers whose `/metrics` the System page reads."""
    history_minutes: PositiveInt = 360
    """How far back the trends topic is read at start-up."""
    queue_size: Annotated[int, Field(ge=10, le=100_000)] = 5_000
    """Number of reviews for moderation that are kept in memory: the newest."""
