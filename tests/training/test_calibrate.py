"""Calibration finds the temperature that made the data, and the band does what its rule says."""

from __future__ import annotations

import numpy as np
import pytest

from training.calibrate import calibration_error, fit_temperature, log_loss, scores_of, uncertain_band


def drawn(temperature: float, count: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn with the probabilities that they have at this temperature."""
    random = np.random.default_rng(1)
    logits = random.normal(scale=4, size=count)
    return logits, random.random(count) < scores_of(logits, temperature)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    """And with it the scores are calibrated."""
    logits, positive = drawn(temperature)
    found = fit_temperature(logits, positive)
    assert found == pytest.approx(temperature, rel=0.05)
    assert calibration_error(scores_of(logits, found), positive) < 0.01
    assert log_loss(logits, positive, found) <= log_loss(logits, positive, temperature)


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    """By hand: half the reviews at 0.9 of which 0.5 are right, half at 0.6 of which all are."""
    scores = np.array([0.9, 0.9, 0.4, 0.4])
    positive = np.array([True, False, False, False])
    assert calibration_error(scores, positive) == pytest.approx((0.4 + 0.4) / 2)


def test_large_logits_do_not_overflow() -> None:
    """The loss stays finite, the score within 0 and 1."""
    logits = np.array([1e4, -1e4])
    assert scores_of(logits, 1.0).tolist() == [1.0, 0.0]
    assert log_loss(logits, np.array([False, True]), 1.0) == 1e4


def test_the_band_is_the_narrowest_that_reaches_the_accuracy() -> None:
    """One step narrower would not do."""
    logits, positive = drawn(1.0)
    scores = scores_of(logits, 1.0)

    def accuracy(low: float) -> float:
        outside = (scores < low) | (scores >= 1 - low)
        return float(((scores >= 0.5) == positive)[outside].mean())

    band = uncertain_band(scores, positive, 0.95, 0.05, 0.45)
    assert band.low + band.high == pytest.approx(1)
    assert accuracy(band.low + 0.01) < 0.95 <= accuracy(band.low)


def test_the_band_keeps_within_its_bounds() -> None:
    """However good or bad the model is."""
    scores, right = np.array([0.1, 0.9]), np.array([False, True])
    assert uncertain_band(scores, right, 0.97, 0.05, 0.35).low == 0.45
    assert uncertain_band(scores, ~right, 0.97, 0.05, 0.35).low == 0.15
