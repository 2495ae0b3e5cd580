"""Calibration comes from dev and its neutral reviews; an evaluation is kept as it is."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from streamer.text import PAD, UNKNOWN
from training.corpus.corpus import Corpus, SourceCounts, Split, empty_split
from training.evaluation.calibration import scores_from_logits
from training.model.classifier import Classifier
from training.model.ensemble import Ensemble
from training.model.evaluate import evaluate, load_evaluation, scorer
from training.model.inference import accuracy_of, logits_of
from training.recipe import Recipe

RECIPE = Recipe.model_validate(
    {
        "name": "x",
        "version": "1",
        "data": [
            {"name": name, "language": language, "origin": "", "licence": "", "path": f"{name}.csv"}
            for name, language in (("a", "zh"), ("b", "en"))
        ],
        "optimiser": {"epochs": 1},
        "band": {"accuracy": 0.9},
    }
)
VOCABULARY = (PAD, UNKNOWN, "很", "好", "不", "good", "bad", "the")


class ById(Classifier):
    """A network whose logit is the mean of its tokens' ids minus 4.5, which can be worked out by hand."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits, float32 [B], of tokens int64 [T, B]."""
        return tokens.float().sum(0) / (tokens != 0).sum(0) - 4.5


def split(count: int, seed: int, seen: int = 0) -> Split:
    """Reviews of one to twelve tokens, mostly labelled by the network's logit; the first `seen` are in train too."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 13, count)
    starts = np.cumsum([0, *lengths])
    ids = random.integers(1, len(VOCABULARY), starts[-1]).astype(np.int32)
    means = np.array([ids[begin:end].mean() for begin, end in pairwise(starts)])
    positive = (means - 4.5 + random.normal(scale=0.5, size=count)) >= 0
    return Split(ids, starts, positive, random.integers(0, 2, count), np.arange(count) < seen)


def corpus(neutral: Split | None = None) -> Corpus:
    """All splits; a hundred of the test reviews are in train too."""
    splits = {"train": split(50, 1), "dev": split(600, 2), "test": split(400, 3, seen=100)}
    splits["neutral"] = empty_split() if neutral is None else neutral
    zeros = {field.name: 0 for field in fields(SourceCounts)}
    counts = {name: SourceCounts(**zeros) for name in ("a", "b")}
    return Corpus("digest", ("a", "b"), VOCABULARY, splits, counts, 100)  # type: ignore[arg-type]  # Keys are literal.


@pytest.fixture
def model() -> Ensemble:
    return Ensemble(ById(len(VOCABULARY), 3, 2))


def test_logits_are_in_the_order_of_the_reviews(model: Ensemble) -> None:
    """Though they are read shortest first."""
    reviews = split(300, 4)
    expected = [reviews.ids[a:b].mean() - 4.5 for a, b in pairwise(reviews.starts)]
    assert logits_of(model, reviews) == pytest.approx(np.array(expected), abs=1e-5)
    assert accuracy_of(np.array([0.0, -1.0, 1.0]), np.array([True, True, True])) == pytest.approx(2 / 3)


def test_test_is_read_only_when_asked_for(model: Ensemble) -> None:
    """And has metrics of the texts that train lacks, where it has others."""
    assert evaluate(model, RECIPE, corpus(), test=False).test is None
    found = evaluate(model, RECIPE, corpus(), test=True)
    assert found.test is not None
    assert found.test.unseen is not None
    assert (found.test.reviews, found.test.unseen.reviews) == (400, 300)
    assert (found.dev.reviews, found.dev.unseen, found.dev.neutral) == (600, None, None)
    assert {*found.dev.by_source} == {"a", "b"}
    assert found.dev.by_language["en"] == found.dev.by_source["b"]


def test_neutral_reviews_widen_the_band_and_nothing_else(model: Ensemble) -> None:
    """The temperature and every figure that has no band in it stay."""
    plain = evaluate(model, RECIPE, corpus(), test=False)
    neutral = split(300, 5)
    widened = evaluate(model, RECIPE, corpus(neutral), test=False)
    assert widened.uncertain.low < plain.uncertain.low
    assert widened.temperature == plain.temperature
    assert (widened.dev.accuracy, widened.dev.coverage) == (plain.dev.accuracy, plain.dev.coverage)
    assert widened.dev.neutral is not None
    inside = ~widened.uncertain.outside(scores_from_logits(logits_of(model, neutral), widened.temperature))
    assert widened.dev.neutral.reviews == 300
    assert widened.dev.neutral.uncertain == round(float(inside.mean()), 4)


def test_an_evaluation_is_read_as_it_was_saved(model: Ensemble, tmp_path: Path) -> None:
    """All of it: intervals, curves, neutral and unseen reviews, the checklist."""
    found = evaluate(model, RECIPE, corpus(split(50, 5)), test=True)
    found.save(tmp_path)
    assert load_evaluation(tmp_path) == found
    assert found.checklist is not None
    assert found.checklist.pairs > found.checklist.passed > 0
    with pytest.raises(FileNotFoundError):
        load_evaluation(tmp_path / "absent")


def test_the_scorer_gives_texts_their_calibrated_scores(model: Ensemble) -> None:
    """By hand: "the bad" are the ids 7 and 6, a mean of 6.5, a logit of 2, at temperature 2 one of 1.

    Of the last nothing is known, so the model is not asked.
    """
    scores = scorer(model, VOCABULARY, max_tokens=8, temperature=2.0)(["the bad", "很", "unknown"])
    expected = torch.sigmoid(torch.tensor([1.0, -1.25, 0.0])).tolist()
    assert scores == pytest.approx(expected, abs=1e-6)
