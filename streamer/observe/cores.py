"""The cores of this process."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Cores that this process may use; with CPU affinity, as in many containers, fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
