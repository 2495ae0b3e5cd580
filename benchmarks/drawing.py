"""What the benchmark's plots share: the same figures and matplotlib, the same bytes.

Colours are of Okabe and Ito's palette, which colour-blind readers can tell apart; lines differ in marks and dashes too.
"""

from __future__ import annotations

import io
from contextlib import AbstractContextManager

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#666666")
FORMS = ("o-", "s--", "^:", "D-.", "v-", "P--", "X:")
_STYLE = {
    "font.family": "DejaVu Sans",  # Comes with matplotlib: the same letters everywhere.
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
}


def styled() -> AbstractContextManager[None]:
    """Our style over matplotlib's own, whatever a matplotlibrc says."""
    return style.context(_STYLE, after_reset=True)


def label(axes: Axes, x: str, y: str, title: str = "") -> None:
    """Name the axes, and the panel."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if title:
        axes.set_title(title, fontsize=9)


def png(figure: Figure) -> bytes:
    """The figure at 150 dots an inch, on white, without the version of matplotlib."""
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return file.getvalue()
