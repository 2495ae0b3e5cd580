"""How a training goes: metrics of a few steps and of an epoch, and the log, JSON lines, that they are written to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """Metrics of the last few steps; loss and norm are means over them."""

    epoch: int
    step: int  # Steps done, in all epochs.
    of: int  # Steps in an epoch.
    loss: float
    rate: float  # The last step's learning rate.
    gradient_norm: float  # Before clipping.
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """Metrics of an epoch; those on dev are of the averaged weights."""

    epoch: int
    train_loss: float
    dev_loss: float
    dev_accuracy: float
    seconds: float  # Of training, without the pass over dev.
    tokens_per_s: float

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch}: train loss {self.train_loss:.4f}, dev loss {self.dev_loss:.4f}, "
            f"dev accuracy {self.dev_accuracy:.4f}, {self.seconds:.0f} s, {self.tokens_per_s:,.0f} tokens/s"
        )


class StepMeter:
    """Adds up steps until they are read; times are in seconds, of a monotonic clock."""

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

    def read(self, step: int, rate: float, now: float) -> StepMetrics:
        """The metrics of the steps since the last reading; there must be at least one."""
        metrics = StepMetrics(
            epoch=self.epoch,
            step=step,
            of=self.of,
            loss=self.loss / self.count,
            rate=rate,
            gradient_norm=self.norm / self.count,
            tokens_per_s=self.tokens / (now - self.since),
        )
        self._clear(now)
        return metrics


class TrainingLog:
    """Writes the metrics of steps and epochs to a file; the field `event` of a line says which of the two it has."""

    def __init__(self, path: Path, epochs: int = 0) -> None:
        """Keep the lines of the first `epochs` epochs, which are done; drop what a killed run wrote after them."""
        kept = [line for line in read_training_log(path) if line["epoch"] <= epochs] if epochs else []
        self._file: IO[str] = path.open("w", encoding="utf-8")
        for line in kept:
            self._write(line)

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, event: StepMetrics | EpochMetrics) -> None:
        """Write a line and flush it."""
        self._write({"event": "epoch" if isinstance(event, EpochMetrics) else "steps", **asdict(event)})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def read_training_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a training log, without the last one if it was cut off; none when there is no file."""
    lines: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                lines.append(json.loads(line))
    except (FileNotFoundError, ValueError):
        pass
    return lines


def read_epochs(path: Path) -> list[EpochMetrics]:
    """The epochs in a training log."""
    lines = [line for line in read_training_log(path) if line.pop("event") == "epoch"]
    return [EpochMetrics(**line) for line in lines]
