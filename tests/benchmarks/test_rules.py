"""Other servers' batching rules: each keeps its bounds and gives every review once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.queueing import Policy, plausible_costs
from benchmarks.rules import ArrivalOrder, Edges, SortedWindow
from streamer.pipeline.batching import Batch, Bucketer, TokenBudget

REVIEWS, TOKENS = 8, 200
POLICIES: dict[str, Callable[[], Policy]] = {
    "arrival order": lambda: ArrivalOrder(REVIEWS),
    "token budget": lambda: TokenBudget(REVIEWS, TOKENS),
    "sorted window": lambda: SortedWindow(REVIEWS, 3),
    "fixed edges": lambda: Edges((10, 25), REVIEWS, TOKENS),
    "powers of two": lambda: Edges((1, 2, 4, 8, 16, 32), REVIEWS, TOKENS, to_edge=True),
    "ours": lambda: Bucketer(plausible_costs(), 0.01, REVIEWS, TOKENS),
}
BY_NUMBER = ("arrival order", "sorted window")

# A review that comes, by its length, or a batch that is taken.
steps = st.lists(st.none() | st.integers(1, 60), max_size=80)


@pytest.mark.parametrize("name", POLICIES)
@settings(deadline=None)
@given(steps=steps)
def test_every_review_is_in_one_batch_within_the_bounds(name: str, steps: list[int | None]) -> None:
    """Of reviews, and of tokens with padding where the rule knows of them, unless it is a single review."""
    policy = POLICIES[name]()
    lengths: list[int] = []
    batches: list[Batch[int]] = []
    for step in [*steps, *[None] * len(steps)]:
        if step is not None:
            policy.add(len(lengths), step, len(lengths) / 1000)
            lengths.append(step)
            continue
        waiting = len(policy)
        batch = policy.next_batch(len(lengths) / 1000)
        assert (batch is None) == (waiting == 0)
        if batch is not None:
            assert len(policy) == waiting - len(batch)
            batches.append(batch)
    assert sorted(item for batch in batches for item in batch.items) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= REVIEWS
        assert batch.length >= max(lengths[item] for item in batch.items)
        assert batch.tokens == sum(lengths[item] for item in batch.items)
        assert batch.oldest == min(batch.items) / 1000
        assert name in BY_NUMBER or len(batch) == 1 or len(batch) * batch.length <= TOKENS


def taken(policy: Policy, lengths: list[int]) -> list[tuple[list[int], int]]:
    """Lengths and padded length of the batches of a backlog."""
    for number, length in enumerate(lengths):
        policy.add(number, length, 0.0)
    found = []
    while (batch := policy.next_batch(0.0)) is not None:
        found.append(([lengths[item] for item in batch.items], batch.length))
    return found


def test_the_token_budget_ends_a_batch_with_the_first_that_does_not_fit() -> None:
    """Even where one behind it would; what is too large alone goes alone."""
    assert taken(TokenBudget(4, 20), [5, 5, 10, 1, 30, 2]) == [([5, 5], 5), ([10, 1], 10), ([30], 30), ([2], 2)]


def test_the_sorted_window_sorts_whole_batches_only() -> None:
    """Shortest first; what is left of a batch goes last, and alone, in the order of arrival."""
    batches = taken(SortedWindow(2, 2), [9, 1, 5, 3, 8, 2, 7])
    assert batches == [([1, 3], 3), ([5, 9], 9), ([8, 2], 8), ([7], 7)]


def test_what_comes_meanwhile_waits_for_the_next_window() -> None:
    """Else a long review could wait for ever."""
    policy = SortedWindow(1, 2)
    for number, length in enumerate((9, 5)):
        policy.add(number, length, 0.0)
    first = policy.next_batch(0.0)
    policy.add(2, 1, 0.0)
    second = policy.next_batch(0.0)
    assert [batch.length for batch in (first, second) if batch] == [5, 9]


def test_edges_pad_to_the_longest_or_to_the_edge() -> None:
    """And take the bucket whose first review came first."""
    assert taken(Edges((4, 8), 2, 100), [3, 7, 5, 2]) == [([3, 2], 3), ([7, 5], 7)]
    assert taken(Edges((4, 8), 2, 100, to_edge=True), [3, 7, 5, 2]) == [([3, 2], 4), ([7, 5], 8)]
    assert taken(Edges((4, 8), 2, 100, to_edge=True), [30]) == [([30], 30)]
