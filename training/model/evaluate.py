"""Evaluates a trained model: calibrated on the dev split, then measured there and on the test split."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter
from torch import nn

from streamer.text import Vocabulary
from training.corpus.corpus import Corpus, Split
from training.evaluation.arrays import Floats
from training.evaluation.calibration import (
    AbstentionBand,
    choose_abstention_band,
    fit_temperature,
    scores_from_logits,
)
from training.evaluation.checklist import ChecklistResult, run_checklist
from training.evaluation.metrics import LabelledLogits, Metrics, metrics_of
from training.model.ensemble import Ensemble, combine_logits, fit_share
from training.model.inference import logits_of
from training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was fitted on dev (calibration, the linear part's share), and the metrics that it leads to."""

    temperature: float
    uncertain: AbstentionBand
    dev: Metrics
    test: Metrics | None  # None while a model is still being chosen.
    checklist: ChecklistResult | None = None
    share: float = 0.0  # Of the linear part in the logit.

    def save(self, folder: Path) -> None:
        """Write `evaluation.json`."""
        content = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        (folder / "evaluation.json").write_text(content, encoding="utf-8")


def load_evaluation(folder: Path) -> Evaluation:
    """Read what `Evaluation.save` wrote. Raises FileNotFoundError when there is nothing."""
    return TypeAdapter(Evaluation).validate_json((folder / "evaluation.json").read_bytes())


def evaluate(model: Ensemble, recipe: Recipe, corpus: Corpus, test: bool) -> Evaluation:
    """Fit share, temperature and band on dev, then compute the metrics of dev and, only if asked to, of test.

    The linear part's share, where there is such a part, is also set in `model`.
    The neutral split widens the band (see `choose_abstention_band`) and counts for nothing else.
    The checklist is run too, and has no part in any choice.
    """
    dev, neutral = corpus.splits["dev"], corpus.splits["neutral"]
    logits = logits_of(model.network, dev)
    if model.linear is not None:
        linear = logits_of(model.linear, dev)
        model.share = fit_share(logits, linear, dev.positive)
        logits = combine_logits(logits, linear, model.share)
    neutral_logits = logits_of(model, neutral) if len(neutral) else None
    temperature = fit_temperature(logits, dev.positive)
    band = choose_abstention_band(
        scores_from_logits(logits, temperature),
        dev.positive,
        accuracy=recipe.band.accuracy,
        min_half_width=recipe.band.least,
        max_half_width=recipe.band.most,
        neutral=None if neutral_logits is None else scores_from_logits(neutral_logits, temperature),
    )
    test_metrics = None
    if test:
        split = corpus.splits["test"]
        test_metrics = metrics_of(labelled_logits(logits_of(model, split), split, recipe), temperature, band)
    return Evaluation(
        temperature,
        band,
        dev=metrics_of(labelled_logits(logits, dev, recipe), temperature, band, neutral_logits),
        test=test_metrics,
        checklist=run_checklist(scorer(model, corpus.vocabulary, recipe.model.max_tokens, temperature)),
        share=model.share,
    )


def labelled_logits(logits: Floats, split: Split, recipe: Recipe) -> LabelledLogits:
    """The logits [N] of a split with what is known of its reviews."""
    return LabelledLogits(
        logits,
        split.positive,
        np.array([source.name for source in recipe.data])[split.source],
        np.array([source.language for source in recipe.data])[split.source],
        split.lengths,
        split.seen,
    )


def scorer(
    model: nn.Module, vocabulary: Sequence[str], max_tokens: int, temperature: float
) -> Callable[[Sequence[str]], list[float]]:
    """A function from texts to calibrated scores, as the artefact made from this model would give them."""
    encoder = Vocabulary(vocabulary)

    def scores(texts: Sequence[str]) -> list[float]:
        ids = [np.frombuffer(encoder.encode(text, max_tokens).ids, np.int64) for text in texts]
        split = Split(
            ids=np.concatenate(ids).astype(np.int32),
            starts=np.cumsum([0, *map(len, ids)], dtype=np.int64),
            positive=np.zeros(len(ids), np.bool_),
            source=np.zeros(len(ids), np.int64),
        )
        found: list[float] = scores_from_logits(logits_of(model, split), temperature).tolist()
        # Without an id, serving does not ask the model.
        return [score if len(of) else 0.5 for of, score in zip(ids, found, strict=True)]

    return scores
