"""Reviews are deduplicated and split so that nothing of dev and test is known to training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamer.text import Vocabulary
from tests.training.reviews import synthetic, write_csv
from training.corpus.corpus import LABELLED_SPLITS, SPLITS, SourceCounts, load_corpus
from training.corpus.prepare import corpus_digest, prepare
from training.recipe import Recipe, load_recipe
from training.sources.tables import DataError


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
    kept_a = {part: getattr(counts["a.csv"], part) for part in LABELLED_SPLITS}
    kept_b = {part: getattr(counts["b.csv"], part) for part in LABELLED_SPLITS}
    assert counts["a.csv"] == SourceCounts(read=203, empty=1, duplicate=0, conflicting=1, **kept_a)
    assert counts["b.csv"] == SourceCounts(read=3, empty=0, duplicate=1, conflicting=1, **kept_b)
    assert (sum(kept_a.values()), sum(kept_b.values())) == (201, 1)


def test_reviews_of_a_small_source_may_be_repeated_in_train(tmp_path: Path) -> None:
    """In train only: the metrics count each review once."""
    write_csv(tmp_path / "a.csv", synthetic(200))
    once = recipe("a.csv")
    thrice = once.model_copy(update={"data": (once.data[0].model_copy(update={"repeat": 3}),)})
    one, three = (prepare(repeated, tmp_path, tmp_path) for repeated in (once, thrice))
    assert len(three.splits["train"]) == 3 * len(one.splits["train"])
    assert len(three.splits["dev"]) == len(one.splits["dev"])
    assert three.counts == one.counts


def test_ids_are_those_that_serving_makes(tmp_path: Path) -> None:
    """Training and serving read a text the same way, the cut of a long one included.

    But for the texts of which serving knows too little to ask the model.
    """
    long = " ".join(f"cup{number}" for number in range(40))
    rows = [*synthetic(200), (long, "positive"), (long + " desk", "negative")]
    write_csv(tmp_path / "a.csv", rows)
    corpus = prepare(recipe("a.csv", max_tokens=16, characters=1), tmp_path, tmp_path)
    vocabulary = Vocabulary(corpus.vocabulary)
    served = [vocabulary.encode(text, 16) for text, _ in rows]
    expected = {encoded.ids for encoded in served if encoded.coverage >= 0.5}
    assert len(expected) > 100
    actual = [
        split.ids[start:end].astype(np.int64).tobytes()
        for split in corpus.splits.values()
        for start, end in zip(split.starts, split.starts[1:], strict=False)
    ]
    assert len(actual) == len(rows)
    assert expected <= set(actual)


def test_no_text_is_in_two_splits_and_the_vocabulary_is_of_the_train_split(tmp_path: Path) -> None:
    """What the split promises, counted on its result."""
    rows = synthetic(300)
    write_csv(tmp_path / "a.csv", [*rows, *((text + "！", label) for text, label in rows)])
    corpus = prepare(recipe("a.csv", characters=1), tmp_path, tmp_path)
    assert corpus.leaks == 0
    assert corpus.counts["a.csv"].duplicate == 300
    train = corpus.splits["train"]
    unseen = set(range(2, len(corpus.vocabulary))) - set(train.ids.tolist())
    assert {token for token in (corpus.vocabulary[index] for index in unseen) if len(token) > 1} == set()


def test_a_corpus_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """The next step of a run works on the same arrays."""
    write_csv(tmp_path / "a.csv", synthetic(100))
    corpus = prepare(recipe("a.csv"), tmp_path, tmp_path)
    corpus.save(tmp_path)
    again = load_corpus(tmp_path)
    assert (again.vocabulary, again.counts, again.digest) == (corpus.vocabulary, corpus.counts, corpus.digest)
    assert list(again.splits) == list(SPLITS)
    for name in SPLITS:
        np.testing.assert_array_equal(again.splits[name].ids, corpus.splits[name].ids)
        np.testing.assert_array_equal(again.splits[name].positive, corpus.splits[name].positive)


def test_the_digest_follows_the_recipe_and_the_bytes(tmp_path: Path) -> None:
    """A stale cache is never taken for a fresh one."""
    write_csv(tmp_path / "a.csv", synthetic(10))
    digests = {
        corpus_digest(recipe("a.csv"), tmp_path, tmp_path),
        corpus_digest(recipe("a.csv", width=3), tmp_path, tmp_path),
    }
    write_csv(tmp_path / "a.csv", synthetic(12))
    assert len(digests | {corpus_digest(recipe("a.csv"), tmp_path, tmp_path)}) == 3


def test_too_few_reviews_to_split_are_an_error(tmp_path: Path) -> None:
    """Better than a dev split with nothing in it."""
    write_csv(tmp_path / "a.csv", synthetic(4))
    with pytest.raises(DataError, match=r"too few reviews: the dev split lacks a class \(0 positive, 0 negative\)"):
        prepare(recipe("a.csv"), tmp_path, tmp_path)


def test_too_few_tokens_for_a_vocabulary_are_an_error(tmp_path: Path) -> None:
    """Nothing could be learnt from them."""
    rows = [
        (f"{'好' if number % 2 else '差'}{number}", "positive" if number % 2 else "negative") for number in range(99)
    ]
    write_csv(tmp_path / "a.csv", rows)
    with pytest.raises(
        DataError, match=r"only 4 tokens for the vocabulary, which needs 16; the train split has \d+ rev"
    ):
        prepare(recipe("a.csv"), tmp_path, tmp_path)


def test_of_a_very_long_text_training_sees_what_serving_does(tmp_path: Path) -> None:
    """Head and tail of 64 characters a token, cut out before anything is read."""
    long = "cup " * 100 + "desk " * 200 + "cup " * 100
    rows = [*synthetic(300), (long, "positive")]
    write_csv(tmp_path / "a.csv", rows)
    corpus = prepare(recipe("a.csv", max_tokens=8, characters=1), tmp_path, tmp_path)
    expected = Vocabulary(corpus.vocabulary).encode(long, 8).ids
    found = [
        split.ids[start:end].astype(np.int64).tobytes()
        for split in corpus.splits.values()
        for start, end in zip(split.starts, split.starts[1:], strict=False)
    ]
    assert expected in found
    assert corpus.splits["train"].lengths.max() == 8


def test_neutral_reviews_of_dev_are_a_part_of_their_own(tmp_path: Path) -> None:
    """Those of train and test are dropped; no token of theirs makes it into the vocabulary."""
    rows = [*synthetic(300), *((f"一般般 {number}", "neutral") for number in range(300))]
    write_csv(tmp_path / "a.csv", [*rows, rows[-1], ("两边", "neutral"), ("两边", "positive")])
    chosen = recipe("a.csv", characters=1)
    source = chosen.data[0].model_copy(update={"neutral": ("neutral",)})
    corpus = prepare(chosen.model_copy(update={"data": (source,)}), tmp_path, tmp_path)
    split, counts = corpus.splits["neutral"], corpus.counts["a.csv"]
    assert 10 < len(split) == counts.neutral < 60
    assert not split.positive.any()
    assert counts.neutral + counts.neutral_dropped + counts.duplicate == 301
    assert counts.conflicting == 2
    assert "一般" not in corpus.vocabulary
    assert sum(asdict(counts).values()) == 2 * counts.read


def test_test_reviews_that_training_has_seen_are_marked(tmp_path: Path) -> None:
    """So that a published test file can be reported whole and without them; what is saved says so too."""
    rows = synthetic(300)
    write_csv(tmp_path / "a.csv", rows[:200])
    write_csv(tmp_path / "b.csv", [*rows[190:], rows[299]])
    chosen = recipe("a.csv", "b.csv", characters=1)
    train, test = (
        source.model_copy(update=fields)
        for source, fields in zip(chosen.data, ({"part": "train"}, {"part": "test", "overlap": "keep"}), strict=True)
    )
    corpus = prepare(chosen.model_copy(update={"data": (train, test)}), tmp_path, tmp_path)
    assert corpus.splits["test"].seen.tolist() == [True] * 10 + [False] * 101
    assert not corpus.splits["train"].seen.any()
    assert corpus.leaks == sum(leak.texts for leak in corpus.leak_report) == 10
    corpus.save(tmp_path)
    again = load_corpus(tmp_path)
    assert (again.leaks, again.leak_report) == (10, corpus.leak_report)
    assert again.splits["test"].seen.sum() == 10


def test_files_beside_the_recipe_and_the_digest_know_nothing_of_the_machine(tmp_path: Path) -> None:
    """The same recipe and files in another folder are the same data."""
    digests = set()
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        write_csv(folder / "a.csv", synthetic(200))
        data = '[[data]]\nname="a"\nlanguage="zh"\norigin=""\nlicence=""\npath="./a.csv"\n'
        text = f'name = "x"\nversion = "1"\noptimiser = {{ epochs = 1 }}\n{data}'
        (folder / "r.toml").write_text(text, encoding="utf-8")
        corpus = prepare(load_recipe(str(folder / "r.toml")), tmp_path / "data", tmp_path)
        digests.add(corpus.digest)
    assert len(digests) == 1
