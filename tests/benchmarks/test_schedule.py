"""Open-loop load: fixed in advance, and honest about whoever stalls."""

from __future__ import annotations

import queue
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.schedule import Outcome, pace, percentiles, poisson_schedule


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_percentiles_are_numpys(values: list[float]) -> None:
    """By numpy's definition `inverted_cdf`, for any number of values."""
    shares = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    expected = {name: np.percentile(values, share, method="inverted_cdf") for name, share in shares.items()}
    assert {name: value for name, value in percentiles(values).items() if name in shares} == expected


def test_percentiles_of_whole_ranks() -> None:
    """Of a thousand values the 999th is p99.9: no rounding of 0.999 * 1000 upward."""
    assert percentiles(range(1, 1001)) == {"p50": 500, "p95": 950, "p99": 990, "p99.9": 999, "max": 1000}


def test_percentiles_of_nothing_are_refused() -> None:
    """Rather than 0 ms."""
    with pytest.raises(ValueError, match="nothing"):
        percentiles([])


def test_the_schedule_is_seeded() -> None:
    """The same seed, the same arrivals; another, others."""
    assert poisson_schedule(100, 5, seed=1) == poisson_schedule(100, 5, seed=1)
    assert poisson_schedule(100, 5, seed=1) != poisson_schedule(100, 5, seed=2)


def test_the_schedule_is_poisson() -> None:
    """As many as the rate says, gaps with the deviation of their mean, all within the time."""
    times = np.array(poisson_schedule(1000, 20, seed=3))
    gaps = np.diff(times)
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert times[0] > 0 and times[-1] < 20


class Service:
    """Takes reviews one after the other at once, but for one stall."""

    def __init__(self, stall_at: int, seconds: float) -> None:
        self._stall_at = stall_at
        self._seconds = seconds
        self._taken: queue.Queue[int | None] = queue.Queue()
        self.arrived: dict[int, int] = {}
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def send(self, number: int) -> None:
        self._taken.put(number)

    def finish(self) -> None:
        self._taken.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (number := self._taken.get()) is not None:
            if number == self._stall_at:
                time.sleep(self._seconds)
            self.arrived[number] = time.monotonic_ns()


def test_a_stall_counts_for_all_that_came_meanwhile() -> None:
    """A service that sleeps for 0.4 s is charged for every review due meanwhile, not for the one it held."""
    start = time.monotonic_ns() + 20_000_000
    due = [start + number * 5_000_000 for number in range(100)]
    service = Service(stall_at=10, seconds=0.4)
    late = pace(due, service.send)
    service.finish()
    seconds = {number: (at - start) / 1e9 for number, at in service.arrived.items()}
    outcome = Outcome([(at - start) / 1e9 for at in due], [ns / 1e9 for ns in late], seconds)
    latencies = outcome.latencies()
    # 80 reviews were due during the stall; those of its first 0.3 s waited for 0.1 s or more.
    assert sum(latency >= 0.1 for latency in latencies) >= 60
    assert latencies[10] >= 0.4
    assert percentiles(latencies)["p50"] >= 0.1


def test_a_sender_that_is_held_up_is_late_and_sends_on() -> None:
    """Back pressure on the generator neither moves what is due nor hides: the lateness is told."""
    start = time.monotonic_ns()
    due = [start + number * 10_000_000 for number in range(20)]
    sent: list[int] = []

    def send(number: int) -> None:
        if number == 5:
            time.sleep(0.15)
        sent.append(number)

    late = pace(due, send)
    assert sent == list(range(20))
    assert all(ns >= 0 for ns in late)
    assert late[6] >= 130_000_000
    assert late[14] >= 50_000_000


def test_latency_counts_from_when_it_was_due() -> None:
    """And what was due in the warm-up is left out."""
    outcome = Outcome([0.0, 1.0, 2.0], [0.0, 0.5, 0.0], {0: 0.1, 1: 1.75, 2: 2.5})
    assert outcome.latencies(since=0.5) == [0.75, 0.5]


def test_a_steady_backlog_is_no_overload() -> None:
    """Results that come 0.3 s late, as many as are sent."""
    due = [number / 100 for number in range(1, 1001)]
    outcome = Outcome(due, [0.0] * 1000, {number: at + 0.3 for number, at in enumerate(due)})
    assert outcome.backlog(5.0) == 30
    assert not outcome.overloaded()


def test_a_growing_backlog_is_an_overload() -> None:
    """A service that manages 80 of 100 a second, though it finishes in the end."""
    due = [number / 100 for number in range(1, 1001)]
    outcome = Outcome(due, [0.0] * 1000, {number: (number + 1) / 80 for number in range(1000)})
    assert outcome.overloaded()


def test_missing_results_are_an_overload() -> None:
    """Whatever the latency of the others."""
    assert Outcome([0.0, 1.0], [0.0, 0.0], {0: 0.1}).overloaded()
