"""Makes the corpus: labelled reviews, deduplicated, split, and encoded with a vocabulary of the train split.

read -> segment -> deduplicate and split -> vocabulary -> encode -> Corpus
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamer.text import NORMALISATION, Vocabulary, head_and_tail, normalise, visible_text, visible_tokens
from training.corpus.corpus import LABELLED_SPLITS, SPLITS, Corpus, SourceCounts, Split, SplitName
from training.corpus.leaks import find_leaks
from training.corpus.splitting import Assignment, KeyedReview, deduplicate_and_split, text_key
from training.corpus.vocabulary import build_vocabulary
from training.labels import NEGATIVE, POSITIVE
from training.recipe import Recipe
from training.sources.labelling import Report
from training.sources.reviews import Review, read_reviews, source_bytes
from training.sources.tables import DataError

# Fewer tokens come from data that are too small to learn from; the recipe's `model.vocabulary` has the same bound.
MIN_VOCABULARY = 16

_OUTCOMES = tuple(field.name for field in fields(SourceCounts) if field.name != "read")


def corpus_digest(recipe: Recipe, data_dir: Path, cache: Path) -> str:
    """A digest of everything that `prepare` depends on. Raises as `prepare` does."""
    settings = recipe.model_dump_json(include={"split", "model", "data"})
    digest = hashlib.sha256(f"{NORMALISATION} {settings}".encode())
    for source in recipe.data:
        for piece in source_bytes(source, data_dir, cache, recipe.directory):
            digest.update(len(piece).to_bytes(8))
            digest.update(piece)
    return digest.hexdigest()


def prepare(recipe: Recipe, data_dir: Path, cache: Path, report: Report | None = None) -> Corpus:
    """Read, deduplicate, split and encode the recipe's reviews. report: as of `read_reviews`.

    Raises DataError and FetchError as `read_reviews` and `deduplicate_and_split` do, and DataError when a split lacks
    a class or too few tokens are left for a vocabulary.
    """
    reviews, tokens = _read(recipe, data_dir, cache, report)
    assignments, outcomes = deduplicate_and_split(reviews, recipe)
    leak_report, leaks = find_leaks(reviews, assignments, recipe)
    indices = _indices_by_split(assignments, reviews, recipe)
    _check_classes(indices, reviews)

    vocabulary = build_vocabulary(
        (tokens[index] for index in indices["train"]), recipe.model.vocabulary, recipe.model.characters
    )
    if len(vocabulary) < MIN_VOCABULARY:
        what = f"too few reviews: only {len(vocabulary)} tokens for the vocabulary, which needs {MIN_VOCABULARY}"
        raise DataError(f"{what}; the train split has {len(indices['train'])} reviews", "the recipe's data")
    outside_test = {reviews[assignment.index].key for assignment in assignments if assignment.split != "test"}
    encoder = Vocabulary(vocabulary)
    return Corpus(
        digest=corpus_digest(recipe, data_dir, cache),
        sources=tuple(source.name for source in recipe.data),
        vocabulary=vocabulary,
        splits={
            name: _encode(
                [reviews[index] for index in indices[name]],
                [tokens[index] for index in indices[name]],
                outside_test if name == "test" else frozenset(),
                encoder,
                recipe.model.max_tokens,
            )
            for name in SPLITS
        },
        counts={
            source.name: SourceCounts(read=counts.total(), **{name: counts[name] for name in _OUTCOMES})
            for source, counts in zip(recipe.data, outcomes, strict=True)
        },
        leaks=leaks,
        leak_report=leak_report,
    )


def _read(
    recipe: Recipe, data_dir: Path, cache: Path, report: Report | None
) -> tuple[list[KeyedReview], list[list[str]]]:
    """All reviews of all sources, and the tokens of each."""
    reviews: list[KeyedReview] = []
    tokens: list[list[str]] = []
    for number, source in enumerate(recipe.data):
        for review in read_reviews(source, data_dir, cache, recipe.directory, report):
            key, found = _segmented(review, recipe.model.max_tokens)
            reviews.append(KeyedReview(review, key, number, not found))
            tokens.append(found)
    return reviews, tokens


def _segmented(review: Review, max_tokens: int) -> tuple[str, list[str]]:
    """The key of the whole text, and the tokens of as much of it as serving would read."""
    visible = visible_text(review.text)
    return text_key(normalise(visible)), visible_tokens(visible, max_tokens)


def _indices_by_split(
    assignments: Sequence[Assignment], reviews: Sequence[KeyedReview], recipe: Recipe
) -> dict[SplitName, list[int]]:
    """The indices of the reviews in each split; in train a review comes as often as its source says."""
    indices: dict[SplitName, list[int]] = {name: [] for name in SPLITS}
    for assignment in assignments:
        repeat = recipe.data[reviews[assignment.index].source].repeat if assignment.split == "train" else 1
        indices[assignment.split].extend([assignment.index] * repeat)
    return indices


def _check_classes(indices: Mapping[SplitName, Sequence[int]], reviews: Sequence[KeyedReview]) -> None:
    """Raise DataError when a split lacks a class."""
    for name in LABELLED_SPLITS:
        positive = sum(reviews[index].review.positive for index in indices[name])
        negative = len(indices[name]) - positive
        if not positive or not negative:
            counts = f"{positive} {POSITIVE}, {negative} {NEGATIVE}"
            raise DataError(f"too few reviews: the {name} split lacks a class ({counts})", "the recipe's data")


def _encode(
    reviews: Sequence[KeyedReview],
    tokens: Sequence[Sequence[str]],
    seen_keys: Set[str],
    vocabulary: Vocabulary,
    max_tokens: int,
) -> Split:
    encoded: list[npt.NDArray[np.int32]] = []
    for found in tokens:
        ids, _ = vocabulary.pieces(found)
        encoded.append(np.array(ids if len(ids) <= max_tokens else head_and_tail(ids, max_tokens), np.int32))
    return Split(
        ids=np.concatenate(encoded) if encoded else np.zeros(0, np.int32),
        starts=np.cumsum([0, *map(len, encoded)], dtype=np.int64),
        positive=np.array([review.review.positive for review in reviews], np.bool_),
        source=np.array([review.source for review in reviews], np.int64),
        seen=np.array([review.key in seen_keys for review in reviews], np.bool_),
    )
