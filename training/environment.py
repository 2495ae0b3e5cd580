"""What the weights depend on besides recipe and data: versions, the CPU, threads, the recurrence's float format."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import torch

from training.model.train import recurrence_dtype
from training.recipe import Recipe


def environment(recipe: Recipe) -> dict[str, object]:
    """The environment of a training, for `environment.json`."""
    packages = {name: version(name) for name in ("torch", "numpy", "jieba", "rjieba", "opencc")}
    return {
        "python": platform.python_version(),
        **packages,
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "precision": str(recurrence_dtype(recipe.optimiser.precision)).removeprefix("torch."),
    }


def _cpu() -> str:
    """The CPU's name, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
