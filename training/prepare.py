"""From labelled reviews to encoded parts: deduplicated, split, with a vocabulary of the train part.

read -> segment -> sort out -> vocabulary -> encode -> Prepared
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamer.text import NORMALISATION, PAD, UNKNOWN, Vocabulary, bound, head_and_tail, normalise, segment
from training.data import DataError, Review, contents, read
from training.parts import ALL_PARTS, PARTS, Counts, Part, Prepared
from training.recipe import Recipe
from training.split import Keyed, leaks_of, sort_out, text_key

# Of a vocabulary, as of `Model.vocabulary`: fewer come of a corpus that is too small to learn from.
LEAST_TOKENS = 16

_FATES = tuple(field.name for field in fields(Counts) if field.name != "read")


def digest_of(recipe: Recipe, data_dir: Path, cache: Path) -> str:
    """A digest of all that `prepare` depends on; raises as it does."""
    settings = recipe.model_dump_json(include={"split", "model", "data"})
    digest = hashlib.sha256(f"{NORMALISATION} {settings}".encode())
    for source in recipe.data:
        for piece in contents(source, data_dir, cache, recipe.home):
            digest.update(len(piece).to_bytes(8))
            digest.update(piece)
    return digest.hexdigest()


def prepare(recipe: Recipe, data_dir: Path, cache: Path) -> Prepared:
    """Read, deduplicate, split and encode the recipe's reviews.

    Raises DataError and FetchError as `training.data.read` and `training.split.sort_out` do, and DataError when a
    part lacks a class or too few tokens are left for a vocabulary.
    """
    items: list[Keyed] = []
    tokens: list[list[str]] = []
    for number, source in enumerate(recipe.data):
        for review in read(source, data_dir, cache, recipe.home):
            key, found = _segmented(review, recipe.model.max_tokens)
            items.append(Keyed(review, key, number, not found))
            tokens.append(found)

    kept, fates = sort_out(items, recipe)
    report, leaks = leaks_of(items, kept, recipe)
    by_part = {part: [one for one in kept if one.part == part] for part in ALL_PARTS}
    copies = [source.repeat for source in recipe.data]
    by_part["train"] = [one for one in by_part["train"] for _ in range(copies[items[one.index].source])]
    for part in PARTS:
        positive = sum(items[one.index].review.positive for one in by_part[part])
        negative = len(by_part[part]) - positive
        if not positive or not negative:
            what = f"too few reviews: the {part} part lacks a class ({positive} positive, {negative} negative)"
            raise DataError(what, "the recipe's data")

    train = (tokens[one.index] for one in by_part["train"])
    vocabulary = choose_vocabulary(train, recipe.model.vocabulary, recipe.model.characters)
    if len(vocabulary) < LEAST_TOKENS:
        what = f"too few reviews: only {len(vocabulary)} tokens for the vocabulary, which needs {LEAST_TOKENS}"
        raise DataError(f"{what}; the train part has {len(by_part['train'])} reviews", "the recipe's data")
    known = {items[one.index].key for one in kept if one.part != "test"}
    encoder = Vocabulary(vocabulary)
    return Prepared(
        digest=digest_of(recipe, data_dir, cache),
        sources=tuple(source.name for source in recipe.data),
        vocabulary=vocabulary,
        parts={
            part: _encode(
                [items[one.index] for one in by_part[part]],
                [tokens[one.index] for one in by_part[part]],
                known if part == "test" else frozenset(),
                encoder,
                recipe.model.max_tokens,
            )
            for part in ALL_PARTS
        },
        counts={
            source.name: Counts(read=fate.total(), **{name: fate[name] for name in _FATES})
            for source, fate in zip(recipe.data, fates, strict=True)
        },
        leaks=leaks,
        leak_report=report,
    )


def _segmented(review: Review, max_tokens: int) -> tuple[str, list[str]]:
    """The key of the whole text, and the tokens of as much of it as serving would read."""
    normalised = normalise(review.text)
    bounded = bound(review.text, max_tokens)
    tokens = segment(normalised if bounded is review.text else normalise(bounded))
    return text_key(normalised), [token for token in tokens if not token.isspace()]


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


def _encode(
    items: Sequence[Keyed],
    tokens: Sequence[Sequence[str]],
    known: Set[str],
    vocabulary: Vocabulary,
    max_tokens: int,
) -> Part:
    encoded: list[npt.NDArray[np.int32]] = []
    for found in tokens:
        ids, _ = vocabulary.pieces(found)
        encoded.append(np.array(ids if len(ids) <= max_tokens else head_and_tail(ids, max_tokens), np.int32))
    return Part(
        ids=np.concatenate(encoded) if encoded else np.zeros(0, np.int32),
        starts=np.cumsum([0, *map(len, encoded)], dtype=np.int64),
        positive=np.array([item.review.positive for item in items], np.bool_),
        source=np.array([item.source for item in items], np.int64),
        seen=np.array([item.key in known for item in items], np.bool_),
    )
