"""How a training goes: figures of a few steps and of an epoch, and the file of JSON lines that they are written to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True, slots=True)
class Steps:
    """What the last few steps came to; loss and norm are means over them."""

    epoch: int
    step: int  # Steps that are done, of all epochs.
    of: int  # Steps of an epoch.
    loss: float
    rate: float  # The last step's learning rate.
    gradient_norm: float  # Before clipping.
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch came to; the dev figures are those of the averaged weights."""

    epoch: int
    train_loss: float
    dev_loss: float
    dev_accuracy: float
    seconds: float  # Of training, without the dev pass.
    tokens_per_s: float

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch}: train loss {self.train_loss:.4f}, dev loss {self.dev_loss:.4f}, "
            f"dev accuracy {self.dev_accuracy:.4f}, {self.seconds:.0f} s, {self.tokens_per_s:,.0f} tokens/s"
        )


class Meter:
    """Adds up steps until they are read; times are in seconds, of a clock that only goes forward."""

    def __init__(self, epoch: int, of: int, now: float) -> None:
        """Begin an epoch of so many steps."""
        self.epoch, self.of = epoch, of
        self._clear(now)

    def _clear(self, now: float) -> None:
        self.since, self.count, self.tokens, self.loss, self.norm = now, 0, 0, 0.0, 0.0

    def add(self, loss: float, norm: float, tokens: int) -> None:
        """Count a step."""
        self.count += 1
        self.loss += loss
        self.norm += norm
        self.tokens += tokens

    def read(self, step: int, rate: float, now: float) -> Steps:
        """What the steps since the last reading came to; there must be one."""
        loss, norm = self.loss / self.count, self.norm / self.count
        steps = Steps(self.epoch, step, self.of, loss, rate, norm, self.tokens / (now - self.since))
        self._clear(now)
        return steps


class Metrics:
    """Writes `Steps` and `Epoch`s to a file; each line's `event` says which of the two it is."""

    def __init__(self, path: Path, epochs: int = 0) -> None:
        """Keep the lines of the first `epochs` epochs, which are done; what a killed run wrote after them goes."""
        kept = [line for line in read_metrics(path) if line["epoch"] <= epochs] if epochs else []
        self._file: IO[str] = path.open("w", encoding="utf-8")
        for line in kept:
            self._write(line)

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __call__(self, event: Steps | Epoch) -> None:
        """Write a line, and see that it is in the file."""
        self._write({"event": "epoch" if isinstance(event, Epoch) else "steps", **asdict(event)})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of metrics, without the last if it was cut off; none when there is no file."""
    lines: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                lines.append(json.loads(line))
    except (FileNotFoundError, ValueError):
        pass
    return lines


def read_epochs(path: Path) -> list[Epoch]:
    """The epochs in a file of metrics."""
    lines = [line for line in read_metrics(path) if line.pop("event") == "epoch"]
    return [Epoch(**line) for line in lines]
