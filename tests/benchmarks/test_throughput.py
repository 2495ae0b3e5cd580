"""What of the throughput part needs no broker: its texts, and what it says of its figures."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

from benchmarks import throughput
from tests.benchmarks.figures import curves

RUN: dict[str, Any] = {
    "workers": 1,
    "reviews_per_second": 5000.0,
    "padding_efficiency": 0.95,
    "reviews_per_batch": 90.5,
    "loop_delay_max_ms": 20.0,
    "resident_mib_at_end": 950.4,
    "resident_mib_by_tenth": list(range(900, 950, 5)),
    "core_microseconds": 250.0,
    "cpu_seconds": 0.3,
}
FIGURES: dict[str, Any] = {
    "reviews": 1000,
    "runs": [RUN, RUN | {"workers": 2, "reviews_per_second": 8000.0}],
    "mean_tokens": 45.0,
    "partitions": 6,
    "broker": "a broker",
    "bound": 10_000.0,
}


def test_the_section_has_the_rate_and_its_price() -> None:
    """Core time a review, over all threads of the workers, and how close to the bound that is."""
    text = throughput.section(FIGURES)
    assert "| figure | 1 worker | 2 workers |" in text
    assert "| reviews a second | 5,000 | 8,000 |" in text
    assert "| core-microseconds a review | 250 | 250 |" in text
    assert "| share of the bound of the stages | 0.50 | 0.80 |" in text
    assert "share of the bound" not in throughput.section(FIGURES | {"bound": None})


def test_memory_is_drawn(drawn: list[Figure]) -> None:
    """MiB after each tenth of the reviews, in thousands, a line for each number of workers, from zero."""
    files = throughput.plots(FIGURES)
    (axes,) = drawn[0].axes
    tenths: list[Any] = [(pytest.approx(tenth / 10), 895.0 + 5 * tenth) for tenth in range(1, 11)]
    assert curves(axes) == {"1 worker": tenths, "2 workers": tenths}
    assert axes.get_ylim()[0] == 0
    assert list(files) == ["throughput-memory.png"]
    assert files == throughput.plots(FIGURES), "other bytes for the same figures"


def test_records_are_spread_by_key() -> None:
    """Each with its number."""
    first, second = throughput.items(["a", "b"])
    assert (first.value, first.key, second.key) == (b'{"id":"0","text":"a"}', b"user-0", b"user-1")
