"""The labels are named in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import training
from training.labels import LABELS, NEGATIVE, POSITIVE, label_of

MODULES = sorted(Path(training.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_other_module_spells_a_label(path: Path) -> None:
    """Other labels are a change of `labels.py`, not of what uses them."""
    constants = {
        node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)
    }
    assert bool(constants & set(LABELS)) == (path.name == "labels.py")


def test_the_score_is_the_probability_of_the_second_label() -> None:
    """At 0.5 it counts as that one, as in the served model."""
    assert LABELS == (NEGATIVE, POSITIVE)
    assert [label_of(score) for score in (0.0, 0.49, 0.5, 1.0)] == [NEGATIVE, NEGATIVE, POSITIVE, POSITIVE]
