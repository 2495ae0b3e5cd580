"""Leaks: texts that are in more than one split, counted on the result of the splitting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from training.corpus.corpus import SPLITS, Leak, SplitName
from training.corpus.splitting import Assignment, KeyedReview
from training.recipe import Recipe
from training.sources.tables import DataError


def find_leaks(
    reviews: Sequence[KeyedReview], assignments: Iterable[Assignment], recipe: Recipe
) -> tuple[tuple[Leak, ...], int]:
    """The texts that are in two splits, by source and pair of splits, and how many distinct ones there are.

    Raises DataError when a source has some without `overlap = "keep"`, which is checked independently of the splitting.
    """
    texts: dict[SplitName, set[str]] = {split: set() for split in SPLITS}
    by_source: dict[tuple[int, SplitName], set[str]] = {}
    for assignment in assignments:
        review = reviews[assignment.index]
        texts[assignment.split].add(review.key)
        by_source.setdefault((review.source, assignment.split), set()).add(review.key)
    leaks = []
    for (number, split), keys in sorted(by_source.items()):
        for other in SPLITS[: SPLITS.index(split)]:
            if shared := len(keys & texts[other]):
                leaks.append(Leak(recipe.data[number].name, split, other, shared))
                if recipe.data[number].overlap != "keep":
                    raise DataError(f"this is a bug: {leaks[-1]}", "the recipe's data")
    return tuple(leaks), count_leaks(texts.values())


def count_leaks(splits: Iterable[set[str]]) -> int:
    """How many texts, by their keys, are in more than one split."""
    return sum(count > 1 for count in Counter(key for split in splits for key in split).values())
