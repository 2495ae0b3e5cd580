"""Reviews are deduplicated and split so that nothing of dev and test is known to training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.tokenise import PAD, UNKNOWN, Vocabulary
from tests.training.reviews import synthetic, write_csv
from training.data import DataError
from training.parts import PARTS, Counts, load_prepared
from training.prepare import choose_vocabulary, count_leaks, digest_of, part_of, prepare, text_key
from training.recipe import Recipe


def recipe(*files: str, **model: Any) -> Recipe:
    sources = [{"name": name, "language": "zh", "origin": "", "licence": "", "path": name} for name in files]
    fields = {"name": "x", "version": "1", "optimiser": {"epochs": 1}, "data": sources, "model": model}
    return Recipe.model_validate(fields)


def test_every_review_is_accounted_for(tmp_path: Path) -> None:
    """Copies, also of an earlier source, go; of texts with both labels nothing stays; blanks do not count."""
    first = synthetic(200)
    write_csv(tmp_path / "a.csv", [*first, ("两边", "positive"), ("不变", "negative"), ("\u200b", "negative")])
    write_csv(tmp_path / "b.csv", [("两边！", "negative"), ("不变。", "negative"), ("新的", "positive")])
    counts = prepare(recipe("a.csv", "b.csv"), tmp_path, tmp_path).counts
    kept_a = {part: getattr(counts["a.csv"], part) for part in PARTS}
    kept_b = {part: getattr(counts["b.csv"], part) for part in PARTS}
    assert counts["a.csv"] == Counts(read=203, empty=1, duplicate=0, conflicting=1, **kept_a)
    assert counts["b.csv"] == Counts(read=3, empty=0, duplicate=1, conflicting=1, **kept_b)
    assert (sum(kept_a.values()), sum(kept_b.values())) == (201, 1)


def test_ids_are_those_that_serving_makes(tmp_path: Path) -> None:
    """Training and serving read a text the same way, the cut of a long one included."""
    long = " ".join(f"cup{number}" for number in range(40))
    rows = [*synthetic(200), (long, "positive"), (long + " desk", "negative")]
    write_csv(tmp_path / "a.csv", rows)
    prepared = prepare(recipe("a.csv", max_tokens=16, characters=1), tmp_path, tmp_path)
    vocabulary = Vocabulary(prepared.vocabulary)
    expected = sorted(vocabulary.encode(text, 16).ids for text, _ in rows)
    actual = [
        part.ids[start:end].astype(np.int64).tobytes()
        for part in prepared.parts.values()
        for start, end in zip(part.starts, part.starts[1:], strict=False)
    ]
    assert sorted(actual) == expected


def test_no_text_is_in_two_parts_and_the_vocabulary_is_of_the_train_part(tmp_path: Path) -> None:
    """What the split promises, counted on its result."""
    rows = synthetic(300)
    write_csv(tmp_path / "a.csv", [*rows, *((text + "！", label) for text, label in rows)])
    prepared = prepare(recipe("a.csv", characters=1), tmp_path, tmp_path)
    assert prepared.leaks == 0
    assert prepared.counts["a.csv"].duplicate == 300
    train = prepared.parts["train"]
    unseen = set(range(2, len(prepared.vocabulary))) - set(train.ids.tolist())
    assert {token for token in (prepared.vocabulary[index] for index in unseen) if len(token) > 1} == set()


def test_prepared_data_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """The next step of a run works on the same arrays."""
    write_csv(tmp_path / "a.csv", synthetic(100))
    prepared = prepare(recipe("a.csv"), tmp_path, tmp_path)
    prepared.save(tmp_path)
    again = load_prepared(tmp_path)
    assert (again.vocabulary, again.counts, again.digest) == (prepared.vocabulary, prepared.counts, prepared.digest)
    for name in PARTS:
        np.testing.assert_array_equal(again.parts[name].ids, prepared.parts[name].ids)
        np.testing.assert_array_equal(again.parts[name].positive, prepared.parts[name].positive)


def test_the_digest_follows_the_recipe_and_the_bytes(tmp_path: Path) -> None:
    """A stale cache is never taken for a fresh one."""
    write_csv(tmp_path / "a.csv", synthetic(10))
    digests = {digest_of(recipe("a.csv"), tmp_path, tmp_path), digest_of(recipe("a.csv", width=3), tmp_path, tmp_path)}
    write_csv(tmp_path / "a.csv", synthetic(12))
    assert len(digests | {digest_of(recipe("a.csv"), tmp_path, tmp_path)}) == 3


def test_too_few_reviews_to_split_are_an_error(tmp_path: Path) -> None:
    """Better than a dev part with nothing in it."""
    write_csv(tmp_path / "a.csv", synthetic(4))
    with pytest.raises(DataError, match="too few reviews"):
        prepare(recipe("a.csv"), tmp_path, tmp_path)


@given(st.text(), st.integers(0, 9))
def test_a_text_is_always_in_the_same_part(text: str, seed: int) -> None:
    """Whatever else is in the data, also for lone surrogates."""
    assert part_of(text, seed, 0.1, 0.1) == part_of(text, seed, 0.1, 0.1)


def test_parts_are_of_the_wanted_sizes() -> None:
    """A hash spreads evenly."""
    parts = [part_of(str(number), 1, 0.1, 0.2) for number in range(5000)]
    assert [round(parts.count(part) / 5000, 1) for part in PARTS] == [0.7, 0.1, 0.2]


def test_texts_that_differ_in_punctuation_are_the_same_text() -> None:
    """Only their letters and digits count, unless they have none."""
    assert text_key("很好，a 1！") == text_key("很好a1")
    assert text_key("!!") != text_key("??")


def test_leaks_are_counted_between_all_parts() -> None:
    """Each pair once."""
    assert count_leaks([{"a", "b"}, {"b", "c"}, {"a", "c"}]) == 3


def test_the_vocabulary_keeps_characters_then_the_commonest_tokens() -> None:
    """Words that did not make it fall back to their characters."""
    train = [["杯子", "cup"], ["杯垫", "cup"], ["杯子", "desk"], ["cup"]]
    assert choose_vocabulary(train, size=6, characters=2) == (PAD, UNKNOWN, "cup", "杯", "子", "杯子")
    assert choose_vocabulary(train, size=100, characters=9) == (PAD, UNKNOWN, "cup", "杯子")
