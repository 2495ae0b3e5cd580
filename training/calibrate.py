"""Scores that mean what they say: temperature scaling, its error, and the band of uncertain scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def scores_of(logits: Floats, temperature: float) -> Floats:
    """P(positive) = sigmoid(logit / temperature)."""
    scores: Floats = 0.5 * (1 + np.tanh(0.5 * logits / temperature))
    return scores


def log_loss(logits: Floats, positive: Bools, temperature: float) -> float:
    """Mean negative log likelihood, in nats."""
    margins = np.where(positive, logits, -logits) / temperature
    return float(np.logaddexp(0, -margins).mean())


def fit_temperature(logits: Floats, positive: Bools) -> float:
    """The temperature of the least log loss (Guo et al., ICML 2017).

    Found by golden-section search between 0.05 and 20; the loss has one minimum in 1 / temperature.
    """
    ratio = (5**0.5 - 1) / 2
    low, high = np.log(0.05), np.log(20.0)
    while high - low > 1e-6:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if log_loss(logits, positive, float(np.exp(left))) < log_loss(logits, positive, float(np.exp(right))):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def calibration_error(scores: Floats, positive: Bools, bins: int = 15) -> float:
    """Expected calibration error (Guo et al.): confidence against accuracy in equal-width bins."""
    confidence = np.maximum(scores, 1 - scores)
    correct = (scores >= 0.5) == positive
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(which, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(scores))


@dataclass(frozen=True, slots=True)
class Uncertain:
    """Scores from `low` up to, but without, `high` are called uncertain; `streamer.model` labels the same way."""

    low: float
    high: float

    def outside(self, scores: Floats) -> Bools:
        """Which scores are called positive or negative: bool [N]."""
        certain: Bools = (scores < self.low) | (scores >= self.high)
        return certain


def uncertain_band(scores: Floats, positive: Bools, accuracy: float, least: float, most: float) -> Uncertain:
    """The narrowest band about 0.5 outside which the wanted accuracy is reached.

    Half-widths are tried in steps of 0.01 from `least` to `most`; when none reaches it, `most` it is.
    """
    correct = (scores >= 0.5) == positive
    for step in range(round(least * 100), round(most * 100) + 1):
        band = Uncertain(round(0.5 - step / 100, 2), round(0.5 + step / 100, 2))
        outside = band.outside(scores)
        if outside.any() and correct[outside].mean() >= accuracy:
            return band
    return Uncertain(round(0.5 - most, 2), round(0.5 + most, 2))
