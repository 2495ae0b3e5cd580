"""Batches: nothing lost, nothing late, never larger than allowed.

What that does to waits and padding is in tests/benchmarks/test_queueing.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.queueing import plausible_costs
from streamer.pipeline.batching import Batch, Bucketer, CostTable

TABLE = CostTable((10, 20), (1, 4, 8), ((1.0, 2.0, 4.0), (3.0, 4.0, 8.0)))

# Milliseconds since the step before, and the length of a review that comes; None asks for a batch.
Steps = list[tuple[int, int | None]]
steps = st.lists(st.tuples(st.integers(0, 20), st.none() | st.integers(1, 30)), max_size=60)


@st.composite
def tables(draw: st.DrawFn) -> CostTable:
    """Any table with positive costs, sensible or not."""
    lengths = sorted(draw(st.sets(st.integers(1, 40), min_size=1, max_size=4)))
    sizes = sorted(draw(st.sets(st.integers(1, 12), min_size=1, max_size=4)))
    row = st.tuples(*(st.floats(1e-4, 1.0) for _ in sizes))
    return CostTable(tuple(lengths), tuple(sizes), tuple(draw(row) for _ in lengths))


@dataclass(frozen=True)
class Given:
    """A bucketer's settings, and what happens to it."""

    costs: CostTable
    max_wait: float
    max_reviews: int
    max_padded_tokens: int
    steps: Steps


cases = st.builds(Given, tables(), st.sampled_from([0.0, 0.01, 0.1]), st.integers(1, 12), st.integers(1, 120), steps)


@dataclass(frozen=True)
class Waiting:
    """A review that waits: its number, its length and when it came."""

    number: int
    length: int
    since: float


@dataclass(frozen=True)
class Taken:
    """A batch, when it was taken, and what had been waiting until then, the oldest first."""

    batch: Batch[int] | None
    now: float
    before: list[Waiting]


def played(case: Given) -> Iterator[Taken]:
    """Play the steps, then take until nothing waits."""
    bucketer: Bucketer[int] = Bucketer(case.costs, case.max_wait, case.max_reviews, case.max_padded_tokens)
    waiting: list[Waiting] = []
    now, numbers = 0.0, itertools.count()
    for milliseconds, length in [*case.steps, *((1, None) for _ in range(len(case.steps) + 1))]:
        now += milliseconds / 1000
        if length is not None:
            waiting.append(Waiting(next(numbers), length, now))
            bucketer.add(waiting[-1].number, length, now)
            continue
        batch = bucketer.next_batch(now)
        yield Taken(batch, now, list(waiting))
        gone = set(batch.items if batch else ())
        waiting = [review for review in waiting if review.number not in gone]
        assert len(bucketer) == len(waiting)


@settings(deadline=None)
@given(cases)
def test_nothing_is_lost_and_nothing_comes_twice(case: Given) -> None:
    """Whatever comes and whenever batches are taken, each review is in exactly one."""
    taken = [number for step in played(case) if step.batch for number in step.batch.items]
    assert sorted(taken) == list(range(sum(length is not None for _, length in case.steps)))


@settings(deadline=None)
@given(cases)
def test_there_is_a_batch_whenever_something_waits(case: Given) -> None:
    """Work-conserving: only nothing waiting is a reason for no batch."""
    for step in played(case):
        assert (step.batch is None) == (not step.before)


@settings(deadline=None)
@given(cases)
def test_a_batch_keeps_its_bounds(case: Given) -> None:
    """At most so many reviews, and so many tokens with padding, unless it is a single review."""
    for step in played(case):
        if step.batch is not None:
            size = len(step.batch)
            assert 1 <= size <= case.max_reviews
            assert size == 1 or size * step.batch.length <= case.max_padded_tokens


@settings(deadline=None)
@given(cases)
def test_a_late_review_is_in_the_next_batch(case: Given) -> None:
    """The one that has waited longest; of several that came at the same time, one."""
    for step in played(case):
        if step.batch is not None and step.now - step.before[0].since >= case.max_wait:
            assert step.batch.oldest == step.before[0].since


@settings(deadline=None)
@given(cases)
def test_the_oldest_of_a_length_go_first(case: Given) -> None:
    """First come, first served among reviews of the same length."""
    left: dict[int, int] = {}
    for step in played(case):
        lengths = {review.number: review.length for review in step.before}
        for number in step.batch.items if step.batch else ():
            assert number > left.get(lengths[number], -1)
            left[lengths[number]] = number


@settings(deadline=None)
@given(cases)
def test_a_batch_describes_itself(case: Given) -> None:
    """Its length, its real tokens and its oldest review are those of its items, which go from long to short."""
    for step in played(case):
        if step.batch is not None:
            waiting = {review.number: review for review in step.before}
            lengths = [waiting[number].length for number in step.batch.items]
            assert lengths == sorted(lengths, reverse=True)
            assert (step.batch.length, step.batch.tokens) == (max(lengths), sum(lengths))
            assert step.batch.oldest == min(waiting[number].since for number in step.batch.items)


def test_neighbours_in_length_are_judged_together() -> None:
    """Two groups of lengths, nobody late: no batch mixes them."""
    costs = plausible_costs()
    bucketer: Bucketer[int] = Bucketer(costs, 60.0, 64, 16_384)
    for number in range(128):
        bucketer.add(number, 200 if number % 2 else 10, 0.0)
    batches = [bucketer.next_batch(0.0), bucketer.next_batch(0.0)]
    assert sorted((batch.length, batch.tokens) for batch in batches if batch) == [(10, 640), (200, 12_800)]


def test_a_late_review_comes_before_a_cheaper_batch_of_longer_ones() -> None:
    """Two long reviews alone would cost a hundredth; the late short one would not be among them."""
    costs = CostTable((1, 10), (2, 4), ((1.0, 1.0), (0.01, 1.0)))
    bucketer: Bucketer[str] = Bucketer(costs, 0.1, 8, 1024)
    bucketer.add("late", 1, 0.0)
    bucketer.add("long", 10, 1.0)
    bucketer.add("long", 10, 1.0)
    batch = bucketer.next_batch(1.0)
    assert batch is not None
    assert "late" in batch.items


@pytest.mark.parametrize(
    ("length", "size", "expected"),
    [
        (10, 1, 1.0),  # Measured.
        (20, 8, 8.0),
        (15, 1, 2.0),  # Between two lengths: linear.
        (15, 4, 3.0),
        (10, 2, 2.0),  # Between two sizes: the next larger.
        (20, 5, 8.0),
        (5, 1, 1.0),  # Shorter than any: as the shortest.
        (40, 1, 6.0),  # Longer than any, larger than any: in proportion.
        (10, 16, 8.0),
        (40, 16, 32.0),
    ],
)
def test_a_cost_is_read_off_the_table(length: int, size: int, expected: float) -> None:
    """Measured, in between or beyond."""
    assert TABLE.cost(length, size) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("lengths", "sizes", "seconds", "message"),
    [
        ((2, 1), (1,), ((1.0,), (1.0,)), "ascend"),
        ((1, 1), (1,), ((1.0,), (1.0,)), "ascend"),
        ((1,), (2, 1), ((1.0, 1.0),), "ascend"),
        ((1, 2), (1,), ((1.0,),), "a row per length"),
        ((1,), (1, 2), ((1.0,),), "a column per size"),
        ((1, 2), (1,), ((1.0,), (1.0, 2.0)), "a column per size"),
        ((), (), (), "a row per length"),
    ],
)
def test_a_crooked_table_is_refused(
    lengths: tuple[int, ...], sizes: tuple[int, ...], seconds: tuple[tuple[float, ...], ...], message: str
) -> None:
    """Descending, repeated, or with seconds that do not fit."""
    with pytest.raises(ValueError, match=message):
        CostTable(lengths, sizes, seconds)


def test_an_overhead_counts_for_every_batch() -> None:
    """Once a batch, whatever its size."""
    table = CostTable((4, 8), (1, 2), ((1.0, 2.0), (3.0, 4.0))).plus(0.5)
    assert (table.cost(4, 1), table.cost(8, 2)) == (1.5, 4.5)
