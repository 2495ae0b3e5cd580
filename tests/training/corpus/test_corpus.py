"""The corpus keeps encoded reviews as arrays, and comes back from its files as it was."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from training.corpus.corpus import (
    LABELLED_SPLITS,
    SPLITS,
    Corpus,
    Leak,
    SourceCounts,
    Split,
    SplitName,
    empty_split,
    load_corpus,
)

OLD_COUNTS = ("read", "empty", "duplicate", "conflicting", "train", "dev", "test")


def test_padded_reviews_are_time_by_batch_padded_at_the_end() -> None:
    """The layout that the model takes."""
    split = Split(np.array([5, 6, 7, 8], np.int32), np.array([0, 1, 4]), np.array([True, False]), np.zeros(2, np.int64))
    assert split.padded(np.array([1, 0])).tolist() == [[6, 5], [7, 0], [8, 0]]


def test_no_review_counts_as_seen_when_nothing_is_said() -> None:
    """Only published test files have such."""
    split = Split(np.array([5, 6], np.int32), np.array([0, 1, 2]), np.array([True, False]), np.zeros(2, np.int64))
    assert split.seen.tolist() == [False, False]
    assert (len(empty_split()), len(empty_split().seen), len(empty_split().lengths)) == (0, 0, 0)


def test_a_corpus_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """The next step of a run works on the same arrays, counts and leaks."""
    split = Split(
        np.array([5, 6], np.int32),
        np.array([0, 1, 2]),
        np.array([True, False]),
        np.array([0, 1]),
        np.array([False, True]),
    )
    counts = SourceCounts(
        read=9, empty=1, duplicate=0, conflicting=0, train=2, dev=2, test=2, neutral=1, neutral_dropped=1
    )
    splits: dict[SplitName, Split] = {"train": split, "dev": split, "neutral": empty_split(), "test": split}
    leaks = (Leak("b", "test", "train", 1),)
    corpus = Corpus("abc", ("a", "b"), ("<pad>", "<unk>", "好"), splits, {"a": counts}, 1, leak_report=leaks)
    corpus.save(tmp_path)
    again = load_corpus(tmp_path)
    assert replace(again, splits={}) == replace(corpus, splits={})
    assert list(again.splits) == list(SPLITS)
    for name in SPLITS:
        for field in fields(Split):
            expected, actual = getattr(splits[name], field.name), getattr(again.splits[name], field.name)
            np.testing.assert_array_equal(actual, expected)
            assert actual.dtype == expected.dtype


def test_what_was_saved_before_there_were_neutral_splits_can_be_read(tmp_path: Path) -> None:
    """So that its digest can tell that it is stale."""
    arrays = {
        f"{name}_{field}": np.zeros(0) for name in LABELLED_SPLITS for field in ("ids", "starts", "positive", "source")
    }
    np.savez(tmp_path / "prepared.npz", allow_pickle=False, **arrays)
    about = {
        "digest": "old",
        "leaks": 0,
        "counts": {"a": dict.fromkeys(OLD_COUNTS, 0)},
        "sources": [],
        "vocabulary": [],
    }
    (tmp_path / "prepared.json").write_text(json.dumps(about), encoding="utf-8")
    assert load_corpus(tmp_path).digest == "old"
