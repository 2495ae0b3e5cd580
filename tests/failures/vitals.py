"""What a process takes of the machine, as Linux tells it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20


class Vitals(NamedTuple):
    """Resident memory in MiB, open descriptors and threads."""

    memory: float
    descriptors: int
    threads: int


def vitals(pid: int) -> Vitals:
    """Of a process that lives. Raises OSError for one that does not, and off Linux."""
    process = Path("/proc", str(pid))
    fields = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    memory = int(fields["VmRSS"].split()[0]) / 1024
    return Vitals(memory, len(os.listdir(process / "fd")), int(fields["Threads"]))
