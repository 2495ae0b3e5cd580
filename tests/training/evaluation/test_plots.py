"""Plots are small pictures on white, the same bytes from the same metrics."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from training.evaluation.arrays import Floats
from training.evaluation.calibration import AbstentionBand, scores_from_logits
from training.evaluation.metrics import LabelledLogits, Metrics, metrics_of
from training.evaluation.plots import (
    confusion_matrix,
    coverage_plot,
    draw_plots,
    learning_curve,
    length_histogram,
    reliability_diagram,
)

BAND = AbstentionBand(0.3, 0.7)
LENGTHS = np.minimum(np.random.default_rng(1).geometric(0.02, 5_000), 256)


@dataclass(frozen=True)
class EpochMetrics:
    """What of an epoch is drawn."""

    epoch: int
    train_loss: float
    dev_loss: float
    dev_accuracy: float


EPOCHS = [EpochMetrics(number, 0.4 / number + 0.2, 0.3 / number + 0.2, 0.95 - 0.1 / number) for number in range(1, 6)]


def metrics(logits: Floats, temperature: float = 1.5) -> Metrics:
    """Of labels drawn with the calibrated scores of these logits."""
    positive = np.random.default_rng(2).random(len(logits)) < scores_from_logits(logits, temperature)
    names, lengths = np.full(len(logits), "x"), np.ones(len(logits), np.int64)
    return metrics_of(LabelledLogits(logits, positive, names, names, lengths), temperature, BAND, resamples=10)


USUAL = metrics(np.random.default_rng(1).normal(scale=3, size=2_000))


def picture(content: bytes) -> Image.Image:
    """A PNG file's pixels."""
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    return image.convert("RGB")


def test_the_same_metrics_give_the_same_bytes() -> None:
    """So an artefact's digests can be repeated; no date or version is in them."""
    first, second = (draw_plots(USUAL, BAND, EPOCHS, LENGTHS, 256) for _ in range(2))
    assert first == second
    assert all(not Image.open(io.BytesIO(content)).info.keys() & {"Software", "date"} for content in first.values())


def test_a_matplotlibrc_changes_nothing() -> None:
    """And is itself as it was."""
    plots = draw_plots(USUAL, BAND, EPOCHS, LENGTHS, 256)
    with mpl.rc_context({"font.size": 20, "figure.facecolor": "black", "lines.marker": "x", "axes.grid": False}):
        assert draw_plots(USUAL, BAND, EPOCHS, LENGTHS, 256) == plots
        assert mpl.rcParams["font.size"] == 20


def test_all_plots_together_are_small() -> None:
    """They travel in every artefact."""
    plots = draw_plots(USUAL, BAND, EPOCHS, LENGTHS, 256)
    assert sorted(plots) == ["confusion.png", "coverage.png", "learning-curve.png", "lengths.png", "reliability.png"]
    assert sum(map(len, plots.values())) < 150_000


def test_plots_are_on_white_and_can_be_read() -> None:
    """On a dark page too, for they bring their own background; at least 400 pixels wide."""
    for content in draw_plots(USUAL, BAND, EPOCHS, LENGTHS, 256).values():
        image = picture(content)
        assert image.getpixel((0, 0)) == (255, 255, 255)
        assert image.width >= 400
        assert min(image.convert("L").getextrema()) == 0


CHANGES: list[Callable[[], tuple[bytes, bytes]]] = [
    lambda: (learning_curve(EPOCHS), learning_curve(EPOCHS[:-1])),
    lambda: (
        reliability_diagram(USUAL.reliability_before, USUAL.reliability_after),
        reliability_diagram(USUAL.reliability_after, USUAL.reliability_before),
    ),
    lambda: (confusion_matrix(((9, 1), (2, 8))), confusion_matrix(((9, 1), (8, 2)))),
    lambda: (coverage_plot(USUAL, BAND), coverage_plot(USUAL, AbstentionBand(0.2, 0.8))),
    lambda: (length_histogram(LENGTHS, 256), length_histogram(LENGTHS[:100], 256)),
]


@pytest.mark.parametrize("change", CHANGES)
def test_other_metrics_give_another_plot(change: Callable[[], tuple[bytes, bytes]]) -> None:
    """It shows what it is given."""
    one, other = change()
    assert one != other


def test_a_few_sure_reviews_can_be_drawn_too() -> None:
    """A single epoch, a class without reviews, nothing outside the band, nothing between the outer bins."""
    names = np.array(["x", "x"])
    reviews = LabelledLogits(np.array([9.0, 9.0]), np.ones(2, np.bool_), names, names, np.array([1, 1]))
    sure = metrics_of(reviews, 1.0, BAND)
    unsure = metrics(np.array([0.1, -0.1, 0.2]))
    for found in (sure, unsure):
        assert len(draw_plots(found, BAND, EPOCHS[:1], np.array([1, 8]), 8)) == 5


@pytest.mark.parametrize(
    "draw",
    [
        lambda: learning_curve([]),
        lambda: confusion_matrix(((0, 0), (0, 7))),
        lambda: reliability_diagram([], []),
        lambda: length_histogram(np.zeros(0, np.int64), 8),
    ],
)
def test_a_plot_of_nothing_is_still_a_plot(draw: Callable[[], bytes]) -> None:
    """As of a run whose metrics are gone: axes, and no warning."""
    assert picture(draw()).width >= 400
