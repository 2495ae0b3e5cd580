"""Any artefact on any labelled file: read, judged as it is served, measured.

file -> reviews -> windows -> encode -> batches of like lengths -> verdicts -> Judgement
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.events import Prediction
from streamer.models.artefact import ModelError
from streamer.models.torchscript import Model, load
from streamer.text import normalise
from training.calibrate import Floats, Uncertain
from training.data import DataError, Review, read
from training.figures import Figures, figures_of
from training.parts import reading_batches
from training.recipe import Source
from training.split import text_key

NEUTRAL = ("neutral", "neu", "中性", "中立")

# Reviews that are encoded and sorted by length at a time: what bounds the memory.
_WINDOW = 4096
# A float32 score of 1 stands for anything above this; a score of 0 is taken likewise.
_SUREST = 1 - 2.0**-25


@dataclass(frozen=True, slots=True)
class Judgement:
    """An artefact's figures on labelled reviews, taken as they are: blank texts left out, duplicates kept."""

    model: str
    version: str
    temperature: float
    uncertain: Uncertain
    data: str
    reviews: int  # Judged, neutral ones included.
    duplicates: int  # Of these: the same letters and digits came before.
    empty: int  # Of these: no token left after normalisation, so served as uncertain with a score of 0.5.
    truncated: int  # Of these: longer than the model reads.
    seconds: float  # Of encoding and judging, without reading and figures.
    figures: Figures


def source_of(
    path: Path,
    text: str = "text",
    label: str = "label",
    language: str = "any",
    neutral: Sequence[str] = NEUTRAL,
) -> Source:
    """A .csv, .tsv or .jsonl file, each also as .gz, with these columns and the usual labels."""
    return Source(
        name="file",
        language=language,
        origin=path.name,
        licence="",
        path=str(path.resolve()),
        text=text,
        label=label,
        neutral=tuple(neutral),
    )


def judge_source(
    directory: Path, source: Source, data_dir: Path = Path(), cache: Path = Path(".cache/training"), threads: int = 0
) -> Judgement:
    """Judge all reviews of a source with an artefact, in float32 on the CPU.

    threads: of torch; 0 leaves its own choice. Raises ModelError where the artefact is refused, DataError and
    FetchError as `training.data.read` does.
    """
    model = load(directory, "cpu", "float32", threads)
    temperature = temperature_of(directory)
    return judge_reviews(model, temperature, read(source, data_dir, cache), source)


def temperature_of(directory: Path) -> float:
    """The temperature in an artefact's manifest; raises ModelError where it has none."""
    temperature = json.loads((directory / "manifest.json").read_text(encoding="utf-8")).get("temperature")
    if not isinstance(temperature, int | float) or temperature <= 0:
        raise ModelError(f"{directory / 'manifest.json'}: no temperature in it")
    return float(temperature)


def judge_reviews(model: Model, temperature: float, reviews: Sequence[Review], source: Source) -> Judgement:
    """Judge reviews and take the figures; `source` gives their name and language.

    Raises DataError when all reviews are neutral.
    """
    neutral = np.array([review.neutral for review in reviews], np.bool_)
    if neutral.all():
        raise DataError("no positive or negative review in it", source.origin)
    began = time.perf_counter()
    verdicts = verdicts_of(model, [review.text for review in reviews])
    seconds = time.perf_counter() - began
    logits = logits_from(np.array([verdict.score for verdict in verdicts]), temperature)
    lengths = np.array([verdict.tokens for verdict in verdicts], np.int64)
    band = Uncertain(*model.labels.band)
    labelled = int((~neutral).sum())
    return Judgement(
        model=model.manifest.name,
        version=model.manifest.version,
        temperature=temperature,
        uncertain=band,
        data=source.origin,
        reviews=len(reviews),
        duplicates=len(reviews) - len({text_key(normalise(review.text)) for review in reviews}),
        empty=int((lengths == 0).sum()),
        truncated=sum(verdict.truncated for verdict in verdicts),
        seconds=round(seconds, 1),
        figures=figures_of(
            logits[~neutral],
            np.array([review.positive for review in reviews], np.bool_)[~neutral],
            [source.name] * labelled,
            [source.language] * labelled,
            lengths[~neutral],
            temperature,
            band,
            logits[neutral],
        ),
    )


def verdicts_of(model: Model, texts: Sequence[str]) -> list[Prediction]:
    """A verdict for each text, in order; texts are batched with others of like length of the same window."""
    verdicts: list[Prediction] = []
    for begin in range(0, len(texts), _WINDOW):
        encoded = [model.vocabulary.encode(text, model.manifest.max_tokens) for text in texts[begin : begin + _WINDOW]]
        found: dict[int, Prediction] = {}
        for batch in reading_batches(np.array([len(review) for review in encoded], np.int64)):
            indices = batch.tolist()
            found.update(zip(indices, model.predict([encoded[index] for index in indices]), strict=True))
        verdicts.extend(found[index] for index in range(len(encoded)))
    return verdicts


def logits_from(scores: Floats, temperature: float) -> Floats:
    """The logits at temperature 1 of float32 scores: temperature * ln(score / (1 - score)).

    Float32 has no number between 1 - 2^-24 and 1, so scores beyond 1 - 2^-25 on either side are taken as that:
    logits stay within 17.3 times the temperature.
    """
    bounded = np.clip(scores, 1 - _SUREST, _SUREST)
    logits: Floats = temperature * (np.log(bounded) - np.log1p(-bounded))
    return logits


def scorer_of(model: Model) -> Callable[[Sequence[str]], list[float]]:
    """A function from texts to scores, as `training.checklist.run_checklist` takes it."""
    return lambda texts: [verdict.score for verdict in verdicts_of(model, texts)]
