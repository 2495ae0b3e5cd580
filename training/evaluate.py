"""How good a trained network is: calibrated on the dev part, then measured there and on the test part."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import nn

from streamer.text import Vocabulary
from training.calibrate import Bools, Floats, Uncertain, fit_temperature, scores_of, uncertain_band
from training.checklist import Checklist, run_checklist
from training.figures import Figures, figures_of
from training.linear import Blend, best_share, blended
from training.parts import Part, Prepared, reading_batches
from training.recipe import Recipe


@torch.no_grad()
def logits_of(model: nn.Module, part: Part) -> Floats:
    """The logits of a part's reviews, in the part's order: float64 [N]."""
    logits = np.zeros(len(part), np.float64)
    for reviews in reading_batches(part.lengths):
        logits[reviews] = model(part.stack(reviews)).numpy()
    return logits


def accuracy_of(logits: Floats, positive: Bools) -> float:
    """Share of reviews on the right side of 0; a logit of exactly 0 counts as positive."""
    return float(((logits >= 0) == positive).mean())


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was fitted on dev (the linear part's share, the calibration), and the figures with it."""

    temperature: float
    uncertain: Uncertain
    dev: Figures
    test: Figures | None  # None while a model is still being chosen.
    checklist: Checklist | None = None
    share: float = 0.0  # Of the linear part in the logit.

    def save(self, folder: Path) -> None:
        """Write `evaluation.json`."""
        content = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        (folder / "evaluation.json").write_text(content, encoding="utf-8")


def load_evaluation(folder: Path) -> Evaluation:
    """Read what `Evaluation.save` wrote; raises FileNotFoundError when nothing was."""
    return TypeAdapter(Evaluation).validate_json((folder / "evaluation.json").read_bytes())


def evaluate(model: Blend, recipe: Recipe, prepared: Prepared, test: bool) -> Evaluation:
    """Fit share, temperature and band on dev, then take the figures of dev and, only if asked to, of test.

    The linear part's share, where there is such a part, is set in `model` too.
    Neutral reviews, the part of that name, widen the band (`uncertain_band` says how) and count for nothing else.
    The checklist is run too: it has no part in any choice.
    """
    parts = prepared.parts
    dev, neutral = parts["dev"], parts["neutral"]
    logits = logits_of(model.network, dev)
    if model.linear is not None:
        linear = logits_of(model.linear, dev)
        model.share = best_share(logits, linear, dev.positive)
        logits = blended(logits, linear, model.share)
    neutral_logits = logits_of(model, neutral) if len(neutral) else None
    temperature = fit_temperature(logits, dev.positive)
    rule = recipe.band
    band = uncertain_band(
        scores_of(logits, temperature),
        dev.positive,
        rule.accuracy,
        rule.least,
        rule.most,
        None if neutral_logits is None else scores_of(neutral_logits, temperature),
    )
    held_out = None
    if test:
        part = parts["test"]
        held_out = figures_of_part(logits_of(model, part), part, recipe, temperature, band)
    return Evaluation(
        temperature,
        band,
        dev=figures_of_part(logits, dev, recipe, temperature, band, neutral_logits),
        test=held_out,
        checklist=run_checklist(scorer(model, prepared.vocabulary, recipe.model.max_tokens, temperature)),
        share=model.share,
    )


def figures_of_part(
    logits: Floats, part: Part, recipe: Recipe, temperature: float, band: Uncertain, neutral: Floats | None = None
) -> Figures:
    """All figures of a part, from its logits [N] and those of neutral reviews [M]."""
    return figures_of(
        logits,
        part.positive,
        np.array([source.name for source in recipe.data])[part.source],
        np.array([source.language for source in recipe.data])[part.source],
        part.lengths,
        temperature,
        band,
        neutral,
        part.seen,
    )


def scorer(
    model: nn.Module, vocabulary: Sequence[str], max_tokens: int, temperature: float
) -> Callable[[Sequence[str]], list[float]]:
    """A function from texts to calibrated scores, as the artefact made of this network would give them."""
    encoder = Vocabulary(vocabulary)

    def scores(texts: Sequence[str]) -> list[float]:
        ids = [np.frombuffer(encoder.encode(text, max_tokens).ids, np.int64) for text in texts]
        starts = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        part = Part(
            ids=np.concatenate(ids).astype(np.int32),
            starts=starts,
            positive=np.zeros(len(ids), np.bool_),
            source=np.zeros(len(ids), np.int64),
        )
        found: list[float] = scores_of(logits_of(model, part), temperature).tolist()
        return found

    return scores
