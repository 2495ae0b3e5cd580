"""Plots of curves, panels side by side, in the style of `benchmarks.drawing`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.drawing import COLOURS, FORMS, label, png, styled


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one name."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def lines(axes: Axes, curves: Sequence[Curve], x: str, y: str, title: str = "") -> None:
    """Draw curves, with their names where there are several; one without points is left out."""
    for number, curve in enumerate(curves):
        if curve.x:
            axes.plot(curve.x, curve.y, FORMS[number], ms=4, color=COLOURS[number], label=curve.name)
    label(axes, x, y, title)
    if len(axes.lines) > 1:
        axes.legend()


def logarithmic(axes: Axes, which: Literal["x", "y", "xy"], base: float = 10) -> None:
    """Make these axes logarithmic with plain numbers, unless they are empty, which matplotlib cannot bear."""
    if not axes.lines:
        return
    for name in which:
        (axes.set_xscale if name == "x" else axes.set_yscale)("log", base=base)
        axis = axes.xaxis if name == "x" else axes.yaxis
        axis.set_major_locator(LogLocator(base, subs=(1, 2, 5) if name == "y" else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def from_zero(axes: Axes) -> None:
    """Let the vertical axis begin at 0."""
    if axes.lines:
        axes.set_ylim(0, 1.1 * axes.dataLim.y1)


def draw(width: float, height: float, panels: int, onto: Callable[[Sequence[Axes]], None]) -> bytes:
    """A PNG of so many inches with panels side by side, drawn by `onto`."""
    with styled():
        figure = Figure((width, height), layout="constrained")
        onto(list(figure.subplots(1, panels, squeeze=False)[0]))
        return png(figure)
