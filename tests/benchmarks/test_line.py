"""The straight line through times by size."""

from __future__ import annotations

import pytest

from benchmarks.line import straight_line


def test_a_line_is_found_exactly() -> None:
    """Two seconds and 200 µs a review, over sizes from ten thousand to two million."""
    sizes = [10_000, 100_000, 500_000, 2_000_000]
    line = straight_line(sizes, [2 + 2e-4 * size for size in sizes])
    assert line.fixed == pytest.approx(2)
    assert line.each == pytest.approx(2e-4)
    assert line.residual == pytest.approx(0, abs=1e-9)


def test_a_bend_shows() -> None:
    """Where cost grows with the square of the size, times are far off any line."""
    sizes = [1.0, 2.0, 4.0, 8.0]
    assert straight_line(sizes, [size**2 for size in sizes]).residual > 0.2


def test_errors_are_relative() -> None:
    """The largest topic alone does not decide: 10 % off at either end weighs the same."""
    sizes = [1e4, 1e5, 1e6]
    low = straight_line(sizes, [1.1, 10, 100]).residual
    high = straight_line(sizes, [1, 10, 110]).residual
    assert 0 < low < 0.1
    assert 0 < high < 0.1


@pytest.mark.parametrize(
    ("sizes", "seconds"), [([5.0], [1.0]), ([5.0, 5.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 1.0]), ([1.0, 2.0], [1.0])]
)
def test_what_makes_no_line_is_refused(sizes: list[float], seconds: list[float]) -> None:
    """One size, a time of zero, lists that do not go together."""
    with pytest.raises(ValueError):
        straight_line(sizes, seconds)
