"""Batches hold every review once, with little padding."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.parts import (
    ALL_PARTS,
    PARTS,
    Counts,
    Leak,
    Part,
    PartName,
    Prepared,
    load_prepared,
    no_reviews,
    reading_batches,
    training_batches,
)

OLD_COUNTS = ("read", "empty", "duplicate", "conflicting", "train", "dev", "test")

lengths = st.lists(st.integers(1, 300), min_size=1, max_size=200).map(lambda items: np.array(items, np.int64))


@given(lengths, st.integers(1, 64))
def test_training_batches_hold_every_review_once(lengths: np.ndarray, size: int) -> None:
    """An epoch is an epoch."""
    batches = training_batches(lengths, size, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert max(map(len, batches)) <= size


@given(lengths, st.integers(1, 2000))
def test_reading_batches_stay_within_their_budget(lengths: np.ndarray, tokens: int) -> None:
    """Padding counts; a review longer than the budget goes alone."""
    batches = list(reading_batches(lengths, tokens))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * lengths[batch].max() <= tokens for batch in batches)


def test_training_batches_pad_little() -> None:
    """Reviews of like lengths keep company."""
    lengths = np.random.default_rng(1).integers(1, 257, 20_000)
    batches = training_batches(lengths, 64, np.random.default_rng(1))
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    assert padded < 1.05 * lengths.sum()


def test_a_stack_is_time_by_batch_padded_at_the_end() -> None:
    """The layout that the model takes."""
    part = Part(np.array([5, 6, 7, 8], np.int32), np.array([0, 1, 4]), np.array([True, False]), np.zeros(2, np.int64))
    assert part.stack(np.array([1, 0])).tolist() == [[6, 5], [7, 0], [8, 0]]


def test_no_review_counts_as_seen_when_nothing_is_said() -> None:
    """Only published test files have such."""
    part = Part(np.array([5, 6], np.int32), np.array([0, 1, 2]), np.array([True, False]), np.zeros(2, np.int64))
    assert part.seen.tolist() == [False, False]
    assert (len(no_reviews()), len(no_reviews().seen), len(no_reviews().lengths)) == (0, 0, 0)


def test_prepared_data_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """The next step of a run works on the same arrays, counts and leaks."""
    part = Part(
        np.array([5, 6], np.int32),
        np.array([0, 1, 2]),
        np.array([True, False]),
        np.array([0, 1]),
        np.array([False, True]),
    )
    counts = Counts(9, 1, 0, 0, 2, 2, 2, neutral=1, neutral_dropped=1)
    parts: dict[PartName, Part] = {"train": part, "dev": part, "neutral": no_reviews(), "test": part}
    leaks = (Leak("b", "test", "train", 1),)
    prepared = Prepared("abc", ("a", "b"), ("<pad>", "<unk>", "好"), parts, {"a": counts}, 1, leaks)
    prepared.save(tmp_path)
    again = load_prepared(tmp_path)
    assert replace(again, parts={}) == replace(prepared, parts={})
    assert list(again.parts) == list(ALL_PARTS)
    for name in ALL_PARTS:
        for field in fields(Part):
            expected, actual = getattr(parts[name], field.name), getattr(again.parts[name], field.name)
            np.testing.assert_array_equal(actual, expected)
            assert actual.dtype == expected.dtype


def test_what_was_saved_before_there_were_neutral_parts_can_be_read(tmp_path: Path) -> None:
    """So that its digest can tell that it is stale."""
    arrays = {f"{name}_{field}": np.zeros(0) for name in PARTS for field in ("ids", "starts", "positive", "source")}
    np.savez(tmp_path / "prepared.npz", allow_pickle=False, **arrays)
    about = {
        "digest": "old",
        "leaks": 0,
        "counts": {"a": dict.fromkeys(OLD_COUNTS, 0)},
        "sources": [],
        "vocabulary": [],
    }
    (tmp_path / "prepared.json").write_text(json.dumps(about), encoding="utf-8")
    assert load_prepared(tmp_path).digest == "old"
