"""Minimal pairs: two texts that differ in one thing, and what that thing should do to the score.

After Ribeiro et al., Beyond Accuracy: Behavioral Testing of NLP Models with CheckList, ACL 2020. The pairs are in
checklist.jsonl, one a line; they were written for this, none is from a data set, and none is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter

Predict = Callable[[Sequence[str]], Sequence[float]]  # From texts to P(positive).
Label = Literal["negative", "positive"]

CASES = Path(__file__).with_name("checklist.jsonl")


@dataclass(frozen=True, slots=True)
class Case:
    """A minimal pair.

    expected: "label", the texts have these labels (a score of 0.5 or more is positive); "invariant", both are on
    the same side of 0.5, and their scores at most `within` apart; "higher", `a` scores higher than `b`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # A misspelt field in the file is an error.

    capability: str
    language: str
    a: str
    b: str
    expected: Literal["label", "invariant", "higher"]
    labels: tuple[Label, Label] | None = None  # Of "label" only.
    within: float = 1.0  # Of "invariant" only.
    known_failure: bool = False  # Beyond this kind of model: counted apart.

    def __post_init__(self) -> None:
        """Raise ValueError for labels where none belong, or none where they do."""
        if (self.expected == "label") != (self.labels is not None):
            raise ValueError(f"{self.a!r}: labels belong to the expectation 'label', and to it alone")

    def passed(self, a: float, b: float) -> bool:
        """Whether the scores of the two texts are as expected."""
        if self.labels is not None:
            return tuple("positive" if score >= 0.5 else "negative" for score in (a, b)) == self.labels
        if self.expected == "invariant":
            return (a >= 0.5) == (b >= 0.5) and abs(a - b) <= self.within
        return a > b


@dataclass(frozen=True, slots=True)
class Failed:
    """A pair that was not judged as expected."""

    language: str
    a: str
    b: str
    expected: str  # The two labels, or "invariant", or "higher".
    scores: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Capability:
    """How many pairs of a kind are judged as expected."""

    pairs: int
    passed: int
    by_language: dict[str, tuple[int, int]]  # Passed, pairs.
    failed: tuple[Failed, ...]


@dataclass(frozen=True, slots=True)
class Checklist:
    """The outcome by capability; those known to fail are not in the sums."""

    pairs: int
    passed: int
    by_capability: dict[str, Capability]
    known_failures: dict[str, Capability]


def load_cases(path: Path = CASES) -> tuple[Case, ...]:
    """Read the pairs, in the order of the file."""
    one = TypeAdapter(Case)
    return tuple(one.validate_json(line) for line in path.read_text(encoding="utf-8").splitlines())


def run_checklist(judge: Predict, cases: Sequence[Case] | None = None) -> Checklist:
    """Judge both texts of every pair; `judge` takes all texts at once."""
    cases = load_cases() if cases is None else cases
    scores = judge([text for case in cases for text in (case.a, case.b)])
    outcomes = list(zip(cases, scores[::2], scores[1::2], strict=True))
    expected = [outcome for outcome in outcomes if not outcome[0].known_failure]
    return Checklist(
        pairs=len(expected),
        passed=sum(case.passed(a, b) for case, a, b in expected),
        by_capability=_by_capability(expected),
        known_failures=_by_capability(outcome for outcome in outcomes if outcome[0].known_failure),
    )


def _by_capability(outcomes: Iterable[tuple[Case, float, float]]) -> dict[str, Capability]:
    grouped: dict[str, list[tuple[Case, float, float]]] = {}
    for outcome in outcomes:
        grouped.setdefault(outcome[0].capability, []).append(outcome)
    return {name: _capability(group) for name, group in grouped.items()}


def _capability(outcomes: Sequence[tuple[Case, float, float]]) -> Capability:
    sample: dict[str, tuple[int, int]] = {}
    failed = []
    for case, a, b in outcomes:
        right = case.passed(a, b)
        passed, pairs = sample.get(case.language, (0, 0))
        sample[case.language] = (passed + right, pairs + 1)
        if not right:
            expected = ", ".join(case.labels) if case.labels else case.expected
            failed.append(Failed(case.language, case.a, case.b, expected, (round(a, 4), round(b, 4))))
    return Capability(len(outcomes), len(outcomes) - len(failed), sample, tuple(failed))
