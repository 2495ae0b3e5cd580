"""Quantiles of Prometheus histograms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.observe.quantile import histogram_quantile

BUCKETS = {0.1: 10.0, 0.2: 30.0, 0.5: 30.0, math.inf: 40.0}


@pytest.mark.parametrize(
    ("share", "value"),
    [
        (0.125, 0.05),  # The first bucket begins at 0.
        (0.25, 0.1),
        (0.5, 0.15),
        (0.75, 0.2),  # Not 0.5: that bucket is empty.
        (0.9, 0.5),  # The last bucket has no upper bound.
        (1.0, 0.5),
    ],
)
def test_a_quantile_is_linear_within_its_bucket(share: float, value: float) -> None:
    """As Prometheus' histogram_quantile has it."""
    assert histogram_quantile(BUCKETS, share) == pytest.approx(value)


@pytest.mark.parametrize("buckets", [{}, {0.1: 0.0, math.inf: 0.0}])
def test_without_observations_there_is_no_quantile(buckets: dict[float, float]) -> None:
    """Neither before the first one nor without buckets."""
    assert histogram_quantile(buckets, 0.5) is None


@given(st.lists(st.integers(0, 50), min_size=2, max_size=8).filter(any), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_ascend_within_the_bounds(counts: list[int], share: float, other: float) -> None:
    """A larger share never has a smaller quantile, in whatever order the buckets come."""
    bounds = [*map(float, range(1, len(counts))), math.inf]
    cumulative = [float(sum(counts[: index + 1])) for index in range(len(counts))]
    buckets = dict(reversed(list(zip(bounds, cumulative, strict=True))))
    low, high = (histogram_quantile(buckets, value) for value in sorted((share, other)))
    assert low is not None and high is not None
    assert 0 <= low <= high + 1e-9 <= len(counts)
