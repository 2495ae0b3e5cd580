"""Any artefact is measured on any labelled file, through the very code that serves it."""

from __future__ import annotations

import gzip
import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamer.models.artefact import ModelError
from streamer.models.torchscript import Model, load
from tests.training.reviews import synthetic, write_csv
from tests.training.test_cli import RECIPE
from training.cli import main
from training.evaluation.artefact import (
    artefact_scorer,
    evaluate_artefact,
    evaluate_reviews,
    file_source,
    logits_from_scores,
    predict,
    temperature_of,
)
from training.evaluation.checklist import MinimalPair, run_checklist
from training.labels import NEUTRAL
from training.sources.reviews import Review
from training.sources.tables import DataError

ROWS = synthetic(80, seed=7)


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of a few seconds leaves."""
    folder = tmp_path_factory.mktemp("artefact")
    (folder / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    table = write_csv(folder / "own.csv", synthetic(400))
    assert main(["run", str(folder / "tiny.toml"), "--csv", str(table), "--out", str(folder / "out")]) == 0
    return folder / "out" / "artefact"


@pytest.fixture(scope="module")
def model(artefact: Path) -> Model:
    """The artefact, loaded as the evaluation does."""
    return load(artefact, "cpu", "float32", 1)


def write_jsonl(path: Path, rows: list[tuple[str, str]]) -> Path:
    """Write JSON Lines, compressed where the name says so; return the path."""
    text = "".join(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n" for text, label in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def score_of(model: Model, text: str) -> float:
    """The score of a text in a batch of its own."""
    return model.predict([model.vocabulary.encode(text, model.manifest.max_tokens)])[0].score


@pytest.mark.parametrize(("name", "write"), [("other.csv", write_csv), ("other.jsonl.gz", write_jsonl)])
def test_the_metrics_are_those_of_the_served_scores(
    name: str,
    write: Callable[[Path, list[tuple[str, str]]], Path],
    artefact: Path,
    model: Model,
    tmp_path: Path,
) -> None:
    """Each metric from its definition, with reviews that are predicted one by one; some have the wrong label."""
    rows = [(text, "negative" if number % 10 == 1 else label) for number, (text, label) in enumerate(ROWS)]
    found = evaluate_artefact(artefact, file_source(write(tmp_path / name, rows), language="zh"), threads=1)

    scores = np.array([score_of(model, text) for text, _ in rows])
    positive = np.array([label == "positive" for _, label in rows])
    called = scores >= 0.5
    low, high = model.labels.band
    outside = (scores < low) | (scores >= high)
    metrics = found.metrics
    assert (found.reviews, metrics.reviews, found.data) == (80, 80, name)
    assert metrics.accuracy == pytest.approx((called == positive).mean(), abs=1e-4)
    assert metrics.accuracy < 0.95
    assert metrics.confusion == tuple(
        tuple(int(((positive == label) & (called == call)).sum()) for call in (False, True)) for label in (False, True)
    )
    likelihoods = [score if label else 1 - score for score, label in zip(scores, positive, strict=True)]
    assert metrics.log_loss == pytest.approx(-sum(map(math.log, likelihoods)) / 80, abs=1e-4)
    assert metrics.brier_after == pytest.approx(((scores - positive) ** 2).mean(), abs=1e-4)
    assert metrics.uncertain == pytest.approx((~outside).mean(), abs=1e-4)
    assert metrics.accuracy_outside == pytest.approx((called == positive)[outside].mean(), abs=1e-4)
    assert [*metrics.by_source] == ["file"]
    assert [*metrics.by_language] == ["zh"]


def test_an_evaluation_names_the_artefact_and_the_data(artefact: Path, model: Model, tmp_path: Path) -> None:
    """The artefact's name and band are its manifest's; without a language reviews are of any."""
    manifest = json.loads((artefact / "manifest.json").read_text(encoding="utf-8"))
    found = evaluate_artefact(artefact, file_source(write_csv(tmp_path / "a.csv", ROWS)), threads=1)
    assert (found.model, found.version) == (manifest["name"], manifest["version"])
    assert found.temperature == manifest["temperature"] == temperature_of(artefact)
    assert (found.uncertain.low, found.uncertain.high) == model.labels.band
    assert [*found.metrics.by_language] == ["any"]
    assert found.metrics.unseen is None
    assert found.data == "a.csv"


def test_predictions_come_in_the_order_of_the_texts(model: Model) -> None:
    """Of several windows, each with texts of many lengths, empty ones and ones too long among them."""
    distinct = [text for text, _ in ROWS] + ["", "杯子", "great " * 50]
    texts = random.Random(1).choices(distinct, k=9_000)
    alone = {text: model.predict([model.vocabulary.encode(text, 32)])[0] for text in distinct}
    predictions = predict(model, texts)
    assert [(found.tokens, found.truncated) for found in predictions] == [
        (alone[text].tokens, alone[text].truncated) for text in texts
    ]
    # Batches change a score by rounding alone.
    assert [found.score for found in predictions] == pytest.approx([alone[text].score for text in texts], abs=1e-5)


def test_no_text_has_no_prediction(model: Model) -> None:
    """An empty list is not an error."""
    assert predict(model, []) == []


def test_a_model_can_be_given_the_checklist(model: Model) -> None:
    """It scores the texts: words that it was trained on are told apart."""
    texts = ("the great cup", "the awful cup")
    case = MinimalPair("x", "en", *texts, "label", ("positive", "negative"))
    assert run_checklist(artefact_scorer(model), [case]).passed == 1
    assert artefact_scorer(model)(texts) == pytest.approx([score_of(model, text) for text in texts], abs=1e-6)


def test_copies_and_empty_and_long_reviews_are_counted_and_kept(artefact: Path, tmp_path: Path) -> None:
    """Copies are those of the same letters and digits; a review without a token scores 0.5; blank lines are none."""
    rows = [
        *(("great cup", "positive"), ("Great, cup!", "positive"), ("great cup", "negative")),
        *(("\u200b", "positive"), ("\u200b\u200b", "negative")),
        *(("awful " * 40, "negative"), ("  ", "positive")),
    ]
    found = evaluate_artefact(artefact, file_source(write_jsonl(tmp_path / "a.jsonl", rows)), threads=1)
    assert (found.reviews, found.duplicates, found.empty, found.truncated) == (6, 3, 2, 1)
    assert found.metrics.reviews == 6
    assert {name: group.reviews for name, group in found.metrics.by_length.items()} == {"1-8": 5, "17-32": 1}
    assert found.metrics.uncertain >= round(2 / 6, 4)


def test_neutral_reviews_are_counted_apart(artefact: Path, model: Model, tmp_path: Path) -> None:
    """They count as reviews; the share that is called uncertain is given."""
    neutral = [("\u200b", "neutral"), ("great great great lovely", "中性"), ("中", "NEU")]
    found = evaluate_artefact(artefact, file_source(write_jsonl(tmp_path / "a.jsonl", [*ROWS, *neutral])), threads=1)
    labels = [prediction.label for prediction in predict(model, [text for text, _ in neutral])]
    assert (found.reviews, found.metrics.reviews) == (83, 80)
    assert found.metrics.neutral is not None
    assert found.metrics.neutral.reviews == 3
    assert found.metrics.neutral.uncertain == round(labels.count("uncertain") / 3, 4)


def test_neutral_reviews_alone_give_no_metrics(model: Model, tmp_path: Path) -> None:
    """There is nothing to be right or wrong about."""
    reviews = [Review("great", NEUTRAL)]
    with pytest.raises(DataError, match=r"a\.csv: no positive or negative review in it"):
        evaluate_reviews(model, 1.0, reviews, file_source(tmp_path / "a.csv"))


@pytest.mark.parametrize("temperature", [0.8, 1.0, 2.5])
def test_logits_are_those_that_gave_the_scores(temperature: float) -> None:
    """What float32 cannot tell from 0 or 1 stays finite and on its side."""
    logits = temperature * np.array([-12.0, -3.0, 0.0, 0.5, 8.0])
    found = logits_from_scores(1 / (1 + np.exp(-logits / temperature)), temperature)
    assert found == pytest.approx(logits, abs=1e-6)
    assert found[2] == 0
    largest = np.nextafter(np.float32(1), np.float32(0))
    low, high, next_to_it = logits_from_scores(np.array([0, 1, largest], np.float64), temperature)
    assert high == -low == pytest.approx(25 * math.log(2) * temperature, rel=1e-6)
    assert high > next_to_it


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,stars\na,1\nb,0\n", r"a\.csv, line 1: no column 'label'; the columns are text, stars"),
        ("text,label\na,1\nb,5\n", r"a\.csv, line 3, column 'label': unknown label '5'; the labels are "),
        ("text,label\na,1\nb\n", r"a\.csv, line 3: 1 cell, but the header has 2"),
        ("text,label\na,中性\n", r"a\.csv, column 'label': only neutral reviews in it"),
        ("", r"a\.csv: the file is empty"),
        ("text,label\n", r"a\.csv: no review in it"),
        (None, r"a\.csv: no such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_with_its_place(
    content: str | None, message: str, artefact: Path, tmp_path: Path
) -> None:
    """File, line and column."""
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        evaluate_artefact(artefact, file_source(path), threads=1)


def test_a_compressed_file_that_was_cut_off_is_said(artefact: Path, tmp_path: Path) -> None:
    """As a full disk leaves it."""
    path = write_jsonl(tmp_path / "a.jsonl.gz", ROWS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz.*: the gzip data end too early"):
        evaluate_artefact(artefact, file_source(path), threads=1)


def _lengthen(folder: Path) -> None:
    with (folder / "vocabulary.txt").open("ab") as file:
        file.write(b"x\n")


def _change(folder: Path, **fields: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_lengthen, r"vocabulary\.txt: damaged or changed"),
        (lambda folder: (folder / "model.pt").unlink(), r"model\.pt: No such file"),
        (shutil.rmtree, r"manifest\.json: No such file"),
        (lambda folder: (folder / "manifest.json").write_text("{"), r"manifest\.json: not JSON"),
        (lambda folder: _change(folder, temperature=None), r"manifest\.json: no temperature in it"),
        (lambda folder: _change(folder, temperature="1"), r"manifest\.json: no temperature in it"),
        (lambda folder: _change(folder, temperature=0), r"manifest\.json: no temperature in it"),
    ],
)
def test_an_artefact_that_is_damaged_is_refused(
    damage: Callable[[Path], object], message: str, artefact: Path, tmp_path: Path
) -> None:
    """Before the file is read: there is none."""
    copy = tmp_path / "artefact"
    shutil.copytree(artefact, copy)
    damage(copy)
    with pytest.raises(ModelError, match=message):
        evaluate_artefact(copy, file_source(tmp_path / "absent.csv"), threads=1)
