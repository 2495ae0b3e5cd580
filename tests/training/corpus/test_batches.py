"""Batches hold every review once, with little padding."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.corpus.batches import inference_batches, training_batches

lengths = st.lists(st.integers(1, 300), min_size=1, max_size=200).map(lambda items: np.array(items, np.int64))


@given(lengths, st.integers(1, 64))
def test_training_batches_hold_every_review_once(lengths: np.ndarray, size: int) -> None:
    """An epoch is an epoch."""
    batches = training_batches(lengths, size, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert max(map(len, batches)) <= size


@given(lengths, st.integers(1, 2000))
def test_inference_batches_stay_within_their_budget(lengths: np.ndarray, tokens: int) -> None:
    """Padding counts; a review longer than the budget goes alone."""
    batches = list(inference_batches(lengths, tokens))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * lengths[batch].max() <= tokens for batch in batches)


def test_training_batches_pad_little() -> None:
    """Reviews of similar lengths are batched together."""
    lengths = np.random.default_rng(1).integers(1, 257, 20_000)
    batches = training_batches(lengths, 64, np.random.default_rng(1))
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    assert padded < 1.05 * lengths.sum()
