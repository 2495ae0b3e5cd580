"""Confidence intervals by the percentile bootstrap over reviews (Efron 1979), seeded: repeated, they are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from training.evaluation.arrays import Floats, Integers

RESAMPLES = 1_000
SEED = 1

Interval = tuple[float, float]  # 95 %.


def percentile_interval(resampled: Floats) -> Interval:
    """The middle 95 % of a statistic's resampled values, NaN left out."""
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)


def resample_counts(counts: Integers, resamples: int) -> Integers:
    """The counts of as many reviews drawn with replacement, int64 [resamples, K], of counts int64 [K].

    How often each cell is drawn is multinomial with the cells' shares: the same bootstrap, without its loop.
    """
    return np.random.default_rng(SEED).multinomial(counts.sum(), counts / counts.sum(), resamples)


def bootstrap(statistic: Callable[[Floats], Sequence[float]], reviews: int, resamples: int) -> Floats:
    """K statistics of resampled reviews, [resamples, K]; given how often each review was drawn, float64 [N]."""
    random = np.random.default_rng(SEED)
    drawn = (np.bincount(random.integers(reviews, size=reviews), minlength=reviews) for _ in range(resamples))
    return np.array([statistic(weights.astype(np.float64)) for weights in drawn])
