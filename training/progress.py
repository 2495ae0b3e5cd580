"""What the user sees of long work: a line for each epoch, and a progress bar within it on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from training.model.training_log import EpochMetrics, StepMetrics


def report(line: str) -> None:
    """Print a line and flush it, so that it is seen at once in a file or a pipe too."""
    print(line, flush=True)


@contextlib.contextmanager
def training_progress() -> Iterator[Callable[[StepMetrics | EpochMetrics], None]]:
    """A function that shows how a training goes: epochs on standard output, the bar on standard error."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    # The bar must not redirect the lines when standard output is a file.
    redirect = sys.stdout.isatty()
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True, redirect_stdout=redirect
    ) as progress:
        task = progress.add_task("epoch 1", total=None)

        def show(event: StepMetrics | EpochMetrics) -> None:
            if isinstance(event, EpochMetrics):
                report(str(event))
                return
            line = f"epoch {event.epoch}, loss {event.loss:.4f}, {event.tokens_per_s:,.0f} tokens/s"
            done = event.step - (event.epoch - 1) * event.of
            progress.update(task, description=line, completed=done, total=event.of)

        yield show
