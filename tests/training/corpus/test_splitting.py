"""No text is in two splits, more data moves no review, and what a recipe fixes stays fixed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.corpus.corpus import LABELLED_SPLITS, Leak, SplitName
from training.corpus.leaks import find_leaks
from training.corpus.splitting import (
    Assignment,
    KeyedReview,
    deduplicate_and_split,
    split_of,
    text_key,
)
from training.labels import LABELS, REVIEW_LABELS, ReviewLabel
from training.recipe import Recipe
from training.sources.reviews import Review
from training.sources.tables import DataError

Rows = list[tuple[str, ReviewLabel, str | None]]  # Text, label and group.

keys = st.text("abc", min_size=0, max_size=2)
rows = st.lists(st.tuples(keys, st.sampled_from(REVIEW_LABELS), st.sampled_from([None, "g", "h"])))


def recipe(*sources: dict[str, Any], dev: float = 0.3, test: float = 0.3) -> Recipe:
    common = {"language": "zh", "origin": "", "licence": "", "path": "p"}
    data = [common | {"name": f"s{number}"} | source for number, source in enumerate(sources)]
    split = {"dev": dev, "test": test}
    return Recipe.model_validate(
        {"name": "x", "version": "1", "optimiser": {"epochs": 1}, "split": split, "data": data}
    )


def keyed(*sources: Rows) -> list[KeyedReview]:
    return [
        KeyedReview(Review(text, label, group, f"f{number}", line), text, number, not text)
        for number, rows in enumerate(sources)
        for line, (text, label, group) in enumerate(rows, start=2)
    ]


def split_reviews(chosen: Recipe, *sources: Rows) -> tuple[dict[tuple[int, str], list[SplitName]], list[Counter[str]]]:
    """The splits by source and text, and what became of each source's reviews."""
    items = keyed(*sources)
    kept, outcomes = deduplicate_and_split(items, chosen)
    splits: dict[tuple[int, str], list[SplitName]] = {}
    for one in kept:
        splits.setdefault((items[one.index].source, items[one.index].key), []).append(one.split)
    return splits, outcomes


def texts_in(part: SplitName, count: int = 3, dev: float = 0.3, test: float = 0.3) -> list[str]:
    """The first texts that the hash puts into a split."""
    texts = (f"text {number}" for number in range(1000))
    return [text for text in texts if split_of(text, 1, dev, test) == part][:count]


@given(rows, rows, st.sampled_from(["split", "train"]))
def test_no_text_is_in_two_splits_and_every_review_is_accounted_for(first: Rows, second: Rows, part: str) -> None:
    """Whatever labels, groups and copies there are."""
    chosen = recipe({}, {"part": part})
    items = keyed(first, second)
    kept, outcomes = deduplicate_and_split(items, chosen)
    assert find_leaks(items, kept, chosen) == ((), 0)
    assert len({items[one.index].key for one in kept}) == len(kept)
    assert [outcome.total() for outcome in outcomes] == [len(first), len(second)]


@given(rows, rows)
def test_more_data_never_moves_a_review(first: Rows, second: Rows) -> None:
    """It can only make a text conflicting; nothing changes its split."""
    before, _ = split_reviews(recipe({}), first)
    after, _ = split_reviews(recipe({}, {}), first, second)
    for place, splits in after.items():
        if place[0] == 0:
            assert before[place] == splits


@given(rows, st.sampled_from(["split", "train"]))
def test_a_group_stays_whole(reviews: Rows, part: str) -> None:
    """Neutral reviews of dev are with it."""
    chosen = recipe({"part": part, "group": "g"})
    items = keyed(reviews)
    kept, _ = deduplicate_and_split(items, chosen)
    splits: dict[str, set[str]] = {}
    for one in kept:
        if (group := items[one.index].review.group) is not None:
            splits.setdefault(group, set()).add("dev" if one.split == "neutral" else one.split)
    assert all(len(found) == 1 for found in splits.values())


@given(st.lists(st.tuples(keys, st.sampled_from(LABELS), st.none())), rows, rows)
def test_a_published_test_file_is_kept_whole_and_changes_nothing_else(test: Rows, first: Rows, dev: Rows) -> None:
    """Copies, conflicts and all; only what has no token goes."""
    fixed = {"part": "dev", "overlap": "drop"}
    before, _ = split_reviews(recipe({}, fixed), first, dev)
    after, outcomes = split_reviews(recipe({}, fixed, {"part": "test", "overlap": "keep"}), first, dev, test)
    assert {place: splits for place, splits in after.items() if place[0] < 2} == before
    assert outcomes[2]["test"] + outcomes[2]["empty"] == len(test)


@given(st.text(), st.integers(0, 9))
def test_a_text_is_always_in_the_same_split(text: str, seed: int) -> None:
    """Whatever else is in the data, also for lone surrogates."""
    assert split_of(text, seed, 0.1, 0.1) == split_of(text, seed, 0.1, 0.1)


def test_splits_are_of_the_wanted_sizes() -> None:
    """A hash spreads evenly."""
    splits = [split_of(str(number), 1, 0.1, 0.2) for number in range(5000)]
    assert [round(splits.count(part) / 5000, 1) for part in LABELLED_SPLITS] == [0.7, 0.1, 0.2]


def test_texts_that_differ_in_punctuation_are_the_same_text() -> None:
    """Only their letters and digits count, unless they have none."""
    assert text_key("很好，a 1！") == text_key("很好a1")
    assert text_key("!!") != text_key("??")


def test_groups_of_two_sources_with_the_same_name_are_two() -> None:
    """The product 7 of one shop is not that of another."""
    groups: list[Rows] = [[(f"{source}{number}", "positive", str(number)) for number in range(50)] for source in "ab"]
    splits, _ = split_reviews(recipe({"group": "g"}, {"group": "g"}), *groups)
    assert [splits[0, f"a{n}"] for n in range(50)] != [splits[1, f"b{n}"] for n in range(50)]


def test_a_train_source_is_train_to_the_last_when_another_gives_a_dev_part() -> None:
    """A split one or a dev one; the texts are such that the hash would put elsewhere."""
    texts: Rows = [(text, "positive", None) for text in texts_in("dev", test=0.0)]
    for other in ({}, {"part": "dev"}):
        splits, _ = split_reviews(recipe({"part": "train"}, other), texts, [])
        assert set(map(tuple, splits.values())) == {("train",)}


def test_without_a_dev_source_dev_is_split_from_the_train_sources() -> None:
    """Fragments alone are no dev split; nothing of train becomes test."""
    texts: Rows = [(f"text {number}", "positive", None) for number in range(1000)]
    fixed = {"part": "train"}, {"part": "test"}, {"fragments_of": "s0"}
    _, outcomes = split_reviews(recipe(*fixed, test=0.0), texts, [], [])
    assert outcomes[0]["dev"] == pytest.approx(300, abs=50)
    assert outcomes[0]["dev"] + outcomes[0]["train"] == 1000


def test_what_a_fixed_part_shares_with_another_fails_the_run() -> None:
    """The error says how many, where the first is and what to do, but not the text."""
    train: Rows = [("shared", "positive", None), ("other", "negative", None)]
    test: Rows = [("own", "positive", None), ("shared", "negative", None), ("shared", "positive", None)]
    chosen = recipe({"part": "train"}, {"part": "test"}, {"part": "dev"})
    with pytest.raises(DataError, match=r'^f1, line 3: the first of 1 texts of source s1, part test.* "drop".* "keep"'):
        deduplicate_and_split(keyed(train, test, []), chosen)
    with pytest.raises(
        DataError, match=r'^f2, line 3: the first of 1 texts of source s2, part dev.* "drop" drops them$'
    ):
        deduplicate_and_split(keyed(train, [], test), chosen)


def test_shared_texts_are_dropped_when_the_recipe_says_so() -> None:
    """From a later split, whatever the order in the recipe; texts that the hash puts into the same split are copies."""
    (trained,), (tested,) = texts_in("train", 1), texts_in("test", 1)
    split: Rows = [(trained, "positive", None), (tested, "negative", None)]
    test: Rows = [(trained, "negative", None), (tested, "negative", None), ("own", "positive", None)]
    splits, outcomes = split_reviews(recipe({"part": "test", "overlap": "drop"}, {}), test, split)
    assert splits == {(0, "own"): ["test"], (1, trained): ["train"], (1, tested): ["test"]}
    assert outcomes[0] == {"overlap": 1, "duplicate": 1, "test": 1}


def test_kept_overlaps_are_reported_by_source_and_pair_of_parts() -> None:
    """A text counts once, however often the file has it."""
    train: Rows = [("a", "positive", None), ("b", "negative", None)]
    dev: Rows = [("c", "positive", None)]
    test: Rows = [("a", "positive", None), ("a", "negative", None), ("c", "positive", None), ("d", "negative", None)]
    chosen = recipe({"part": "train"}, {"part": "dev"}, {"part": "test", "overlap": "keep"})
    items = keyed(train, dev, test)
    kept, _ = deduplicate_and_split(items, chosen)
    assert len(kept) == len(items)
    expected = (Leak("s2", "test", "train", 1), Leak("s2", "test", "dev", 1))
    assert find_leaks(items, kept, chosen) == (expected, 2)


def test_a_leak_that_nobody_asked_for_fails_the_run() -> None:
    """The result is checked on its own, whatever made it."""
    items = keyed([("a", "positive", None), ("a", "positive", None)])
    with pytest.raises(DataError, match=r"this is a bug: Leak\(source='s0', part='dev', other='train', texts=1\)"):
        find_leaks(items, [Assignment(0, "train"), Assignment(1, "dev")], recipe({}))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_fragment_goes_where_its_full_text_is(order: tuple[int, int]) -> None:
    """To that of the first that has it, also to a fixed split, whichever source comes first in the recipe."""
    whole, piece = "0123456789 the whole text", "23456789 the"
    elsewhere = [text for text in texts_in("dev") if text not in whole]
    sources: list[dict[str, Any]] = [{"name": "w", "part": "test"}, {"name": "f", "fragments_of": "w"}]
    data: list[Rows] = [
        [(whole, "positive", None), (f"later {piece}", "negative", None)],
        [(piece, "positive", None), (whole, "positive", None), (elsewhere[0], "negative", None)],
    ]
    splits, outcomes = split_reviews(recipe(*(sources[n] for n in order)), *(data[n] for n in order))
    number = order.index(1)
    assert (splits[number, piece], splits[number, elsewhere[0]]) == (["test"], ["dev"])
    assert outcomes[number]["duplicate"] == 1
