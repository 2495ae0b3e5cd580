"""Data sets of the hub, by a stand-in for the `datasets` library that behaves as its documentation says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from training.labels import NEGATIVE, POSITIVE
from training.recipe import Source
from training.sources.reviews import Review, read_reviews, source_bytes
from training.sources.tables import DataError


class Value:
    """A plain column."""


class ClassLabel(Value):
    """A column of numbers with names."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.num_classes = names, len(names)

    def int2str(self, value: int) -> str:
        if not 0 <= value < self.num_classes:
            raise ValueError(f"Invalid integer class label {value}")
        return self.names[value]


class Dataset:
    """Rows as dictionaries, of columns with features."""

    def __init__(self, rows: list[dict[str, Any]], features: dict[str, Value]) -> None:
        self.rows, self.features = rows, features

    def select_columns(self, names: list[str]) -> Dataset:
        rows = [{name: row[name] for name in names} for row in self.rows]
        return Dataset(rows, {name: self.features[name] for name in names})

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(row) for row in self.rows)


ROWS = [
    {"text": "good", "label": 1, "film": "a", "stars": 5},
    {"text": "bad", "label": 0, "film": "b", "stars": 1},
    {"text": "so so", "label": -1, "film": "b", "stars": 3},
]
FEATURES = {"text": Value(), "label": ClassLabel(["neg", "pos"]), "film": Value(), "stars": Value()}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The library in place; what is asked of it is noted."""
    calls: list[tuple[object, ...]] = []

    def load_dataset(path: str, name: str | None, *, split: str, revision: str | None) -> Dataset:
        calls.append((path, name, split, revision))
        if split == "nowhere":
            raise ValueError('Unknown split "nowhere". Should be one of ["train"].')
        return Dataset(ROWS, FEATURES)

    module = ModuleType("datasets")
    vars(module).update(load_dataset=load_dataset, ClassLabel=ClassLabel)
    monkeypatch.setitem(sys.modules, "datasets", module)
    return calls


def source(split: str = "train", **fields: Any) -> Source:
    hub = {"id": "owner/films", "split": split, "config": "plain", "revision": "abc"}
    return Source.model_validate(
        {"name": "h", "language": "en", "origin": "", "licence": "", "hub": hub, "skip": ["-1"]} | fields
    )


def test_rows_are_read_as_a_tables_with_classes_by_their_names(asked: list[tuple[object, ...]], tmp_path: Path) -> None:
    """Of the configuration, split and revision that the recipe pins."""
    assert read_reviews(source(), tmp_path, tmp_path) == [Review("good", POSITIVE), Review("bad", NEGATIVE)]
    assert asked == [("owner/films", "plain", "train", "abc")]


def test_columns_are_mapped_grouped_and_chosen(asked: list[tuple[object, ...]], tmp_path: Path) -> None:
    """Numbers that have no names are labels as they are."""
    stars = source(label="stars", positive=["5"], negative=["1"], neutral=["3"], group="film")
    assert [(review.label, review.group, review.line) for review in read_reviews(stars, tmp_path, tmp_path)] == [
        ("positive", "a", 1),
        ("negative", "b", 2),
        ("neutral", "b", 3),
    ]
    assert len(list(source_bytes(stars, tmp_path, tmp_path))) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "body"}, "hub:owner/films/plain/train, column 'body': no such column; there are text, label, film"),
        ({"skip": []}, "hub:owner/films/plain/train, line 3, column 'label': unknown label '-1'"),
        ({"split": "nowhere"}, "hub:owner/films/plain/nowhere: cannot be loaded: ValueError: Unknown split"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    asked: list[tuple[object, ...]], tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    """Rows count as lines."""
    with pytest.raises(DataError, match=message):
        read_reviews(source(**fields), tmp_path, tmp_path)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not needed for anything else."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"hub:owner/films/plain/train: .*sentiment-streamer\[training-hub\]"):
        read_reviews(source(), tmp_path, tmp_path)
