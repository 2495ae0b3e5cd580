"""How far long work is: a bar on a terminal, a plain line every few seconds elsewhere, and a line at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

_LINE_SECONDS = 5.0


@contextlib.contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A function that takes in how much was done, of `total` where that is known; shows it on standard error."""
    console = Console(stderr=True)
    begin = told = time.monotonic()
    done = 0

    def line() -> str:
        return f"{done} {what}, {done / max(1e-9, time.monotonic() - begin):.0f}/s"

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(line(), total=total)

        def advance(count: int) -> None:
            nonlocal done, told
            done += count
            progress.update(task, completed=done, description=line())
            if not console.is_terminal and time.monotonic() - told >= _LINE_SECONDS:
                told = time.monotonic()
                console.out(line(), highlight=False)

        try:
            yield advance
        finally:
            progress.stop()
            console.out(f"{line()} in {time.monotonic() - begin:.1f} s", highlight=False)
