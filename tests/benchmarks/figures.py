"""The data of a matplotlib figure, read back from its axes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle


def curves(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """The points of each line by its label, as the legend shows it; all of them within the limits of the axes."""
    legend = axes.get_legend()
    shown = [text.get_text() for text in legend.get_texts()] if legend else []
    assert len(axes.lines) <= 1 or shown == [line.get_label() for line in axes.lines]
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    found = {str(line.get_label()): points(line) for line in axes.lines}
    assert all(left <= x <= right and low <= y <= high for line in found.values() for x, y in line)
    return found


def points(line: Line2D) -> list[tuple[float, float]]:
    """The points of a line."""
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]


def bars(axes: Axes) -> dict[str, list[float]]:
    """The lengths of the bars of each set by its label, upright or not."""
    found = {}
    for container in axes.containers:
        assert isinstance(container, BarContainer)
        patches: list[Rectangle] = list(container.patches)
        upright = container.orientation == "vertical"
        found[str(container.get_label())] = [patch.get_height() if upright else patch.get_width() for patch in patches]
    return found
