"""How good a model is: overall, by source and by language, on the dev or the test part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.calibrate import (
    Bools,
    Floats,
    Uncertain,
    calibration_error,
    fit_temperature,
    log_loss,
    scores_of,
    uncertain_band,
)
from training.parts import Part, Prepared, reading_batches
from training.recipe import Recipe


@torch.no_grad()
def logits_of(model: nn.Module, part: Part) -> Floats:
    """The logits of a part's reviews, in the part's order: float64 [N]."""
    logits = np.zeros(len(part), np.float64)
    for reviews in reading_batches(part.lengths):
        logits[reviews] = model(part.stack(reviews)).numpy()
    return logits


def accuracy_of(logits: Floats, positive: Bools) -> float:
    """Share of reviews on the right side of 0; a logit of exactly 0 counts as positive."""
    return float(((logits >= 0) == positive).mean())


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one part. Shares are between 0 and 1."""

    reviews: int
    accuracy: float
    by_source: dict[str, float]  # Accuracy.
    by_language: dict[str, float]  # Accuracy.
    log_loss: float  # In nats, calibrated.
    ece_before: float  # Expected calibration error, 15 bins, at temperature 1.
    ece_after: float
    uncertain: float  # Share of reviews in the band.
    accuracy_outside: float  # Accuracy of those outside it.


def figures_of(logits: Floats, part: Part, recipe: Recipe, temperature: float, band: Uncertain) -> Figures:
    """All figures of a part, from its logits."""
    scores = scores_of(logits, temperature)
    correct = (logits >= 0) == part.positive
    outside = band.outside(scores)
    names = [source.name for source in recipe.data]
    languages = [source.language for source in recipe.data]

    def share(which: Bools) -> float:
        return round(float(correct[which].mean()), 4)

    def shares(names: Sequence[str], values: npt.NDArray[Any]) -> dict[str, float]:
        return {name: share(values == name) for name in dict.fromkeys(names) if (values == name).any()}

    return Figures(
        reviews=len(part),
        accuracy=share(np.ones_like(correct)),
        by_source=shares(names, np.array(names)[part.source]),
        by_language=shares(languages, np.array(languages)[part.source]),
        log_loss=round(log_loss(logits, part.positive, temperature), 4),
        ece_before=round(calibration_error(scores_of(logits, 1.0), part.positive), 4),
        ece_after=round(calibration_error(scores, part.positive), 4),
        uncertain=round(float(1 - outside.mean()), 4),
        accuracy_outside=share(outside) if outside.any() else 1.0,
    )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The calibration fitted on dev, and the figures with it."""

    temperature: float
    uncertain: Uncertain
    dev: Figures
    test: Figures | None  # None while a model is still being chosen.

    def save(self, folder: Path) -> None:
        """Write `evaluation.json`."""
        (folder / "evaluation.json").write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


def load_evaluation(folder: Path) -> Evaluation:
    """Read what `Evaluation.save` wrote; raises FileNotFoundError when nothing was."""
    read = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    test = Figures(**read["test"]) if read["test"] else None
    return Evaluation(read["temperature"], Uncertain(**read["uncertain"]), Figures(**read["dev"]), test)


def evaluate(model: nn.Module, recipe: Recipe, prepared: Prepared, test: bool) -> Evaluation:
    """Fit temperature and band on dev, then take the figures of dev and, only if asked to, of test."""
    dev = prepared.parts["dev"]
    logits = logits_of(model, dev)
    temperature = fit_temperature(logits, dev.positive)
    rule = recipe.band
    band = uncertain_band(scores_of(logits, temperature), dev.positive, rule.accuracy, rule.least, rule.most)
    held_out = None
    if test:
        part = prepared.parts["test"]
        held_out = figures_of(logits_of(model, part), part, recipe, temperature, band)
    return Evaluation(temperature, band, figures_of(logits, dev, recipe, temperature, band), held_out)
