"""The moderation step: rules are applied to the review first, then to its prediction."""

from __future__ import annotations

from typing import Any

import pytest

from streamer.events import Prediction, Review, RuleResult
from streamer.formats.decode import Decoder
from streamer.moderation.rules import Rule, Rules
from streamer.moderation.step import Moderation
from tests.formats.samples import POSITIVE, STRUCTURED, review

NEGATIVE = Prediction("negative", 0.1, 0.9, 3, False)
MODERATION = Moderation(
    Rules(
        [
            Rule("trusted", "allow", field="user.role", equals=("trusted",)),
            Rule("words", "block", groups=("p*",), pattern="坏"),
            Rule("angry", "review", labels=("negative",)),
        ]
    )
)


def decoded(value: Any) -> Review:
    return review(value, decoder=Decoder(keep_fields=True))


@pytest.mark.parametrize(
    ("value", "prediction", "action", "rule"),
    [
        ({"text": "坏", "group": "p1"}, POSITIVE, "block", "words"),
        ({"text": "坏", "group": "q1"}, POSITIVE, "allow", None),
        ({"text": "坏"}, NEGATIVE, "review", "angry"),
        ({"text": "坏", "group": "p1", "user": {"role": "trusted"}}, NEGATIVE, "allow", "trusted"),
        ({"text": "坏", "group": "p1", "user": {"role": None}}, NEGATIVE, "block", "words"),
        ({"text": "坏", "group": "p1", "user": "trusted"}, NEGATIVE, "block", "words"),
    ],
)
def test_the_first_rule_that_matches_decides(value: Any, prediction: Prediction, action: str, rule: str | None) -> None:
    """By the text, the group and the fields of the input, and by the prediction."""
    assert MODERATION.apply(MODERATION.applicable(decoded(value)), prediction) == (action, rule)


def test_the_fields_are_dropped_once_they_were_compared() -> None:
    """They would keep the whole input in memory; nothing else of the review changes."""
    came = decoded({"text": "坏", "group": "p1", "user": {"role": "trusted"}})
    assert came.fields is not None
    assert MODERATION.applicable(came) == came._replace(rules=(0,), fields=None)


def test_rules_find_fields_in_structured_cloudevents() -> None:
    """In the data of the event."""
    value = {"specversion": "1.0", "data": {"text": "坏", "user": {"role": "trusted"}}}
    came = review(value, STRUCTURED, Decoder(keep_fields=True))
    assert MODERATION.applicable(came).rules == (0,)


def test_without_fields_only_rules_that_ask_for_one_never_match() -> None:
    """As for bare text, which has none."""
    came = review({"text": "坏", "group": "p1", "user": {"role": "trusted"}})
    assert came.fields is None
    assert MODERATION.apply(MODERATION.applicable(came), POSITIVE) == RuleResult("block", "words")
