"""The labels are named in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import training
from training.labels import (
    LABELS,
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    ReviewLabel,
    hint,
    label_of,
    listed,
    spelling,
    spellings,
    understood,
)

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


@pytest.mark.parametrize(
    ("label", "spelled"),
    [
        (5.0, "5"),
        ("5.0", "5"),
        (" 5. ", "5"),
        ("\uff11", "1"),
        ("+1", "1"),
        ("-1.00", "-1"),
        ("-0", "0"),
        ("01", "1"),
        ("4.5", "4.5"),
        (4.5, "4.5"),
        (True, "true"),
        ("True", "true"),
        ("FALSE", "false"),
        (float("nan"), "nan"),
        ("NaN", "nan"),
        (None, ""),
        ("  ", ""),
        ("__label__1", "__label__1"),
        (" 好评\u3000", "好评"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_label_has_one_spelling(label: object, spelled: str) -> None:
    """However spreadsheets, data frames and JSON write it."""
    assert spelling(label) == spelled


def test_true_of_json_may_be_called_1() -> None:
    """As it always was; a word in a table is that word alone."""
    assert spellings(True) == ("true", "1")
    assert spellings("true") == ("true",)


P, N, M = POSITIVE, NEGATIVE, NEUTRAL


@pytest.mark.parametrize(
    "meaning",
    [
        {"0": N, "1": P},
        {"-1": N, "1": P},
        {"-1": N, "0": M, "1": P},
        {"0": N, "4": P},
        {"0": N, "2": M, "4": P},
        {"好评": P, "差评": N, "中评": M},
        {"积极": P, "消极": N},
        {"正向": P, "负向": N},
        {"true": P, "false": N},
        {"pos": P, "neg": N, "neu": M},
        {"1": P, "差评": N},
    ],
    ids=str,
)
def test_labels_mean_what_all_of_them_together_say(meaning: dict[str, ReviewLabel]) -> None:
    """0 is negative beside 1 and 4, and neutral beside -1."""
    assert understood(meaning) == meaning


@pytest.mark.parametrize(
    ("found", "options"),
    [
        (("1", "2"), f"--labels {N}=1 --labels {P}=2"),
        (("0", "1", "2"), f"--labels {N}=0 --labels {M}=1 --labels {P}=2"),
        (("1", "2", "3"), f"--labels {N}=1 --labels {M}=2 --labels {P}=3"),
        (("-2", "-1", "0", "1", "2"), f"--labels {N}=-2,-1 --labels {M}=0 --labels {P}=1,2"),
        (("1", "5"), f"--labels {N}=1,2 --labels {M}=3 --labels {P}=4,5"),
        (("5", "4", "3", "2", "1"), f"--labels {N}=1,2 --labels {M}=3 --labels {P}=4,5"),
        (("0", "1", "2", "3", "4"), f"--labels {N}=0,1 --labels {M}=2 --labels {P}=3,4"),
        (("8", "10", "1"), f"--labels {N}=0,1,2,3,4 --labels {M}=5 --labels {P}=6,7,8,9,10"),
        (("__label__1", "__label__2"), f"--labels {N}=… --labels {P}=…"),
        (("0", "1", "nan"), "--labels skip=nan"),
        (("1", "5", ""), f"--labels {N}=1,2 --labels {M}=3 --labels {P}=4,5 --labels skip="),
    ],
    ids=str,
)
def test_labels_that_are_not_clear_are_left_to_the_person(found: tuple[str, ...], options: str) -> None:
    """Stars may be cut in several places, and 1 may be the best grade; the likely options are proposed."""
    assert not understood(found).keys() >= set(found)
    assert hint(found) == options


def test_labels_are_listed_in_their_order() -> None:
    """Not all of many, and none as a terminal would interpret it."""
    assert listed(["10", "9", "-1", "b", "a\x1b"]) == "'-1', '9', '10', 'a\\x1b', 'b'"
    assert listed([str(number) for number in range(100)]).endswith("'11', …")
