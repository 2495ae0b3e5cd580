"""Calibration finds the temperature that made the data, and the band does what its rule says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.evaluation.arrays import Bools, Floats
from training.evaluation.calibration import (
    AbstentionBand,
    CoveragePoint,
    ReliabilityBin,
    bin_indices,
    brier_score,
    choose_abstention_band,
    coverage_curve,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    reliability,
    scores_from_logits,
    symmetric_band,
)


def drawn(temperature: float, count: int = 40_000) -> tuple[Floats, Bools]:
    """Logits, and labels drawn with the probabilities that they have at this temperature."""
    random = np.random.default_rng(1)
    logits = random.normal(scale=4, size=count)
    return logits, random.random(count) < scores_from_logits(logits, temperature)


def chosen(
    scores: Floats, positive: Bools, accuracy: float, least: float, most: float, neutral: Floats | None = None
) -> AbstentionBand:
    """The band for this accuracy, its half-width between `least` and `most`."""
    return choose_abstention_band(
        scores, positive, accuracy=accuracy, min_half_width=least, max_half_width=most, neutral=neutral
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    """And with it the scores are calibrated."""
    logits, positive = drawn(temperature)
    found = fit_temperature(logits, positive)
    assert found == pytest.approx(temperature, rel=0.05)
    assert expected_calibration_error(scores_from_logits(logits, found), positive) < 0.01
    assert log_loss(logits, positive, found) <= log_loss(logits, positive, temperature)


def test_the_log_loss_is_that_of_the_labels_probabilities() -> None:
    """By hand: a positive review at 0.8, a negative one at 0.8, both with logit ln 4."""
    logits = np.log([4.0, 4.0])
    expected = -(math.log(0.8) + math.log(0.2)) / 2
    assert log_loss(logits, np.array([True, False]), 1.0) == pytest.approx(expected)


def test_the_brier_score_is_the_mean_squared_error() -> None:
    """By hand, and a quarter for always saying 0.5."""
    assert brier_score(np.array([0.9, 0.6, 0.2]), np.array([True, False, False])) == pytest.approx(0.41 / 3)
    assert brier_score(np.full(4, 0.5), np.array([True, False, False, True])) == 0.25


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    """By hand: half the reviews at 0.9 of which 0.5 are right, half at 0.6 of which all are."""
    scores = np.array([0.9, 0.9, 0.4, 0.4])
    positive = np.array([True, False, False, False])
    assert expected_calibration_error(scores, positive) == pytest.approx((0.4 + 0.4) / 2)


def test_gaps_of_one_bin_cancel_and_those_of_two_do_not() -> None:
    """The error is taken bin by bin: here 0.7 wrong and 0.75 right, in one bin of two, in two of twenty."""
    scores, positive = np.array([0.7, 0.76]), np.array([False, True])
    assert expected_calibration_error(scores, positive, bins=2) == pytest.approx((0.7 - 0.24) / 2)
    assert expected_calibration_error(scores, positive, bins=20) == pytest.approx((0.7 + 0.24) / 2)


def test_bins_are_closed_below_and_the_last_one_above_too() -> None:
    """A value of 1 has a place."""
    assert bin_indices(np.array([0.0, 0.24, 0.25, 0.99, 1.0]), bins=4).tolist() == [0, 0, 1, 3, 3]


def test_the_reliability_diagram_has_each_bins_mean_and_share() -> None:
    """By hand, in four bins, the two without reviews left out."""
    scores = np.array([0.0, 0.2, 0.75, 0.85, 1.0])
    positive = np.array([False, True, True, False, True])
    assert reliability(scores, positive, bins=4) == (
        ReliabilityBin(low=0.0, high=0.25, reviews=2, score=0.1, positive=0.5),
        ReliabilityBin(low=0.75, high=1.0, reviews=3, score=0.8667, positive=0.6667),
    )


def test_large_logits_do_not_overflow() -> None:
    """The loss stays finite, the score within 0 and 1."""
    logits = np.array([1e4, -1e4])
    assert scores_from_logits(logits, 1.0).tolist() == [1.0, 0.0]
    assert log_loss(logits, np.array([False, True]), 1.0) == 1e4


def test_the_band_is_the_narrowest_that_reaches_the_accuracy() -> None:
    """One step narrower would not do."""
    logits, positive = drawn(1.0)
    scores = scores_from_logits(logits, 1.0)

    def accuracy(low: float) -> float:
        outside = (scores < low) | (scores >= 1 - low)
        return float(((scores >= 0.5) == positive)[outside].mean())

    band = chosen(scores, positive, 0.95, 0.05, 0.45)
    assert band.low + band.high == pytest.approx(1)
    assert accuracy(band.low + 0.01) < 0.95 <= accuracy(band.low)


def test_the_band_keeps_within_its_bounds() -> None:
    """However good or bad the model is, or when no score is outside any band."""
    scores, right = np.array([0.1, 0.9]), np.array([False, True])
    assert chosen(scores, right, 0.97, 0.05, 0.35) == AbstentionBand(0.45, 0.55)
    assert chosen(scores, ~right, 0.97, 0.05, 0.35) == AbstentionBand(0.15, 0.85)
    assert chosen(np.array([0.49, 0.51]), right, 0.97, 0.05, 0.35) == AbstentionBand(0.15, 0.85)


def test_the_band_is_closed_below_and_open_above() -> None:
    """As the served model labels."""
    scores = np.array([0.39, 0.4, 0.5, 0.59, 0.6])
    assert symmetric_band(0.1).outside(scores).tolist() == [True, False, False, False, True]


def test_neutral_reviews_outside_the_band_widen_it() -> None:
    """Each of them is a wrong one; four right ones and a neutral one at 0.7 make 0.8, without it 1."""
    scores, positive = np.array([0.05, 0.1, 0.9, 0.95]), np.array([False, False, True, True])
    narrow, wide = AbstentionBand(0.45, 0.55), AbstentionBand(0.29, 0.71)
    assert chosen(scores, positive, 0.9, 0.05, 0.35) == narrow
    assert chosen(scores, positive, 0.9, 0.05, 0.35, neutral=np.zeros(0)) == narrow
    assert chosen(scores, positive, 0.9, 0.05, 0.35, neutral=np.array([0.52])) == narrow
    assert chosen(scores, positive, 0.9, 0.05, 0.35, neutral=np.array([0.7])) == wide
    assert chosen(scores, positive, 0.8, 0.05, 0.35, neutral=np.array([0.7])) == narrow
    assert chosen(scores, positive, 0.9, 0.05, 0.35, neutral=np.array([0.99])) == AbstentionBand(0.15, 0.85)


def test_neutral_reviews_never_make_the_band_narrower() -> None:
    """Whatever their scores."""
    logits, positive = drawn(1.0, 4_000)
    scores = scores_from_logits(logits, 1.0)
    band = chosen(scores, positive, 0.95, 0.0, 0.45)
    for centre in (0.1, 0.5, 0.8):
        neutral = np.clip(np.random.default_rng(2).normal(centre, 0.2, 300), 0, 1)
        assert chosen(scores, positive, 0.95, 0.0, 0.45, neutral).low <= band.low


def test_the_coverage_curve_goes_from_all_reviews_to_the_surest() -> None:
    """By hand at three of its widths: two sure ones are right, of two less sure ones one."""
    points = {point.half_width: point for point in coverage_curve(*_four())}
    assert points[0.0] == CoveragePoint(0.0, 1.0, 0.75)
    assert points[0.3] == CoveragePoint(0.3, 0.5, 1.0)
    assert points[0.48] == CoveragePoint(0.48, 0.0, None)


def _four() -> tuple[Floats, Bools]:
    return np.array([0.05, 0.95, 0.3, 0.75]), np.array([False, True, True, True])


def test_a_wider_band_never_covers_more() -> None:
    """And of a calibrated model the accuracy outside it grows."""
    logits, positive = drawn(1.0)
    points = coverage_curve(scores_from_logits(logits, 1.0), positive)
    widths, coverage = [point.half_width for point in points], [point.coverage for point in points]
    accuracy = [point.accuracy for point in points if point.accuracy is not None]
    assert widths == sorted(widths)
    assert len(set(widths)) == 25
    assert coverage == sorted(coverage, reverse=True)
    assert coverage[0] == 1
    assert accuracy == sorted(accuracy)
