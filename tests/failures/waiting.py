"""Waiting for what a scenario depends on: a condition and a bound, never a sleep alone."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(true: Callable[[], bool], what: str, timeout_s: float = 60.0, every_s: float = 0.1) -> None:
    """Until it is true. Raises AssertionError that says `what` has not come."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(every_s)
