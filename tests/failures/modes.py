"""The delivery modes that every scenario runs in."""

from __future__ import annotations

AT_LEAST_ONCE = "at_least_once"
EXACTLY_ONCE = "exactly_once"

MODES = (AT_LEAST_ONCE, EXACTLY_ONCE)


def settings(mode: str) -> dict[str, str]:
    """What a worker is told of it; nothing where it is the default."""
    return {} if mode == AT_LEAST_ONCE else {"STREAMER_DELIVERY": mode}
