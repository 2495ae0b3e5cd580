"""Evaluates any artefact on any labelled file, with the code that serves it.

file -> reviews -> windows -> encode -> batches of similar lengths -> predictions -> ArtefactEvaluation
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.events import Prediction
from streamer.models.artefact import ModelError
from streamer.models.torchscript import Model, load
from streamer.printable import printable, shown_path
from streamer.text import normalise
from training.corpus.batches import inference_batches
from training.corpus.splitting import text_key
from training.evaluation.arrays import Floats
from training.evaluation.calibration import AbstentionBand
from training.evaluation.metrics import LabelledLogits, Metrics, metrics_of
from training.labels import NEUTRAL_SPELLINGS
from training.recipe import Source
from training.sources.labelling import Report
from training.sources.reviews import Review, read_reviews
from training.sources.tables import DataError

# Reviews that are encoded and sorted by length at a time, which bounds the memory.
_WINDOW = 4096
# A float32 score of 1 stands for anything above this; a score of 0 is taken likewise.
_HIGHEST_SCORE = 1 - 2.0**-25


@dataclass(frozen=True, slots=True)
class ArtefactEvaluation:
    """An artefact's metrics on labelled reviews as they are: blank texts left out, duplicates kept."""

    model: str
    version: str
    temperature: float
    uncertain: AbstentionBand
    data: str
    reviews: int  # Predicted, neutral ones included.
    duplicates: int  # Of these: the same letters and digits came before.
    empty: int  # Of these: no token left after normalisation, so served as uncertain with a score of 0.5.
    truncated: int  # Of these: longer than the model reads.
    seconds: float  # For encoding and predicting, without reading and metrics.
    metrics: Metrics

    def as_json(self) -> dict[str, Any]:
        """The fields as they are written to a file, where the metrics are called figures."""
        fields = asdict(self)
        return fields | {"figures": fields.pop("metrics")}


def file_source(
    path: Path,
    *,
    text_column: str = "text",
    label_column: str = "label",
    language: str = "any",
    table_fields: Mapping[str, Any] | None = None,
) -> Source:
    """A table with these columns and the usual labels. table_fields: of the source, how it is read."""
    return Source(
        name="file",
        language=language,
        origin=printable(path.name),
        licence="",
        path=str(path.resolve()),
        text=text_column,
        label=label_column,
        **({"neutral": NEUTRAL_SPELLINGS} | dict(table_fields or {})),
    )


def evaluate_artefact(
    directory: Path,
    source: Source,
    data_dir: Path = Path(),
    cache: Path = Path(".cache/training"),
    threads: int = 0,
    report: Report | None = None,
) -> ArtefactEvaluation:
    """Evaluate an artefact on all reviews of a source, in float32 on the CPU.

    threads: of torch; 0 leaves the choice to it. report: as of `read_reviews`. Raises ModelError when the artefact is
    refused, DataError and FetchError as `read_reviews` does.
    """
    model = load(directory, "cpu", "float32", threads)
    temperature = temperature_of(directory)
    return evaluate_reviews(model, temperature, read_reviews(source, data_dir, cache, report=report), source)


def temperature_of(directory: Path) -> float:
    """The temperature in an artefact's manifest. Raises ModelError when it has none."""
    temperature = json.loads((directory / "manifest.json").read_text(encoding="utf-8")).get("temperature")
    if not isinstance(temperature, int | float) or temperature <= 0:
        raise ModelError(f"{shown_path(directory / 'manifest.json')}: no temperature in it")
    return float(temperature)


def evaluate_reviews(model: Model, temperature: float, reviews: Sequence[Review], source: Source) -> ArtefactEvaluation:
    """Predict the reviews and compute the metrics; `source` gives their name and language.

    Raises DataError when all reviews are neutral.
    """
    neutral = np.array([review.neutral for review in reviews], np.bool_)
    if neutral.all():
        raise DataError("no positive or negative review in it", source.origin)
    began = time.perf_counter()
    predictions = predict(model, [review.text for review in reviews])
    seconds = time.perf_counter() - began
    logits = logits_from_scores(np.array([prediction.score for prediction in predictions]), temperature)
    lengths = np.array([prediction.tokens for prediction in predictions], np.int64)
    positive = np.array([review.positive for review in reviews], np.bool_)
    labelled = ~neutral
    count = int(labelled.sum())
    names, languages = np.full(count, source.name), np.full(count, source.language)
    measured = LabelledLogits(logits[labelled], positive[labelled], names, languages, lengths[labelled])
    band = AbstentionBand(*model.labels.band)
    return ArtefactEvaluation(
        model=model.manifest.name,
        version=model.manifest.version,
        temperature=temperature,
        uncertain=band,
        data=source.origin,
        reviews=len(reviews),
        duplicates=len(reviews) - len({text_key(normalise(review.text)) for review in reviews}),
        empty=int((lengths == 0).sum()),
        truncated=sum(prediction.truncated for prediction in predictions),
        seconds=round(seconds, 1),
        metrics=metrics_of(measured, temperature, band, logits[neutral]),
    )


def predict(model: Model, texts: Sequence[str]) -> list[Prediction]:
    """A prediction for each text, in order; each is batched with others of similar length in the same window."""
    predictions: list[Prediction] = []
    for begin in range(0, len(texts), _WINDOW):
        encoded = [model.vocabulary.encode(text, model.manifest.max_tokens) for text in texts[begin : begin + _WINDOW]]
        found: dict[int, Prediction] = {}
        for batch in inference_batches(np.array([len(review) for review in encoded], np.int64)):
            indices = batch.tolist()
            found.update(zip(indices, model.predict([encoded[index] for index in indices]), strict=True))
        predictions.extend(found[index] for index in range(len(encoded)))
    return predictions


def logits_from_scores(scores: Floats, temperature: float) -> Floats:
    """The logits at temperature 1 of float32 scores: temperature * ln(score / (1 - score)).

    Float32 has no number between 1 - 2^-24 and 1, so scores beyond 1 - 2^-25 on either side are taken as that:
    logits stay within 17.3 times the temperature.
    """
    bounded = np.clip(scores, 1 - _HIGHEST_SCORE, _HIGHEST_SCORE)
    logits: Floats = temperature * (np.log(bounded) - np.log1p(-bounded))
    return logits


def artefact_scorer(model: Model) -> Callable[[Sequence[str]], list[float]]:
    """A function from texts to scores, for `training.evaluation.checklist.run_checklist`."""
    return lambda texts: [prediction.score for prediction in predict(model, texts)]
