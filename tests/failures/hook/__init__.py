"""What a scenario changes inside a worker, where neither a setting nor a fault from outside reaches."""

from __future__ import annotations

import os
from pathlib import Path


def hooked(max_poll_interval_s: float, stall_s: float = 0.0) -> dict[str, str]:
    """Environment of a worker whose client gives its partitions up after so long without a poll.

    stall_s: what it takes to decode a record with `sitecustomize.STALL` in it, in a thread if the record is long.
    """
    path = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
    return {
        "PYTHONPATH": path,
        "HOOK_MAX_POLL_INTERVAL_MS": f"{max_poll_interval_s * 1000:.0f}",
        "HOOK_STALL_SECONDS": f"{stall_s}",
    }
