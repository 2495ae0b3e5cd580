"""Converts times between RFC 3339 and milliseconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

# The end of the year 9999 in milliseconds, the latest that datetime supports.
_LAST = 253_402_300_799_999


def parse_time(value: object) -> int | None:
    """Milliseconds since the epoch, from an RFC 3339 string or a number of milliseconds; None for anything else."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.upper())
            # RFC 3339 requires an offset. Without one, we assume UTC, which is the same on every host.
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            milliseconds = round(moment.timestamp() * 1000)
        except (ValueError, OverflowError):
            return None
        return milliseconds if 0 <= milliseconds <= _LAST else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value) if 0 <= value <= _LAST else None
    return None


def clamped(milliseconds: int) -> int:
    """The nearest time that RFC 3339 can express. Kafka writes -1 if a record has no timestamp."""
    return min(max(milliseconds, 0), _LAST)


def rfc3339(milliseconds: int) -> str:
    """Write milliseconds since the epoch as `2026-11-21T08:15:30.250Z`."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=4096)  # Times arrive in order: the same second repeats many times in a row.
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
