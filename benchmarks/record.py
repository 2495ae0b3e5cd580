"""What every part of the benchmark leaves: a JSON file that says what was measured, where and by which command.

A part is a module of this package with

    arguments(parser)          # its options
    measure(options) -> dict   # JSON values; takes minutes
    section(figures) -> str    # Markdown: a table and what it shows; no heading
    plots(figures) -> dict     # PNG files by name

`python -m benchmarks PART` measures and records, `python -m benchmarks report` writes docs/performance.md from all that
is recorded.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from benchmarks.environment import describe

RESULTS = Path(__file__).with_name("results")


class Part(Protocol):
    """A part's module."""

    __doc__: str | None

    def arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def measure(self, options: argparse.Namespace) -> dict[str, Any]: ...
    def section(self, figures: Mapping[str, Any]) -> str: ...
    def plots(self, figures: Mapping[str, Any]) -> dict[str, bytes]: ...


def record(name: str, command: str, figures: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Write a part's figures with device, versions and command; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    about = {"part": name, "command": command, "measured": datetime.now(UTC).strftime("%Y-%m-%d"), **describe()}
    path.write_text(json.dumps({"about": about, "figures": figures}, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return path


def recorded(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """What was recorded of a part last: {"about", "figures"}; None when it never was."""
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    read: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return read
