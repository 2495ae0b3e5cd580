"""The checklist counts what its expectations say, and its file is what it claims to be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from streamer.text import normalise
from training.corpus.splitting import text_key
from training.evaluation.checklist import (
    CHECKLIST_FILE,
    CapabilityResult,
    FailedPair,
    MinimalPair,
    load_pairs,
    run_checklist,
)

WRITTEN = sorted((CHECKLIST_FILE.parent / "written").glob("*.jsonl"))

PAIRS = (
    MinimalPair("negation", "en", "good", "not good", "label", ("positive", "negative")),
    MinimalPair("negation", "zh", "坏", "不坏", "label", ("negative", "positive")),
    MinimalPair("degree", "en", "very good", "rather good", "higher"),
    MinimalPair("form", "en", "nice", "NICE", "invariant", within=0.1),
    MinimalPair("irony", "en", "thanks", "thanks a lot", "label", ("positive", "negative"), known_failure=True),
)


def scorer_with(scores: dict[str, float]) -> Callable[[Sequence[str]], list[float]]:
    """A scorer that knows these texts."""
    return lambda texts: [scores[text] for text in texts]


def answers(cases: Sequence[MinimalPair], right: bool) -> dict[str, float]:
    """Scores with which every pair is as expected, or none is."""
    scores: dict[str, float] = {}
    for case in cases:
        if case.labels is not None:
            pair = [0.9 if (label == "positive") == right else 0.1 for label in case.labels]
        elif case.expected == "invariant":
            pair = [0.8, 0.8 if right else 0.2]
        else:
            pair = [0.7, 0.6] if right else [0.6, 0.7]
        scores |= {case.a: pair[0], case.b: pair[1]}
    return scores


def test_a_scorer_that_is_right_fails_nothing() -> None:
    """Known failures are counted apart, in no sum."""
    found = run_checklist(scorer_with(answers(PAIRS, right=True)), PAIRS)
    assert (found.pairs, found.passed) == (4, 4)
    assert found.by_capability == {
        "negation": CapabilityResult(2, 2, {"en": (1, 1), "zh": (1, 1)}, ()),
        "degree": CapabilityResult(1, 1, {"en": (1, 1)}, ()),
        "form": CapabilityResult(1, 1, {"en": (1, 1)}, ()),
    }
    assert found.known_failures == {"irony": CapabilityResult(1, 1, {"en": (1, 1)}, ())}


def test_a_scorer_that_is_wrong_fails_everything() -> None:
    """Each pair is named, with its scores and with what was expected."""
    found = run_checklist(scorer_with(answers(PAIRS, right=False)), PAIRS)
    assert (found.pairs, found.passed) == (4, 0)
    assert found.by_capability["negation"].by_language == {"en": (0, 1), "zh": (0, 1)}
    assert [one for capability in found.by_capability.values() for one in capability.failed] == [
        FailedPair("en", "good", "not good", "positive, negative", (0.1, 0.9)),
        FailedPair("zh", "坏", "不坏", "negative, positive", (0.9, 0.1)),
        FailedPair("en", "very good", "rather good", "higher", (0.6, 0.7)),
        FailedPair("en", "nice", "NICE", "invariant", (0.8, 0.2)),
    ]
    assert found.known_failures["irony"].passed == 0


def test_the_scorer_is_called_once_with_every_text() -> None:
    """So that it can batch them: both texts of a pair side by side."""
    asked: list[Sequence[str]] = []

    def score(texts: Sequence[str]) -> list[float]:
        asked.append(texts)
        return [0.5] * len(texts)

    run_checklist(score, PAIRS)
    assert asked == [[text for case in PAIRS for text in (case.a, case.b)]]


@pytest.mark.parametrize(
    ("scores", "passed"),
    [
        ((0.8, 0.8), True),
        ((0.75, 0.8), True),
        ((0.6, 0.8), False),  # Too far apart.
        ((0.49, 0.51), False),  # On both sides.
        ((0.5, 0.55), True),  # 0.5 counts as positive.
        ((0.1, 0.05), True),
    ],
)
def test_invariant_texts_are_on_one_side_and_close_together(scores: tuple[float, float], passed: bool) -> None:
    """Within a tenth here."""
    assert MinimalPair("form", "en", "a", "b", "invariant", within=0.1).passed(*scores) is passed


def test_invariant_texts_may_be_far_apart_unless_said_otherwise() -> None:
    """On their side of 0.5."""
    case = MinimalPair("form", "en", "a", "b", "invariant")
    assert case.passed(0.5, 1.0)
    assert not case.passed(0.49, 0.5)


def test_higher_is_higher_on_either_side() -> None:
    """Equal is not."""
    case = MinimalPair("degree", "en", "a", "b", "higher")
    assert case.passed(0.9, 0.8)
    assert case.passed(0.2, 0.1)
    assert not case.passed(0.5, 0.5)
    assert not case.passed(0.1, 0.9)


def test_a_score_of_a_half_is_positive() -> None:
    """As everywhere."""
    assert MinimalPair("x", "en", "a", "b", "label", ("positive", "negative")).passed(0.5, 0.4999)


def test_labels_belong_to_the_expectation_of_labels_alone() -> None:
    """A pair that could never be checked is refused."""
    with pytest.raises(ValueError, match="'a': labels belong to"):
        MinimalPair("x", "en", "a", "b", "label")
    with pytest.raises(ValueError, match="'a': labels belong to"):
        MinimalPair("x", "en", "a", "b", "higher", ("positive", "negative"))


@pytest.mark.parametrize(
    "change",
    [{"expected": "lower"}, {"labels": ["good", "bad"]}, {"labels": ["positive"]}, {"knwon_failure": True}],
)
def test_a_line_that_is_no_pair_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    """A misspelling must not change what is expected in silence."""
    row: dict[str, object] = {"capability": "x", "language": "en", "a": "a", "b": "b", "expected": "label"}
    row["labels"] = ["positive", "negative"]
    file = tmp_path / "cases.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert load_pairs(file) == (MinimalPair("x", "en", "a", "b", "label", ("positive", "negative")),)
    file.write_text(json.dumps(row | change), encoding="utf-8")
    with pytest.raises(ValueError, match="validation error"):
        load_pairs(file)


def test_the_file_has_pairs_of_every_capability_in_both_languages() -> None:
    """At least 160 of them; traditional characters are Chinese alone."""
    cases = load_pairs()
    assert len(cases) >= 160
    found = {(case.capability, case.language) for case in cases}
    both = ("negation", "contrast", "degree", "emoji", "typing-errors", "irony")
    assert {(capability, language) for capability in both for language in ("zh", "en")} <= found
    assert ("traditional", "zh") in found
    assert {case.language for case in cases} == {"zh", "en"}
    texts = {
        language: " ".join(case.a + case.b for case in cases if case.language == language) for language in ("zh", "en")
    }
    assert "但是" in texts["zh"]
    assert ", but " in texts["en"]


def test_irony_is_what_is_known_to_fail() -> None:
    """All of it, and nothing else."""
    assert {case.capability for case in load_pairs() if case.known_failure} == {"irony"}
    assert all(case.known_failure for case in load_pairs() if case.capability == "irony")


def test_no_pair_of_the_file_comes_twice() -> None:
    """Nor any of its texts in two pairs; only the form of a text may be all that differs within one."""
    cases = load_pairs()
    pairs = [frozenset(text_key(normalise(text)) for text in (case.a, case.b)) for case in cases]
    assert len(set(pairs)) == len(pairs)
    texts = [text for case in cases for text in (case.a, case.b)]
    assert sorted({text for text in texts if texts.count(text) > 1}) == []
    assert all(case.a.strip() and case.b.strip() for case in cases)


def test_traditional_pairs_have_the_same_text_twice() -> None:
    """Normalised, an invariant pair is one text: the model never sees a difference."""
    pairs = [case for case in load_pairs() if case.capability == "traditional" and case.expected == "invariant"]
    assert len(pairs) >= 5
    assert all(case.a != case.b and case.within < 0.1 for case in pairs)
    assert [case.b for case in pairs if normalise(case.b) != normalise(case.a)] == []


def test_nothing_of_the_file_is_trained_on() -> None:
    """No text of the written data has the letters and digits of one of its texts."""
    lines = [line for file in WRITTEN for line in file.read_text(encoding="utf-8").splitlines()]
    written = {text_key(normalise(json.loads(line)["text"])) for line in lines}
    assert len(written) > 1_000
    texts = [text for case in load_pairs() for text in (case.a, case.b)]
    assert [text for text in texts if text_key(normalise(text)) in written] == []


@pytest.mark.parametrize("right", [True, False])
def test_the_whole_file_can_be_passed_and_failed(right: bool) -> None:
    """Its pairs do not contradict each other."""
    cases = load_pairs()
    found = run_checklist(scorer_with(answers(cases, right)))
    assert found.pairs == sum(not case.known_failure for case in cases)
    assert found.passed == (found.pairs if right else 0)
    groups = (*found.by_capability.values(), *found.known_failures.values())
    assert sum(group.pairs for group in groups) == len(cases)
    assert all(group.pairs == sum(pairs for _, pairs in group.by_language.values()) for group in groups)
    assert all(len(group.failed) == group.pairs - group.passed for group in groups)
