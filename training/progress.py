"""What long work says while it goes: a line an epoch, and on a terminal a bar within it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from training.metrics import Epoch, Steps


def say(line: str) -> None:
    """Print a line now, also into a file or a pipe."""
    print(line, flush=True)


@contextlib.contextmanager
def watching() -> Iterator[Callable[[Steps | Epoch], None]]:
    """A function that shows how a training goes: epochs on standard output, the bar on standard error."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    # A bar must not drag the lines along when they go into a file.
    both = sys.stdout.isatty()
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True, redirect_stdout=both
    ) as progress:
        task = progress.add_task("epoch 1", total=None)

        def shown(event: Steps | Epoch) -> None:
            if isinstance(event, Epoch):
                say(str(event))
                return
            line = f"epoch {event.epoch}, loss {event.loss:.4f}, {event.tokens_per_s:,.0f} tokens/s"
            done = event.step - (event.epoch - 1) * event.of
            progress.update(task, description=line, completed=done, total=event.of)

        yield shown
