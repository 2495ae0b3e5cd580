"""Which reviews are kept and in which part, so that no text is in two parts unless the recipe wants it.

keyed reviews -> part of each -> without empties, conflicts, copies and overlaps -> leak report
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from training.data import DataError, Label, Review
from training.fragments import wholes_of
from training.parts import ALL_PARTS, Leak, PartName
from training.recipe import Recipe, Source

Gone = Literal["empty", "duplicate", "conflicting", "neutral_dropped", "overlap"]


@dataclass(frozen=True, slots=True)
class Keyed:
    """A review with what decides its fate: the key of its text, its source's index, whether no token is left of it."""

    review: Review
    key: str
    source: int
    empty: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """A review that is kept: its index among the keyed ones, and its part."""

    index: int
    part: PartName


def text_key(normalised: str) -> str:
    """What makes two reviews the same text: their letters and digits alone, or all of a text without any.

    A copy that differs in punctuation or spaces must not end up on the other side of the split.
    """
    return "".join(character for character in normalised if character.isalnum()) or normalised


def part_of(key: str, seed: int, dev: float, test: float) -> PartName:
    """The part of a text or group: a hash of seed and key decides, so that other data never moves a review."""
    digest = hashlib.sha256(f"{seed}\n{key}".encode(errors="surrogatepass")).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    return "test" if share < test else "dev" if share < test + dev else "train"


def sort_out(items: Sequence[Keyed], recipe: Recipe) -> tuple[list[Kept], list[Counter[str]]]:
    """What is kept, in the order of the items, and by source what became of its reviews, by the names of `Counts`.

    1. Sources that are split or train come first, in their order, then those of dev, those of test, and fragments:
       each loses the texts that those before it have.
    2. A text with two labels goes; but those of a fixed dev or test part take nothing from what comes before.
    3. Of copies the first stays.
    4. Neutral reviews of dev are a part of their own, those of train and test go.

    Raises DataError when a fixed part has texts of another part and its `overlap` is "fail".
    """
    labels = _labels_of(items, recipe)
    train_gives_dev = not any(
        source.part == "dev" or (source.part == "split" and source.fragments_of is None) for source in recipe.data
    )
    fates: list[Counter[str]] = [Counter() for _ in recipe.data]
    kept: list[Kept] = []
    owners: dict[str, PartName] = {}
    wholes: dict[tuple[int, str], PartName] | None = None
    overlapping: list[Keyed] = []
    for index in sorted(range(len(items)), key=lambda index: _turn(recipe.data[items[index].source])):
        item = items[index]
        source = recipe.data[item.source]
        if source.fragments_of is not None and wholes is None:
            wholes = _parts_of_fragments(items, recipe, owners)
        part = (wholes or {}).get((item.source, item.key)) or _part(item, recipe, train_gives_dev)
        fate = _fate(item, source, part, owners.get(item.key), labels)
        fates[item.source][fate] += 1
        if fate == "overlap" and source.overlap == "fail":
            overlapping.append(item)
        elif fate in ALL_PARTS:
            owners.setdefault(item.key, fate)
            kept.append(Kept(index, fate))
    if overlapping:
        raise _overlap_error(overlapping, recipe)
    return sorted(kept, key=lambda one: one.index), fates


def _turn(source: Source) -> int:
    return 3 if source.fragments_of is not None else _level(source)


def _labels_of(items: Sequence[Keyed], recipe: Recipe) -> list[dict[str, set[Label]]]:
    """Labels of each text: those of split and train sources, then with those of dev, then with those of test."""
    labels: list[dict[str, set[Label]]] = [{}, {}, {}]
    for item in items:
        source = recipe.data[item.source]
        if source.overlap != "keep":
            for known in labels[_level(source) :]:
                known.setdefault(item.key, set()).add(item.review.label)
    return labels


def _level(source: Source) -> int:
    return {"split": 0, "train": 0, "dev": 1, "test": 2}[source.part]


def _part(item: Keyed, recipe: Recipe, train_gives_dev: bool) -> PartName:
    source = recipe.data[item.source]
    if source.part == "dev" or source.part == "test":
        return source.part
    if source.part == "train" and not train_gives_dev:
        return "train"
    unit = item.key if item.review.group is None else f"{source.name}\n{item.review.group}"
    split = recipe.split
    return part_of(unit, split.seed, split.dev, 0.0 if source.part == "train" else split.test)


def _parts_of_fragments(
    items: Sequence[Keyed], recipe: Recipe, owners: Mapping[str, PartName]
) -> dict[tuple[int, str], PartName]:
    """The part of each fragment's whole text, by source and key."""
    numbers = {source.name: number for number, source in enumerate(recipe.data)}
    parts: dict[tuple[int, str], PartName] = {}
    for number, source in enumerate(recipe.data):
        if source.fragments_of is not None:
            whole = numbers[source.fragments_of]
            texts = dict.fromkeys(item.key for item in items if item.source == whole and item.key in owners)
            found = wholes_of((item.key for item in items if item.source == number), texts)
            parts |= {(number, key): _used_as(owners[text]) for key, text in found.items()}
    return parts


def _used_as(part: PartName) -> PartName:
    """Neutral reviews are dev's."""
    return "dev" if part == "neutral" else part


def _fate(
    item: Keyed, source: Source, part: PartName, owner: PartName | None, labels: Sequence[Mapping[str, set[Label]]]
) -> PartName | Gone:
    """The part where a review stays, or why it goes; `owner` is the part that has its text already."""
    as_published = source.overlap == "keep"
    conflicting = not as_published and len(labels[_level(source)][item.key]) > 1
    if item.empty:
        return "empty"
    if item.review.neutral and part != "dev":
        return "conflicting" if conflicting else "neutral_dropped"
    if as_published:
        return part
    if source.part in ("dev", "test") and owner is not None and _used_as(owner) != part:
        return "overlap"
    if conflicting:
        return "conflicting"
    if owner is not None:
        return "duplicate"
    return "neutral" if item.review.neutral else part


def _overlap_error(overlapping: Sequence[Keyed], recipe: Recipe) -> DataError:
    first = overlapping[0]
    source = recipe.data[first.source]
    texts = len({item.key for item in overlapping if item.source == first.source})
    keep = ', "keep" keeps the file as published and marks them' if source.part == "test" else ""
    what = f"the first of {texts} texts of source {source.name}, part {source.part}, that another part has too; "
    allow = f'in the recipe, overlap = "drop" drops them{keep}'
    return DataError(what + allow, first.review.file, first.review.line)


def leaks_of(items: Sequence[Keyed], kept: Iterable[Kept], recipe: Recipe) -> tuple[tuple[Leak, ...], int]:
    """The texts that are in two parts, by source and pair of parts, and how many distinct ones there are.

    Raises DataError when a source has some that is not told to keep them, whatever was dropped before.
    """
    texts: dict[PartName, set[str]] = {part: set() for part in ALL_PARTS}
    by_source: dict[tuple[int, PartName], set[str]] = {}
    for one in kept:
        item = items[one.index]
        texts[one.part].add(item.key)
        by_source.setdefault((item.source, one.part), set()).add(item.key)
    leaks = []
    for (number, part), keys in sorted(by_source.items()):
        for other in ALL_PARTS[: ALL_PARTS.index(part)]:
            if shared := len(keys & texts[other]):
                leaks.append(Leak(recipe.data[number].name, part, other, shared))
                if recipe.data[number].overlap != "keep":
                    raise DataError(f"this is a bug: {leaks[-1]}", "the recipe's data")
    return tuple(leaks), count_leaks(texts.values())


def count_leaks(parts: Iterable[set[str]]) -> int:
    """How many texts, by their keys, are in more than one part."""
    return sum(count > 1 for count in Counter(key for part in parts for key in part).values())
