"""Minimal pairs: two texts that differ in one thing, and what this difference should do to the score.

After Ribeiro et al., Beyond Accuracy: Behavioral Testing of NLP Models with CheckList, ACL 2020. The pairs are in
checklist.jsonl, one on each line. They were written for this; none is from a data set, and none is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter

from training.labels import Label, label_of

Scorer = Callable[[Sequence[str]], Sequence[float]]  # From texts to P(positive).

CHECKLIST_FILE = Path(__file__).parents[1] / "checklist.jsonl"


@dataclass(frozen=True, slots=True)
class MinimalPair:
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
    known_failure: bool = False  # Beyond this kind of model: counted separately.

    def __post_init__(self) -> None:
        """Raise ValueError for labels that do not belong here, or for missing ones."""
        if (self.expected == "label") != (self.labels is not None):
            raise ValueError(f"{self.a!r}: labels belong to the expectation 'label', and to it alone")

    def passed(self, a: float, b: float) -> bool:
        """Whether the scores of the two texts are as expected."""
        if self.labels is not None:
            return (label_of(a), label_of(b)) == self.labels
        if self.expected == "invariant":
            return (a >= 0.5) == (b >= 0.5) and abs(a - b) <= self.within
        return a > b


@dataclass(frozen=True, slots=True)
class FailedPair:
    """A pair whose scores are not as expected."""

    language: str
    a: str
    b: str
    expected: str  # The two labels, or "invariant", or "higher".
    scores: tuple[float, float]


@dataclass(frozen=True, slots=True)
class CapabilityResult:
    """How many pairs of a kind have scores as expected."""

    pairs: int
    passed: int
    by_language: dict[str, tuple[int, int]]  # Passed, pairs.
    failed: tuple[FailedPair, ...]


@dataclass(frozen=True, slots=True)
class ChecklistResult:
    """The results by capability; pairs that are known to fail are not in the sums."""

    pairs: int
    passed: int
    by_capability: dict[str, CapabilityResult]
    known_failures: dict[str, CapabilityResult]


def load_pairs(path: Path = CHECKLIST_FILE) -> tuple[MinimalPair, ...]:
    """Read the pairs, in the order of the file."""
    adapter = TypeAdapter(MinimalPair)
    return tuple(adapter.validate_json(line) for line in path.read_text(encoding="utf-8").splitlines())


def run_checklist(scorer: Scorer, pairs: Sequence[MinimalPair] | None = None) -> ChecklistResult:
    """Score both texts of every pair; `scorer` gets all texts at once."""
    pairs = load_pairs() if pairs is None else pairs
    scores = scorer([text for pair in pairs for text in (pair.a, pair.b)])
    scored = list(zip(pairs, scores[::2], scores[1::2], strict=True))
    counted = [one for one in scored if not one[0].known_failure]
    return ChecklistResult(
        pairs=len(counted),
        passed=sum(pair.passed(a, b) for pair, a, b in counted),
        by_capability=_by_capability(counted),
        known_failures=_by_capability(one for one in scored if one[0].known_failure),
    )


def _by_capability(scored: Iterable[tuple[MinimalPair, float, float]]) -> dict[str, CapabilityResult]:
    grouped: dict[str, list[tuple[MinimalPair, float, float]]] = {}
    for one in scored:
        grouped.setdefault(one[0].capability, []).append(one)
    return {name: _result(group) for name, group in grouped.items()}


def _result(scored: Sequence[tuple[MinimalPair, float, float]]) -> CapabilityResult:
    by_language: dict[str, tuple[int, int]] = {}
    failed = []
    for pair, a, b in scored:
        right = pair.passed(a, b)
        passed, pairs = by_language.get(pair.language, (0, 0))
        by_language[pair.language] = (passed + right, pairs + 1)
        if not right:
            expected = ", ".join(pair.labels) if pair.labels else pair.expected
            failed.append(FailedPair(pair.language, pair.a, pair.b, expected, (round(a, 4), round(b, 4))))
    return CapabilityResult(len(scored), len(scored) - len(failed), by_language, tuple(failed))
