"""What the labels of a table mean, and what becomes of rows without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.labels import NEGATIVE, NEUTRAL, POSITIVE
from training.recipe import Source
from training.sources.reviews import read_reviews
from training.sources.tables import DataError

STARS = {"positive": ("4", "5"), "negative": ("1", "2"), "neutral": ("3",)}


def read(tmp_path: Path, name: str, content: str, **fields: Any) -> tuple[list[str], list[str]]:
    """The labels of the reviews in a table, and what was reported."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    source = Source.model_validate({"name": "r", "language": "zh", "origin": "", "licence": "", "path": name} | fields)
    reported: list[str] = []
    reviews = read_reviews(source, tmp_path, tmp_path, report=reported.append)
    return [review.label for review in reviews], reported


def table(*labels: str) -> str:
    return "text,label\n" + "".join(f"review {number},{label}\n" for number, label in enumerate(labels))


def test_what_was_understood_is_said(tmp_path: Path) -> None:
    """0 is neutral beside -1, wherever in the file the first -1 is."""
    labels, reported = read(tmp_path, "r.csv", table("0", "1", "1", "-1"))
    assert labels == [NEUTRAL, POSITIVE, POSITIVE, NEGATIVE]
    assert reported == [f"r: labels read as {POSITIVE}: '1' (2); {NEGATIVE}: '-1' (1); {NEUTRAL}: '0' (1)"]


@pytest.mark.parametrize(
    "labels",
    [("1.0", "0.0"), ("True", "False"), ("好评", "差评"), ("积极", "消极"), ("4", "0"), ("1", "-1")],
    ids=str,
)
def test_usual_labels_need_no_option(tmp_path: Path, labels: tuple[str, str]) -> None:
    """As words, as numbers of data frames, and as other sets of reviews have them."""
    assert read(tmp_path, "r.csv", table(*labels))[0] == [POSITIVE, NEGATIVE]


@pytest.mark.parametrize("labels", [(5, 4, 3, 2, 1), (5.0, 4.0, 3.0, 2.0, 1.0), ("5.0", "4", "3.", "+2", "01")])
def test_stars_are_given_their_meaning_in_any_spelling(tmp_path: Path, labels: tuple[object, ...]) -> None:
    """In a recipe, or by --labels; nothing is reported, since the person said it."""
    lines = "".join(json.dumps({"text": f"review {label}", "label": label}) + "\n" for label in labels)
    found, reported = read(tmp_path, "r.jsonl", lines, **STARS)
    assert found == [POSITIVE, POSITIVE, NEUTRAL, NEGATIVE, NEGATIVE]
    assert reported == []


def test_true_of_json_is_the_1_of_a_recipe(tmp_path: Path) -> None:
    """And a recipe may say true, whatever its case."""
    lines = '{"text": "a", "label": true}\n{"text": "b", "label": false}\n'
    for words in ({"positive": ("1",), "negative": ("0",)}, {"positive": ("True",), "negative": ("False",)}):
        assert read(tmp_path, "r.jsonl", lines, **words)[0] == [POSITIVE, NEGATIVE]


def test_labels_that_are_not_clear_are_an_error_with_the_option(tmp_path: Path) -> None:
    """At the line of the first one that is not a usual label, with all labels of the file."""
    message = (
        r"^r\.csv, line 3, column 'label': unknown label '5'; the labels are '1', '3', '5': "
        rf"--labels {NEGATIVE}=1,2 --labels {NEUTRAL}=3 --labels {POSITIVE}=4,5 says what they mean"
    )
    with pytest.raises(DataError, match=message):
        read(tmp_path, "r.csv", table("1", "5", "3"))


def test_one_row_does_not_change_what_the_others_mean(tmp_path: Path) -> None:
    """A stray 2 among 0 and 1 makes another scale of them: that is for the person to say."""
    with pytest.raises(DataError, match=r"line 5, column 'label': unknown label '2'"):
        read(tmp_path, "r.csv", table("0", "1", "1", "2"))


@pytest.mark.parametrize("label", ["nan", "NaN", "", "null", "None", "N/A"])
def test_a_row_without_a_label_is_an_error_with_the_options(tmp_path: Path, label: str) -> None:
    """That leave it out."""
    content = table("1", "0", label)
    with pytest.raises(DataError, match=r"r\.csv, line 4, column 'label': no label.*--labels skip=.*--skip-bad-rows"):
        read(tmp_path, "r.csv", content)
    assert read(tmp_path, "r.csv", content, skip=(label,))[0] == [POSITIVE, NEGATIVE]
    assert read(tmp_path, "r.csv", content, skip_bad_rows=True)[0] == [POSITIVE, NEGATIVE]


def test_a_recipe_may_give_a_missing_label_a_meaning(tmp_path: Path) -> None:
    """Some sets call their neutral reviews none."""
    words = {"positive": ("1",), "negative": ("0",), "neutral": ("none",)}
    assert read(tmp_path, "r.csv", table("1", "0", "None"), **words)[0] == [POSITIVE, NEGATIVE, NEUTRAL]


def test_texts_that_are_blank_or_null_are_counted(tmp_path: Path) -> None:
    """They are left out, and that is said."""
    rows = (("a", 1), ("b", 0), (None, 1), (" ", 0))
    lines = [{"text": text, "label": label} for text, label in rows]
    labels, reported = read(tmp_path, "r.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert labels == [POSITIVE, NEGATIVE]
    assert reported[-1] == "r: 2 without a text left out"


def test_names_from_outside_are_printable(tmp_path: Path) -> None:
    """Of a column, a label and a file."""
    with pytest.raises(DataError) as refused:
        read(tmp_path, "r.csv", "text,a\x1b[2J\n" + "x,1\x1b]0;forged\x07\nx,0\n", label="a\x1b[2J")
    assert str(refused.value).isprintable()
    assert "column 'a\\x1b[2J'" in str(refused.value)
    assert "forged" in str(refused.value)
