"""Calibration: temperature scaling, calibration errors, and the abstention band of uncertain scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.evaluation.arrays import Bools, Floats, Integers

BINS = 15


def scores_from_logits(logits: Floats, temperature: float) -> Floats:
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
    """The temperature with the lowest log loss (Guo et al., ICML 2017).

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
    model that always says 0.5.
    """
    errors: Floats = (scores - positive) ** 2
    return errors


def brier_score(scores: Floats, positive: Bools) -> float:
    """The mean of `squared_errors`."""
    return float(squared_errors(scores, positive).mean())


def bin_indices(values: Floats, bins: int = BINS) -> Integers:
    """The bin of each value among equal-width bins from 0 to 1: int64 [N]; 1 is in the last."""
    return np.minimum((values * bins).astype(np.int64), bins - 1)


def confidence_gaps(scores: Floats, positive: Bools) -> tuple[Floats, Floats]:
    """The confidence of each review, max(score, 1 - score), and 1 or 0 for right or wrong minus the confidence."""
    confidence = np.maximum(scores, 1 - scores)
    return confidence, ((scores >= 0.5) == positive) - confidence


def expected_calibration_error(scores: Floats, positive: Bools, bins: int = BINS) -> float:
    """Expected calibration error (Guo et al.): confidence against accuracy in equal-width bins from 0 to 1.

    With two classes confidence is at least 0.5, so the upper half of the bins is used.
    """
    confidence, gaps = confidence_gaps(scores, positive)
    return float(np.abs(np.bincount(bin_indices(confidence, bins), gaps, bins)).sum() / len(scores))


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Reviews with scores from `low` to `high`: calibrated scores have `score` == `positive`."""

    low: float
    high: float
    reviews: int
    score: float  # Mean P(positive).
    positive: float  # Share that is positive.


def reliability(scores: Floats, positive: Bools, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """The reliability diagram of P(positive) in equal-width bins; bins without reviews are left out."""
    which = bin_indices(scores, bins)
    counts, means, shares = (np.bincount(which, weights, bins) for weights in (None, scores, positive))
    return tuple(
        ReliabilityBin(
            low=round(index / bins, 4),
            high=round((index + 1) / bins, 4),
            reviews=int(counts[index]),
            score=round(float(means[index] / counts[index]), 4),
            positive=round(float(shares[index] / counts[index]), 4),
        )
        for index in np.flatnonzero(counts)
    )


@dataclass(frozen=True, slots=True)
class AbstentionBand:
    """Scores from `low` up to, but not including, `high` are called uncertain, as in the served model."""

    low: float
    high: float

    def outside(self, scores: Floats) -> Bools:
        """Which scores get a label: bool [N]."""
        labelled: Bools = (scores < self.low) | (scores >= self.high)
        return labelled


def symmetric_band(half_width: float) -> AbstentionBand:
    """The band around 0.5 with this half-width."""
    return AbstentionBand(round(0.5 - half_width, 2), round(0.5 + half_width, 2))


def choose_abstention_band(
    scores: Floats,
    positive: Bools,
    *,
    accuracy: float,
    min_half_width: float,
    max_half_width: float,
    neutral: Floats | None = None,
) -> AbstentionBand:
    """The narrowest band around 0.5 outside which the accuracy is reached.

    neutral: scores of neutral reviews, any number. A neutral review outside the band counts as an error, since it gets
    a label: the band becomes wide enough to hold most of them. Half-widths are tried in steps of 0.01; when none
    reaches the accuracy, the band has the largest one.
    """
    correct = (scores >= 0.5) == positive
    if neutral is not None:
        scores = np.concatenate([scores, neutral])
        correct = np.concatenate([correct, np.zeros(len(neutral), np.bool_)])
    for step in range(round(min_half_width * 100), round(max_half_width * 100) + 1):
        band = symmetric_band(step / 100)
        outside = band.outside(scores)
        if outside.any() and correct[outside].mean() >= accuracy:
            return band
    return symmetric_band(max_half_width)


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """How many reviews are outside a band of this half-width around 0.5, and the accuracy on these."""

    half_width: float
    coverage: float  # Share of reviews outside the band.
    accuracy: float | None  # Of those; None where there are none.


def coverage_curve(scores: Floats, positive: Bools) -> tuple[CoveragePoint, ...]:
    """CoveragePoint against accuracy for half-widths from 0 to 0.48 in steps of 0.02.

    The risk-coverage curve of selective classification (El-Yaniv and Wiener, JMLR 2010), by score.
    """
    correct = (scores >= 0.5) == positive
    points = []
    for step in range(0, 50, 2):
        outside = symmetric_band(step / 100).outside(scores)
        accuracy = round(float(correct[outside].mean()), 4) if outside.any() else None
        points.append(CoveragePoint(step / 100, round(float(outside.mean()), 4), accuracy))
    return tuple(points)
