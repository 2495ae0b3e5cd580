"""Decides which reviews are kept and in which split, so that no text is in two splits unless the recipe wants it.

keyed reviews -> split of each -> without empty, conflicting, duplicate and overlapping ones
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from training.corpus.corpus import SPLITS, SplitName
from training.corpus.fragments import find_full_texts
from training.labels import ReviewLabel
from training.recipe import Recipe, Source
from training.sources.reviews import Review
from training.sources.tables import DataError

DropReason = Literal["empty", "duplicate", "conflicting", "neutral_dropped", "overlap"]
LabelsByKey = dict[str, set[ReviewLabel]]


@dataclass(frozen=True, slots=True)
class KeyedReview:
    """A review with what decides its split: its text's key, its source's index, whether it has no token."""

    review: Review
    key: str
    source: int
    empty: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    """A review that is kept: its index among the keyed ones, and its split."""

    index: int
    split: SplitName


def text_key(normalised: str) -> str:
    """Reviews with the same key have the same text: its letters and digits alone, or all of a text without any.

    A copy that differs in punctuation or spaces must not end up in another split.
    """
    return "".join(character for character in normalised if character.isalnum()) or normalised


def split_of(key: str, seed: int, dev: float, test: float) -> SplitName:
    """The split of a text or group: a hash of seed and key decides, so that other data never moves a review."""
    digest = hashlib.sha256(f"{seed}\n{key}".encode(errors="surrogatepass")).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    return "test" if share < test else "dev" if share < test + dev else "train"


def deduplicate_and_split(
    reviews: Sequence[KeyedReview], recipe: Recipe
) -> tuple[list[Assignment], list[Counter[str]]]:
    """The reviews that are kept, in their order, and for each source its outcomes, named as in `SourceCounts`.

    1. Sources whose part is split or train come first, in their order, then those of dev, then those of test, then
       fragments: each loses the texts that the ones before it have.
    2. A text with two labels is dropped, but a fixed dev or test split takes nothing from the ones before it.
    3. Of duplicates the first is kept.
    4. Neutral reviews of dev are a split of their own, those of train and test are dropped.

    Raises DataError when a fixed split has texts of another split and its `overlap` is "fail".
    """
    labels = _labels_by_key(reviews, recipe)
    train_gives_dev = not any(
        source.part == "dev" or (source.part == "split" and source.fragments_of is None) for source in recipe.data
    )
    outcomes: list[Counter[str]] = [Counter() for _ in recipe.data]
    assignments: list[Assignment] = []
    split_by_key: dict[str, SplitName] = {}
    fragment_splits: dict[tuple[int, str], SplitName] | None = None
    overlapping: list[KeyedReview] = []
    for index in sorted(range(len(reviews)), key=lambda index: _order(recipe.data[reviews[index].source])):
        review = reviews[index]
        source = recipe.data[review.source]
        if source.fragments_of is not None and fragment_splits is None:
            fragment_splits = _fragment_splits(reviews, recipe, split_by_key)
        split = (fragment_splits or {}).get((review.source, review.key)) or _split(review, recipe, train_gives_dev)
        conflicting = len(labels[_precedence(source)].get(review.key, ())) > 1
        outcome = _outcome(review, source, split, split_by_key.get(review.key), conflicting)
        outcomes[review.source][outcome] += 1
        if outcome == "overlap" and source.overlap == "fail":
            overlapping.append(review)
        elif outcome in SPLITS:
            split_by_key.setdefault(review.key, outcome)
            assignments.append(Assignment(index, outcome))
    if overlapping:
        raise _overlap_error(overlapping, recipe)
    return sorted(assignments, key=lambda assignment: assignment.index), outcomes


def _order(source: Source) -> int:
    """When a source's reviews are assigned: fragments last, since they follow their full texts."""
    return 3 if source.fragments_of is not None else _precedence(source)


def _precedence(source: Source) -> int:
    """Which source keeps a text that several have: the one with the least."""
    return {"split": 0, "train": 0, "dev": 1, "test": 2}[source.part]


def _labels_by_key(reviews: Sequence[KeyedReview], recipe: Recipe) -> list[LabelsByKey]:
    """Labels of each text: in split and train sources, then with dev sources added, then with test sources added.

    A source that is kept as published adds none.
    """
    labels: list[LabelsByKey] = [{}, {}, {}]
    for review in reviews:
        source = recipe.data[review.source]
        if source.overlap != "keep":
            for known in labels[_precedence(source) :]:
                known.setdefault(review.key, set()).add(review.review.label)
    return labels


def _split(review: KeyedReview, recipe: Recipe, train_gives_dev: bool) -> SplitName:
    """The split that a review would be in if its text were in no other."""
    source = recipe.data[review.source]
    if source.part == "dev" or source.part == "test":
        return source.part
    if source.part == "train" and not train_gives_dev:
        return "train"
    hashed = review.key if review.review.group is None else f"{source.name}\n{review.review.group}"
    settings = recipe.split
    return split_of(hashed, settings.seed, settings.dev, 0.0 if source.part == "train" else settings.test)


def _fragment_splits(
    reviews: Sequence[KeyedReview], recipe: Recipe, split_by_key: Mapping[str, SplitName]
) -> dict[tuple[int, str], SplitName]:
    """The split of each fragment's full text, by source and key."""
    numbers = {source.name: number for number, source in enumerate(recipe.data)}
    splits: dict[tuple[int, str], SplitName] = {}
    for number, source in enumerate(recipe.data):
        if source.fragments_of is not None:
            full = numbers[source.fragments_of]
            texts = dict.fromkeys(one.key for one in reviews if one.source == full and one.key in split_by_key)
            found = find_full_texts((one.key for one in reviews if one.source == number), texts)
            splits |= {(number, key): _without_neutral(split_by_key[text]) for key, text in found.items()}
    return splits


def _without_neutral(split: SplitName) -> SplitName:
    """The split that the hash knows: neutral reviews belong to dev."""
    return "dev" if split == "neutral" else split


def _outcome(
    review: KeyedReview, source: Source, split: SplitName, known_in: SplitName | None, conflicting: bool
) -> SplitName | DropReason:
    """The split where a review is kept, or why it is dropped.

    known_in: the split that has its text already. conflicting: whether its text has two labels.
    """
    if review.empty:
        return "empty"
    if review.review.neutral and split != "dev":
        return "conflicting" if conflicting and source.overlap != "keep" else "neutral_dropped"
    if source.overlap == "keep":
        return split
    if source.part in ("dev", "test") and known_in is not None and _without_neutral(known_in) != split:
        return "overlap"
    if conflicting:
        return "conflicting"
    if known_in is not None:
        return "duplicate"
    return "neutral" if review.review.neutral else split


def _overlap_error(overlapping: Sequence[KeyedReview], recipe: Recipe) -> DataError:
    first = overlapping[0]
    source = recipe.data[first.source]
    texts = len({review.key for review in overlapping if review.source == first.source})
    keep = ', "keep" keeps the file as published and marks them' if source.part == "test" else ""
    what = f"the first of {texts} texts of source {source.name}, part {source.part}, that another split has too; "
    allow = f'in the recipe, overlap = "drop" drops them{keep}'
    return DataError(what + allow, first.review.file, first.review.line)
