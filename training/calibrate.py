"""Scores that mean what they say: temperature scaling, its error, and the band of uncertain scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

BINS = 15


def scores_of(logits: Floats, temperature: float) -> Floats:
    """P(positive) = sigmoid(logit / temperature)."""
    scores: Floats = 0.5 * (1 + np.tanh(0.5 * logits / temperature))
    return scores


def log_losses(logits: Floats, positive: Bools, temperature: float) -> Floats:
    """Negative log likelihood of each label, in nats: float64 [N]."""
    losses: Floats = np.logaddexp(0, np.where(positive, -logits, logits) / temperature)
    return losses


def log_loss(logits: Floats, positive: Bools, temperature: float) -> float:
    """Mean negative log likelihood, in nats."""
    return float(log_losses(logits, positive, temperature).mean())


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


def squared_errors(scores: Floats, positive: Bools) -> Floats:
    """(P(positive) - label)^2 of each review, the label being 0 or 1; their mean is the Brier score.

    Brier, Monthly Weather Review 78, 1950, halved, as is usual for two classes: between 0 and 1, and 0.25 for a
    judge that always says 0.5.
    """
    errors: Floats = (scores - positive) ** 2
    return errors


def brier_score(scores: Floats, positive: Bools) -> float:
    """The mean of `squared_errors`."""
    return float(squared_errors(scores, positive).mean())


def bin_of(values: Floats, bins: int = BINS) -> Integers:
    """In which of the equal-width bins from 0 to 1 a value is: int64 [N]; 1 is in the last."""
    return np.minimum((values * bins).astype(np.int64), bins - 1)


def confidence_gaps(scores: Floats, positive: Bools) -> tuple[Floats, Floats]:
    """Of each review the confidence, max(score, 1 - score), and what being right or wrong has over it."""
    confidence = np.maximum(scores, 1 - scores)
    return confidence, ((scores >= 0.5) == positive) - confidence


def calibration_error(scores: Floats, positive: Bools, bins: int = BINS) -> float:
    """Expected calibration error (Guo et al.): confidence against accuracy in equal-width bins from 0 to 1.

    With two classes confidence is at least 0.5, so the upper half of the bins is used.
    """
    confidence, gaps = confidence_gaps(scores, positive)
    return float(np.abs(np.bincount(bin_of(confidence, bins), gaps, bins)).sum() / len(scores))


@dataclass(frozen=True, slots=True)
class Bin:
    """Reviews with scores from `low` to `high`: calibrated scores have `score` == `positive`."""

    low: float
    high: float
    reviews: int
    score: float  # Mean P(positive).
    positive: float  # Share that is positive.


def reliability(scores: Floats, positive: Bools, bins: int = BINS) -> tuple[Bin, ...]:
    """The reliability diagram of P(positive) in equal-width bins; bins without reviews are left out."""
    which = bin_of(scores, bins)
    counts, means, shares = (np.bincount(which, weights, bins) for weights in (None, scores, positive))
    return tuple(
        Bin(
            low=round(index / bins, 4),
            high=round((index + 1) / bins, 4),
            reviews=int(counts[index]),
            score=round(float(means[index] / counts[index]), 4),
            positive=round(float(shares[index] / counts[index]), 4),
        )
        for index in np.flatnonzero(counts)
    )


@dataclass(frozen=True, slots=True)
class Uncertain:
    """Scores from `low` up to, but without, `high` are called uncertain; `streamer.models` labels the same way."""

    low: float
    high: float

    def outside(self, scores: Floats) -> Bools:
        """Which scores are called positive or negative: bool [N]."""
        certain: Bools = (scores < self.low) | (scores >= self.high)
        return certain


def band_of(half_width: float) -> Uncertain:
    """The band about 0.5."""
    return Uncertain(round(0.5 - half_width, 2), round(0.5 + half_width, 2))


def uncertain_band(
    scores: Floats, positive: Bools, accuracy: float, least: float, most: float, neutral: Floats | None = None
) -> Uncertain:
    """The narrowest band about 0.5 outside which the wanted accuracy is reached.

    neutral: scores of neutral reviews, any number. One outside the band is called positive or negative, which is
    wrong, so it counts among those outside as a wrong one: the band is as wide as is needed to hold enough of them.
    Half-widths are tried in steps of 0.01 from `least` to `most`; when none reaches it, `most` it is.
    """
    correct = (scores >= 0.5) == positive
    if neutral is not None:
        scores = np.concatenate([scores, neutral])
        correct = np.concatenate([correct, np.zeros(len(neutral), np.bool_)])
    for step in range(round(least * 100), round(most * 100) + 1):
        band = band_of(step / 100)
        outside = band.outside(scores)
        if outside.any() and correct[outside].mean() >= accuracy:
            return band
    return band_of(most)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a band of this half-width about 0.5 leaves to the model, and how well it judges that."""

    half_width: float
    coverage: float  # Share of reviews outside the band.
    accuracy: float | None  # Of those; None where there are none.


def coverage_curve(scores: Floats, positive: Bools) -> tuple[Coverage, ...]:
    """Coverage against accuracy for half-widths from 0 to 0.48 in steps of 0.02.

    The risk-coverage curve of selective classification (El-Yaniv and Wiener, JMLR 2010), by score.
    """
    correct = (scores >= 0.5) == positive
    points = []
    for step in range(0, 50, 2):
        outside = band_of(step / 100).outside(scores)
        accuracy = round(float(correct[outside].mean()), 4) if outside.any() else None
        points.append(Coverage(step / 100, round(float(outside.mean()), 4), accuracy))
    return tuple(points)
