"""The card says what the manifest says, and nothing of what it lacks."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pytest

from training.corpus.corpus import Corpus, SourceCounts, empty_split
from training.evaluation.calibration import AbstentionBand, scores_from_logits
from training.evaluation.checklist import ChecklistResult, MinimalPair, run_checklist
from training.evaluation.metrics import LabelledLogits, Metrics, metrics_of
from training.evaluation.model_card import model_card
from training.model.evaluate import Evaluation
from training.model.export import manifest_of
from training.recipe import OptimiserSettings, Recipe, Source

BAND = AbstentionBand(0.37, 0.63)
PLOTS = ["confusion.png", "coverage.png", "learning-curve.png", "lengths.png", "reliability.png"]
RECIPE = Recipe(
    name="tiny",
    version="2.1",
    data=(
        Source(name="shop", language="zh", origin="a shop of ours", licence="CC0-1.0", path="shop.csv"),
        Source(name="cinema", language="en", origin="a cinema", licence="own", path="cinema.csv"),
    ),
    optimiser=OptimiserSettings(epochs=1),
)
PREPARED = Corpus(
    digest="",
    sources=("shop", "cinema"),
    vocabulary=("<pad>", "<unk>"),
    splits=dict.fromkeys(("train", "dev", "neutral", "test"), empty_split()),
    counts={
        "shop": SourceCounts(read=1_234, empty=1, duplicate=2, conflicting=1, train=1_000, dev=130, test=100),
        "cinema": SourceCounts(read=400, empty=0, duplicate=0, conflicting=0, train=320, dev=40, test=40),
    },
    leaks=0,
)


def metrics(seen: bool = False, neutral: bool = False, seed: int = 1) -> Metrics:
    """Of two hundred reviews of both sources."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=3, size=200)
    source = np.arange(200) % 2
    reviews = LabelledLogits(
        logits,
        random.random(200) < scores_from_logits(logits, 1.5),
        np.array(["shop", "cinema"])[source],
        np.array(["zh", "en"])[source],
        random.integers(1, 300, 200),
        np.arange(200) % 4 == 0 if seen else None,
    )
    return metrics_of(reviews, 1.5, BAND, np.array([0.1, 9.0]) if neutral else None, resamples=20)


def checklist(known: bool = True) -> ChecklistResult:
    """Three pairs, of which one is as expected, and one that is known to fail."""
    cases = [
        MinimalPair("negation", "en", "a", "b", "label", ("positive", "negative")),
        MinimalPair("negation", "zh", "a", "b", "higher"),
        MinimalPair("form", "en", "a", "b", "invariant"),
        MinimalPair("irony", "en", "a", "b", "label", ("positive", "negative"), known_failure=True),
    ]
    return run_checklist(lambda texts: [0.3, 0.2] * (len(texts) // 2), cases if known else cases[:3])


FULL = Evaluation(1.5, BAND, dev=metrics(neutral=True), test=metrics(seen=True, seed=2), checklist=checklist())


def manifest(evaluation: Evaluation = FULL, plots: list[str] = PLOTS, corpus: Corpus = PREPARED) -> dict[str, Any]:
    """A manifest as `export` makes it."""
    return manifest_of(RECIPE, corpus, evaluation) | {"plots": plots}


def tables(card: str) -> list[list[list[str]]]:
    """The cells of each table, line by line."""
    lines = card.splitlines()
    found = [list(group) for is_row, group in groupby(lines, lambda line: line.startswith("|")) if is_row]
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in table] for table in found]


def row(card: str, name: str) -> list[str]:
    """The cells after the first of the one row that begins with this name."""
    (found,) = [line[1:] for table in tables(card) for line in table if line[0] == name]
    return found


def sections(card: str) -> dict[str, str]:
    """What stands below each heading, by its name."""
    parts = re.split(r"^#+ (.*)$", card, flags=re.MULTILINE)
    assert parts[0] == ""
    return {name: content.strip() for name, content in zip(parts[1::2], parts[2::2], strict=True)}


VARIANTS = {
    "full": manifest(),
    "no checklist": manifest(replace(FULL, checklist=None)),
    "nothing known to fail": manifest(replace(FULL, checklist=checklist(known=False))),
    "no plots": manifest(plots=[]),
    "no test": manifest(replace(FULL, test=None)),
    "bare": manifest(Evaluation(1.5, BAND, dev=metrics(), test=None), plots=[]),
    "linear part": manifest(replace(FULL, share=0.4)),
    "leaks": manifest(corpus=replace(PREPARED, leaks=1_234)),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_tables_are_whole_and_no_section_is_empty(variant: str) -> None:
    """Whatever the manifest lacks: every line of a table has as many columns, and none is without rows."""
    card = model_card(VARIANTS[variant])
    for table in tables(card):
        assert {len(line) for line in table} == {len(table[0])}
        assert set(table[1]) == {"---"}
        assert len(table) > 2
    assert [name for name, content in sections(card).items() if not content] == []
    assert not [word for word in ("None", "nan", "{", "}", "\n\n\n") if word in card]
    assert card.endswith("\n")


def test_the_card_is_that_of_the_manifest_as_it_is_written() -> None:
    """Read again from its file, the manifest gives the same card."""
    assert model_card(json.loads(json.dumps(manifest()))) == model_card(manifest())


def test_sources_and_their_counts_are_in_the_card() -> None:
    """With origin and licence."""
    card = model_card(manifest())
    assert card.startswith("# tiny 2.1\n")
    assert row(card, "shop") == ["zh", "1234", "1000", "130", "100", "a shop of ours", "CC0-1.0"]
    assert row(card, "cinema")[0] == "en"


def test_metrics_are_those_of_the_splits() -> None:
    """In per cent with their intervals; test first, what is unseen in a column of its own."""
    assert FULL.test is not None
    assert FULL.test.unseen is not None
    card = model_card(manifest())
    splits = (FULL.test, FULL.dev, FULL.test.unseen)
    assert row(card, "reviews") == ["200", "200", "150"]
    low, high = FULL.test.intervals["accuracy"]
    assert row(card, "accuracy")[0] == f"{100 * FULL.test.accuracy:.2f} ({100 * low:.1f} to {100 * high:.1f})"
    for name, what in (("accuracy", "accuracy"), ("macro F1", "macro_f1")):
        shares = [float(cell.split()[0]) for cell in row(card, name)]
        assert shares == pytest.approx([100 * getattr(split, what) for split in splits], abs=0.005)
    recall = [split.by_class["negative"].recall for split in splits]
    assert row(card, "recall of negative") == [f"{100 * share:.2f}" for share in recall if share is not None]
    assert row(card, "accuracy, cinema")[0].startswith(f"{100 * FULL.test.by_source['cinema'].accuracy:.2f}")
    header = next(table[0] for table in tables(card) if any(line[0] == "accuracy" for line in table))
    assert header == ["", "test", "dev", "test, unseen"]
    assert "unseen" not in model_card(manifest(replace(FULL, test=metrics()))).lower()


def test_the_calibration_is_given_with_its_rule() -> None:
    """The temperature, the band, and what neutral reviews there are."""
    card = model_card(manifest())
    text = sections(card)["Calibration"]
    assert "1.500" in text
    assert "0.37" in text
    assert "0.63" in text
    assert "97 %" in text
    assert row(card, "neutral reviews called uncertain") == ["-", "50.00 of 2", "-"]
    assert "neutral reviews called uncertain" not in model_card(manifest(replace(FULL, dev=metrics())))


def test_the_checklist_is_given_by_capability() -> None:
    """And what is known to fail apart."""
    card = model_card(manifest())
    assert row(card, "negation")[0].startswith("1 of 2")
    assert row(card, "form")[0].startswith("1 of 1")
    assert "irony (0 of 1" in card
    assert not [line for table in tables(card) for line in table if line[0] == "irony"]
    assert "irony (" not in model_card(VARIANTS["nothing known to fail"])
    assert "irony (" not in model_card(VARIANTS["no checklist"])
    assert set(sections(card)) > set(sections(model_card(VARIANTS["no checklist"])))


def test_plots_are_shown_by_their_names() -> None:
    """Those that are there, each with words for who cannot see it."""
    shown = re.findall(r"!\[(.+)\]\((.+)\)", model_card(manifest()))
    assert [file for _, file in shown] == PLOTS
    assert all(words and words != file for words, file in shown)
    assert "![" not in model_card(manifest(plots=[]))
    assert "Plots" not in sections(model_card(manifest(plots=[])))


def test_a_model_without_a_linear_part_is_not_said_to_have_one() -> None:
    """With one, its share is given."""
    assert "neighbours" not in model_card(manifest())
    assert "0.40" in model_card(VARIANTS["linear part"])


def test_texts_in_two_parts_are_owned_up_to() -> None:
    """And where there is none, that is said."""
    assert "no text is in two parts" in model_card(manifest())
    assert "1,234 texts are in two parts" in model_card(VARIANTS["leaks"])


def test_a_manifest_of_before_these_parts_has_a_card_too() -> None:
    """Without the fields, not only without their contents."""
    newer = ("checklist", "plots", "leaks", "linear_share")
    old = {name: value for name, value in manifest().items() if name not in newer}
    expected = replace(FULL, checklist=None)
    assert model_card(old) == model_card(manifest(expected, plots=[]))
