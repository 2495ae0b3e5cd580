"""`streamer` in the test's own process: three seconds of imports less than in a process of its own.

What concerns signals, pipes and the interpreter's start takes a process of its own: `subprocess`, or `tests.workers`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

from typer.testing import CliRunner

from streamer.cli import app


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code and what it wrote."""

    code: int
    stdout: str
    stderr: str


def streamer(*arguments: str, environment: Mapping[str, str] | None = None, stdin: bytes = b"") -> Ended:
    """Run a command with these settings and none from outside. Raises what the command does not turn into a message."""
    without: dict[str, str | None] = {name: None for name in os.environ if name.startswith("STREAMER_")}
    root = logging.getLogger()
    level = root.level
    try:
        done = CliRunner().invoke(app, arguments, input=stdin, env=without | dict(environment or {}))
    finally:
        root.setLevel(level)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Ended(done.exit_code, done.stdout, done.stderr)
