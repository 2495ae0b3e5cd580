"""Moderation rules: the first rule that matches decides on a review. Pure.

A rule has conditions on the review (group, pattern, field) and on the model's prediction (label, score). The first kind
is checked when the review is read, in the decoding thread, since a search may take long. The second kind compares
numbers, once there is a prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streamer.events import Action, Prediction, RuleResult
from streamer.moderation.patterns import Search, any_of, compiled, wildcards

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Rule:
    """An action for reviews that meet all conditions. A condition that is empty or None is not checked.

    labels: the predicted label is one of them. score_min, score_max: inclusive bounds of the score, rounded to six
    decimals as it is published.
    groups: the review's group is one of them; `*` matches anything.
    pattern: matches somewhere in the original text. field: dotted path of an input field that is present and not
    null. equals: the field's value is one of these; empty, any value.
    """

    name: str
    action: Action
    labels: tuple[str, ...] = ()
    score_min: float | None = None
    score_max: float | None = None
    groups: tuple[str, ...] = ()
    pattern: str | None = None
    field: str | None = None
    equals: tuple[Scalar, ...] = ()

    def agrees(self, label: str, score: float) -> bool:
        """Whether the conditions on the prediction hold."""
        return (
            (not self.labels or label in self.labels)
            and (self.score_min is None or self.score_min <= score)
            and (self.score_max is None or score <= self.score_max)
        )

    @property
    def needs_prediction(self) -> bool:
        return bool(self.labels) or self.score_min is not None or self.score_max is not None


class Rules:
    """An ordered list of compiled rules. Immutable, so any thread may use it."""

    def __init__(self, rules: Sequence[Rule], default: Action = "allow") -> None:
        """`default`: the action for reviews that no rule matches. Raises PatternError."""
        self.rules = tuple(rules)
        self.fields = tuple(dict.fromkeys(rule.field for rule in rules if rule.field is not None))
        self._default = RuleResult(default, None)
        self._decisions = tuple(RuleResult(rule.action, rule.name) for rule in rules)
        patterns = [rule.pattern for rule in rules if rule.pattern is not None]
        # Most texts match none of the patterns: one search shows this, instead of one for each rule.
        self._any = any_of(patterns) if len(patterns) > 1 else None
        self._tests = tuple(_Test.of(rule, self.fields) for rule in rules)
        self._final = tuple(not rule.needs_prediction for rule in rules)

    def applicable(self, text: str, group: str | None, values: Sequence[object]) -> tuple[int, ...]:
        """The indices of the rules whose conditions on the review hold.

        Ends with the first of them that has no condition on the prediction: later rules cannot match any more.

        `values` are the event's values at `fields`, in that order; None where a field is missing or null.
        """
        found: list[int] = []
        searched = _Searched(text, self._any)
        for place, test in enumerate(self._tests):
            if test.holds(searched, group, values):
                found.append(place)
                if self._final[place]:
                    break
        return tuple(found)

    def apply(self, applicable: Sequence[int], prediction: Prediction) -> RuleResult:
        """The result of the first of these rules whose conditions on the prediction hold, otherwise the default."""
        score = round(prediction.score, 6)
        for place in applicable:
            if self.rules[place].agrees(prediction.label, score):
                return self._decisions[place]
        return self._default


class _Searched:
    """A text to search for patterns. Encoded once, and only if a rule needs it."""

    __slots__ = ("_any", "_bytes", "_some", "_text")

    def __init__(self, text: str, any_pattern: Search | None) -> None:
        self._text = text
        self._any = any_pattern
        self._bytes: bytes | None = None
        self._some = True  # Whether any pattern may match.

    def has(self, search: Search) -> bool:
        if self._bytes is None:
            self._bytes = self._text.encode(errors="replace")
            self._some = self._any is None or self._any(self._bytes) is not None
        return self._some and search(self._bytes) is not None


class _Test(NamedTuple):
    """A rule's conditions on the review, compiled."""

    groups: frozenset[str] | None  # None if any group matches.
    prefixes: tuple[str, ...]  # Of groups with a single `*` at the end: faster than a search.
    wildcards: Search | None
    field: int | None  # Its index in the rules' fields.
    equals: frozenset[tuple[bool, Scalar]]
    search: Search | None

    @classmethod
    def of(cls, rule: Rule, fields: Sequence[str]) -> _Test:
        exact = frozenset(group for group in rule.groups if "*" not in group)
        prefixes = [group for group in rule.groups if group.endswith("*") and group.count("*") == 1]
        wild = [group for group in rule.groups if group not in exact and group not in prefixes]
        return cls(
            exact if rule.groups else None,
            tuple(prefix[:-1] for prefix in prefixes),
            wildcards(wild) if wild else None,
            None if rule.field is None else fields.index(rule.field),
            frozenset(map(_typed, rule.equals)),
            None if rule.pattern is None else compiled(rule.pattern),
        )

    def holds(self, text: _Searched, group: str | None, values: Sequence[object]) -> bool:
        """Whether all conditions hold. Checks cheap conditions first, and the pattern last."""
        return (
            (self.groups is None or (group is not None and self._group_matches(group)))
            and (self.field is None or self._field_matches(values[self.field]))
            and (self.search is None or text.has(self.search))
        )

    def _group_matches(self, group: str) -> bool:
        if (self.groups is not None and group in self.groups) or group.startswith(self.prefixes):
            return True
        return self.wildcards is not None and self.wildcards(group.encode(errors="replace")) is not None

    def _field_matches(self, value: object) -> bool:
        if not self.equals:
            return value is not None
        return isinstance(value, str | int | float) and _typed(value) in self.equals


def _typed(value: Scalar) -> tuple[bool, Scalar]:
    """In Python True equals 1; in JSON true and 1 differ."""
    return isinstance(value, bool), value
