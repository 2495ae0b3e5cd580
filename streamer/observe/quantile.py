"""Quantiles of Prometheus histograms. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping


def histogram_quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The value that this share of the observations does not exceed; None if there are no observations.

    `buckets` maps upper bounds, infinity included, to cumulative counts. Linear within a bucket and, in the last one,
    its lower bound, as in Prometheus' `histogram_quantile`.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank = share * buckets[bounds[-1]]
    lower, below = 0.0, 0.0
    for upper in bounds:
        count = buckets[upper]
        if count >= rank and count > below:
            return lower if math.isinf(upper) else lower + (upper - lower) * (rank - below) / (count - below)
        lower, below = upper, count
    return lower
