"""What a figure was measured on: it is worth nothing without."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from streamer.observe.cores import available_cores


def describe() -> dict[str, str | int]:
    """Processor, cores, Python and the versions that matter."""
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "aiokafka", "rjieba", "sentiment-streamer")},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = info.read_text().splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
    useful = [flag for flag in ("avx2", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(useful)})" if useful else name
