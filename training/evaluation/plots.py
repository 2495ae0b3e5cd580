"""The model card's plots, drawn from the metrics alone: the same metrics and matplotlib give the same bytes.

The colours are from Okabe and Ito's palette, which colour-blind readers can tell apart; lines also differ in dashes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image  # Which matplotlib needs itself.

from training.evaluation.calibration import AbstentionBand, ReliabilityBin
from training.evaluation.metrics import Metrics
from training.labels import LABELS

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#666666"
_STYLE: dict[Any, Any] = {  # The keys' type is not in every version of matplotlib.
    "font.family": "DejaVu Sans",  # Comes with matplotlib: the same letters everywhere.
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
}
_EDGE: dict[str, Any] = {"align": "edge", "color": _BLUE, "edgecolor": "white", "linewidth": 0.5}


class EpochMetrics(Protocol):
    """What the learning curve shows of an epoch; `training.model.training_log.EpochMetrics` has it."""

    @property
    def epoch(self) -> int: ...
    @property
    def train_loss(self) -> float: ...
    @property
    def dev_loss(self) -> float: ...
    @property
    def dev_accuracy(self) -> float: ...


def draw_plots(
    metrics: Metrics,
    band: AbstentionBand,
    epochs: Sequence[EpochMetrics],
    train_lengths: npt.NDArray[np.int64],
    max_tokens: int,
) -> dict[str, bytes]:
    """All plots as PNG files, by file name."""
    return {
        "learning-curve.png": learning_curve(epochs),
        "reliability.png": reliability_diagram(metrics.reliability_before, metrics.reliability_after),
        "confusion.png": confusion_matrix(metrics.confusion),
        "coverage.png": coverage_plot(metrics, band),
        "lengths.png": length_histogram(train_lengths, max_tokens),
    }


def learning_curve(epochs: Sequence[EpochMetrics]) -> bytes:
    """Losses in nats and the accuracy on dev in per cent, by epoch."""
    with _styled():
        figure = Figure((6.4, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        numbers = [epoch.epoch for epoch in epochs]
        left.plot(numbers, [epoch.train_loss for epoch in epochs], "o-", ms=3.5, color=_BLUE, label="train, smoothed")
        left.plot(numbers, [epoch.dev_loss for epoch in epochs], "s--", ms=3.5, color=_ORANGE, label="dev")
        _label(left, "epoch", "log loss (nats)")
        left.legend()
        right.plot(numbers, [100 * epoch.dev_accuracy for epoch in epochs], "s--", ms=3.5, color=_ORANGE)
        _label(right, "epoch", "accuracy on dev (%)")
        for axes in (left, right):
            axes.xaxis.get_major_locator().set_params(integer=True)
        return _png(figure)


def reliability_diagram(before: Iterable[ReliabilityBin], after: Iterable[ReliabilityBin]) -> bytes:
    """Share of positive reviews by mean score, before and after temperature scaling; below, the reviews of each bin."""
    with _styled():
        figure = Figure((3.6, 4.0), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        top.plot([0, 1], [0, 1], ":", lw=1, color=_GREY, label="calibrated")
        after = tuple(after)
        for bins, name, form, colour in ((tuple(before), "before", "o--", _ORANGE), (after, "after", "s-", _BLUE)):
            top.plot([b.score for b in bins], [b.positive for b in bins], form, ms=3.5, color=colour, label=name)
        top.legend()
        _label(top, "", "share that is positive")
        bottom.bar([b.low for b in after], [b.reviews for b in after], [b.high - b.low for b in after], **_EDGE)
        bottom.yaxis.set_major_formatter("{x:,.0f}")
        _label(bottom, "P(positive)", "reviews")
        return _png(figure)


def confusion_matrix(confusion: Sequence[Sequence[int]]) -> bytes:
    """Reviews by label and by prediction, with the share of their label."""
    counts = np.array(confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with _styled(grid=False):
        figure = Figure((3.2, 2.8), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row in range(2):
            for column in range(2):
                text = f"{counts[row, column]:,}\n{100 * shares[row, column]:.1f} %"
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, text, ha="center", va="center", color=colour)
        axes.set_xticks([0, 1], LABELS)
        axes.set_yticks([0, 1], LABELS, rotation=90, va="center")
        _label(axes, "called (reviews, share of the label)", "label")
        return _png(figure)


def coverage_plot(metrics: Metrics, band: AbstentionBand) -> bytes:
    """Accuracy of the reviews outside a band against their share, for bands of every width, and for the chosen one."""
    points = [(point.coverage, point.accuracy) for point in metrics.coverage if point.accuracy is not None]
    shares, accuracies = (100 * np.array(points).reshape(-1, 2)).T
    chosen = (100 * (1 - metrics.uncertain), 100 * metrics.accuracy_outside)
    with _styled():
        figure = Figure((3.6, 2.8), layout="constrained")
        axes = figure.subplots()
        axes.plot(shares, accuracies, "o-", ms=3, color=_BLUE)
        axes.plot(*chosen, "D", ms=7, color=_ORANGE, label=f"uncertain: {band.low} to {band.high}")
        axes.legend(loc="lower left")
        _label(axes, "reviews outside the band (%)", "accuracy of these (%)")
        return _png(figure)


def length_histogram(lengths: npt.NDArray[np.int64], max_tokens: int) -> bytes:
    """Train reviews by tokens, int64 [N], in about thirty bars; the last one has those that were cut."""
    width = -(-max_tokens // 32)
    edges = np.arange(1, max_tokens + width + 1, width)
    counts, _ = np.histogram(lengths, edges)
    with _styled():
        figure = Figure((4.4, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.bar(edges[:-1], counts, width, **_EDGE)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        _label(axes, f"tokens (longer reviews are cut to {max_tokens})", "train reviews")
        return _png(figure)


def _styled(grid: bool = True) -> AbstractContextManager[None]:
    """Our style on top of matplotlib's own, whatever a matplotlibrc says."""
    return style.context(_STYLE | {"axes.grid": grid}, after_reset=True)


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _png(figure: Figure) -> bytes:
    """The figure at 150 dots an inch, on white, in 32 colours: a third of the bytes, and no metadata."""
    figure.set_dpi(150)
    canvas: Any = FigureCanvasAgg(figure)  # Its methods have no types.
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    file = io.BytesIO()
    image.quantize(32, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return file.getvalue()
