"""Moderation rules: the first that matches wins, all its conditions hold, and no text makes a search slow."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events import Action, Prediction, RuleResult
from streamer.moderation.patterns import PatternError, any_of, compiled
from streamer.moderation.rules import Rule, Rules, Scalar


def prediction(label: str = "negative", score: float = 0.1) -> Prediction:
    return Prediction(label, score, max(score, 1 - score), 5, False)


def apply(
    rules: Rules, text: str = "", group: str | None = None, judged: Prediction | None = None, **fields: Any
) -> RuleResult:
    values = [fields.get(name) for name in rules.fields]
    return rules.apply(rules.applicable(text, group, values), judged or prediction())


def matches(
    rule: Rule, text: str = "", group: str | None = None, judged: Prediction | None = None, **fields: Any
) -> bool:
    return apply(Rules([rule]), text, group, judged, **fields).rule is not None


def test_what_no_rule_matches_is_left_to_the_default() -> None:
    """Which names no rule."""
    rules = Rules([Rule("a", "block", pattern="x")], "review")
    assert apply(rules, "y") == RuleResult("review", None)
    assert apply(rules, "x") == RuleResult("block", "a")
    assert apply(Rules([]), "x") == RuleResult("allow", None)


@pytest.mark.parametrize(
    ("score", "label", "held"),
    [
        (0.2, "negative", True),
        (0.1, "negative", True),
        (0.3, "negative", True),
        (0.31, "negative", False),
        (0.09, "negative", False),
        (0.2, "uncertain", True),
        (0.2, "positive", False),
    ],
)
def test_score_bounds_are_inclusive_and_labels_alternatives(score: float, label: str, held: bool) -> None:
    """Both of the model's verdict."""
    rule = Rule("a", "block", labels=("negative", "uncertain"), score_min=0.1, score_max=0.3)
    assert matches(rule, judged=prediction(label, score)) is held


@pytest.mark.parametrize(
    ("group", "held"),
    [
        ("p-1", True),
        ("p-", True),
        ("p-1\n2", True),
        ("xp-1", False),
        ("exact", True),
        ("exact2", False),
        (None, False),
        ("a.b", True),
        ("aXb", False),
        ("手机-1", True),
    ],
)
def test_groups_are_exact_or_have_wildcards(group: str | None, held: bool) -> None:
    """Only `*` is one; a review without a group is of none."""
    assert matches(Rule("a", "block", groups=("p-*", "exact", "a.b", "手*")), group=group) is held


@given(st.lists(st.text("ab*", max_size=6), min_size=1, max_size=3), st.text("ab", max_size=8))
def test_wildcards_are_fnmatch_s(groups: list[str], group: str) -> None:
    """Where nothing but `*` is special."""
    assert matches(Rule("a", "block", groups=tuple(groups)), group=group) is any(fnmatchcase(group, g) for g in groups)


@pytest.mark.parametrize(
    ("equals", "value", "held"),
    [
        ((), "x", True),
        ((), 0, True),
        ((), {"a": 1}, True),
        ((), None, False),
        (("x",), "x", True),
        (("x", "y"), "y", True),
        (("x",), "X", False),
        (("x",), None, False),
        ((1,), 1, True),
        ((1,), 1.0, True),
        ((1,), True, False),
        ((True,), True, True),
        ((True,), 1, False),
        ((1,), "1", False),
        (("x",), ["x"], False),
        (("x",), {"x": 1}, False),
        (("true",), True, False),
    ],
)
def test_fields_are_compared_as_json_has_them(equals: tuple[Scalar, ...], value: object, held: bool) -> None:
    """Without `equals`, being there is enough; null is not being there."""
    assert matches(Rule("a", "block", field="f", equals=equals), f=value) is held


def test_patterns_are_searched_in_the_text_as_it_came() -> None:
    """Chinese, any case where the pattern says so, and its own anchors."""
    rule = Rule("a", "block", pattern="(?i)傻[逼屄]|idiot$")
    assert matches(rule, "真是傻逼啊") and matches(rule, "You IDIOT")
    assert not matches(rule, "傻瓜") and not matches(rule, "idiots")


@pytest.mark.parametrize(
    "pattern", [r"(?=a)b", r"(?<!a)b", r"(a)\1", "a++", r"a\Z", "(", "[z-a]", "*", "(?x) a", "a{9999}", "\ud800", "\\"]
)
def test_what_the_engine_lacks_is_refused(pattern: str) -> None:
    """With words, not with a search that never ends."""
    with pytest.raises(PatternError, match=r"\w"):
        compiled(pattern)


@pytest.mark.parametrize("patterns", [[r"\Qa", r"\Qb\E"], ["a|b", "c"], ["(?i)a", "b"], [r"\Qa)", r"b\Q("]])
@pytest.mark.parametrize("text", ["a", "b", "c", "B", "A", "a)", "b(", "x", ""])
def test_searching_for_all_patterns_at_once_finds_no_less(patterns: list[str], text: str) -> None:
    """Flags and quotations of one stay its own."""
    one_by_one = any(compiled(pattern)(text.encode()) for pattern in patterns)
    together = any_of(patterns)
    assert together is None or (together(text.encode()) is not None) is one_by_one
    rules = Rules([Rule(str(place), "block", pattern=pattern) for place, pattern in enumerate(patterns)])
    assert (apply(rules, text).rule is not None) is one_by_one


@pytest.mark.parametrize("pattern", ["(x+x+)+y", "(a|a)*b", "(.*)*=.*", r"^(\w+\s?)*$"])
def test_no_text_makes_a_search_slow(pattern: str) -> None:
    """A megabyte of what takes Python's own engine longer than there is time."""
    rules = Rules([Rule("a", "block", pattern=pattern), Rule("b", "block", pattern="never")])
    begin = time.perf_counter()
    for text in ("x" * 1_000_000, "a" * 1_000_000, "x a " * 250_000 + "!"):
        apply(rules, text)
    assert time.perf_counter() - begin < 20  # Tens of milliseconds where nothing else runs.


WORDS = ["bad", "worse", "傻逼", "ok"]
LABELS: list[str] = ["positive", "negative", "uncertain"]
ACTIONS: list[Action] = ["allow", "review", "block"]


@st.composite
def rule_sets(draw: st.DrawFn) -> list[Rule]:
    bound = st.none() | st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
    rule = st.builds(
        Rule,
        name=st.just(""),
        action=st.sampled_from(ACTIONS),
        labels=st.lists(st.sampled_from(LABELS), max_size=2).map(tuple),
        score_min=bound,
        score_max=bound,
        groups=st.lists(st.sampled_from(["g1", "g2", "g*", "h"]), max_size=2).map(tuple),
        pattern=st.none() | st.sampled_from([*WORDS, "bad|ok", "(?i)BAD"]),
        field=st.none() | st.sampled_from(["role", "other"]),
        equals=st.lists(st.sampled_from(["x", 1, True]), max_size=2).map(tuple),
    )
    rules = draw(st.lists(rule, max_size=6))
    return [
        replace(rule, name=f"rule-{place}", equals=rule.equals if rule.field else ())
        for place, rule in enumerate(rules)
    ]


def holds(rule: Rule, text: str, group: str | None, values: dict[str, object], judged: Prediction) -> bool:
    """The definition, condition by condition, with another engine: all must hold."""
    conditions = [
        not rule.labels or judged.label in rule.labels,
        rule.score_min is None or judged.score >= rule.score_min,
        rule.score_max is None or judged.score <= rule.score_max,
        not rule.groups or (group is not None and any(fnmatchcase(group, g) for g in rule.groups)),
        rule.pattern is None or re.search(rule.pattern, text) is not None,
        rule.field is None or values.get(rule.field) is not None,
        not rule.equals
        or any(
            type(values.get(rule.field or "")) is type(e) and values.get(rule.field or "") == e for e in rule.equals
        ),
    ]
    return all(conditions)


@given(
    rule_sets(),
    st.sampled_from(ACTIONS),
    st.lists(st.sampled_from([*WORDS, "BAD", "fine"]), max_size=3).map(" ".join),
    st.none() | st.sampled_from(["g1", "g2", "g3", "h", "k"]),
    st.fixed_dictionaries({}, optional={"role": st.sampled_from(["x", "y", 1, True, None]), "other": st.just("x")}),
    st.sampled_from(LABELS),
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]),
)
def test_the_first_rule_all_of_whose_conditions_hold_wins(
    rules: list[Rule],
    default: Action,
    text: str,
    group: str | None,
    fields: dict[str, object],
    label: str,
    score: float,
) -> None:
    """Else the default; however the work is divided between reading and judging."""
    judged = prediction(label, score)
    first = next((rule for rule in rules if holds(rule, text, group, fields, judged)), None)
    expected = RuleResult(default, None) if first is None else RuleResult(first.action, first.name)
    assert apply(Rules(rules, default), text, group, judged, **fields) == expected
