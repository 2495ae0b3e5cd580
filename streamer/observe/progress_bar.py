"""The progress of a long command: a bar on a terminal, otherwise a line every few seconds; a summary at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

_LINE_SECONDS = 5.0


@contextlib.contextmanager
def progress_bar(unit: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Shows progress on standard error; yields a function that adds a count of `unit`. total: None if unknown."""
    console = Console(stderr=True)
    started = last_line = time.monotonic()
    done = 0

    def line() -> str:
        return f"{done} {unit}, {done / max(1e-9, time.monotonic() - started):.0f}/s"

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(line(), total=total)

        def advance(count: int) -> None:
            nonlocal done, last_line
            done += count
            progress.update(task, completed=done, description=line())
            if not console.is_terminal and time.monotonic() - last_line >= _LINE_SECONDS:
                last_line = time.monotonic()
                console.out(line(), highlight=False)

        try:
            yield advance
        finally:
            progress.stop()
            console.out(f"{line()} in {time.monotonic() - started:.1f} s", highlight=False)
