"""Leaks are counted; that the splitting leaves none is in test_splitting.py."""

from __future__ import annotations

from training.corpus.leaks import count_leaks


def test_leaks_are_counted_between_all_splits() -> None:
    """Each text once."""
    assert count_leaks([{"a", "b"}, {"b", "c"}, {"a", "c"}]) == 3
    assert count_leaks([{"a"}, {"a"}, {"a"}]) == 1
