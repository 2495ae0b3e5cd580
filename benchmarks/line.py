"""Whether cost grows in proportion: a straight line through times by size, and how far off it they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Line:
    """seconds = fixed + each * size; `residual` is the largest distance from it, as a share of the measured time."""

    fixed: float
    each: float
    residual: float

    def figures(self) -> dict[str, float]:
        """JSON values."""
        return asdict(self)


def straight_line(sizes: Sequence[float], seconds: Sequence[float]) -> Line:
    """The line with the least squares of *relative* errors: otherwise the largest size alone would decide.

    Raises ValueError for fewer than two sizes, and for times that are not above zero.
    """
    if len(set(sizes)) < 2 or len(sizes) != len(seconds):
        raise ValueError("a line takes times for two sizes or more")
    if min(seconds) <= 0:
        raise ValueError("a time is not above zero")
    n, t = np.asarray(sizes, np.float64), np.asarray(seconds, np.float64)
    # Sizes of about 1, for a well-conditioned system.
    scale = float(n.max())
    weighted = np.stack((1 / t, n / scale / t), axis=1)
    (fixed, each), *_ = np.linalg.lstsq(weighted, np.ones_like(t), rcond=None)
    residual = float(np.abs((t - fixed - each / scale * n) / t).max())
    return Line(float(fixed), float(each / scale), residual)
