"""Our own output events are read back as they were sent; anything else is not ours."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.events import Prediction, Record, RuleResult, Tombstone, Weight
from streamer.formats.result import Result, read_result, text_of
from streamer.formats.schema import LabelledReview
from tests.formats.samples import NOW, POSITIVE, encoder, record, review
from tests.formats.test_decode import json_values, predictions

EVENT: dict[str, Any] = {
    "id": "r1",
    "label": "negative",
    "score": 0.04,
    "group": "p7",
    "model": {"name": "m", "version": "1.0.0"},
    "source": {"topic": "reviews", "partition": 3, "offset": 41},
    "evidence": [{"token": "差", "weight": -1.5}],
}


def test_a_result_is_read_as_it_was_sent() -> None:
    """Every field of the schema, and no other."""
    came = review({"text": "好", "id": 7, "group": "p"})
    sent = encoder(include_input=True).labelled(came, POSITIVE, NOW, RuleResult("review", "words")).message
    assert read_result(sent.value) == Result(
        label="positive",
        score=0.9,
        source={"topic": "reviews", "partition": 2, "offset": 41},
        id="7",
        confidence=0.9,
        tokens=3,
        coverage=1.0,
        truncated=False,
        event_time="2023-11-14T22:13:20.123Z",
        labelled_at="2026-11-21T08:15:30.250Z",
        group="p",
        model={"name": "bilstm", "version": "1.0.0"},
        action="review",
        rule="words",
        evidence=(Weight("好", 1.25),),
        input={"text": "好", "id": 7, "group": "p"},
    )
    assert set(Result._fields) == set(LabelledReview.__annotations__)


@settings(deadline=None)
@given(predictions)
def test_any_prediction_is_read_back(prediction: Prediction) -> None:
    """To the digits that are published."""
    read = read_result(encoder().labelled(review({"text": ""}), prediction, NOW).message.value)
    assert read is not None
    assert (read.label, read.score, read.tokens) == (prediction.label, round(prediction.score, 6), prediction.tokens)
    assert read.evidence == prediction.evidence


def test_fields_of_other_versions_do_no_harm() -> None:
    """A field that is missing is None, one that is unknown is ignored."""
    read = read_result(orjson.dumps({name: EVENT[name] for name in ("label", "score", "source")} | {"new": [1]}))
    assert read is not None
    assert (read.id, read.group, read.model, read.action, read.evidence, read.input) == (None,) * 4 + ((), None)


def test_a_result_has_the_identity_of_its_record() -> None:
    """As its `ce_id` has it."""
    came = record(b'{"text":"a"}')
    message = encoder().labelled(review(came.value), POSITIVE, NOW).message
    read = read_result(message.value)
    assert read is not None
    assert read.identity == came.identity == (dict(message.headers)["ce_id"] or b"").decode() == "reviews/2/41"


def test_a_tombstone_is_no_result() -> None:
    """It has no value."""
    assert read_result(encoder().tombstone(Tombstone(record(None)), NOW).message.value) is None


CHANGES: list[dict[str, Any]] = [
    {"label": None}, {"label": 5}, {"score": "high"}, {"score": True}, {"source": None}, {"source": []},
    {"source": {"topic": "t"}}, {"source": {"topic": "t", "partition": 0, "offset": "1"}}, {"id": 7},
    {"group": ["g"]}, {"model": "m"}, {"model": {"name": "m"}}, {"tokens": 1.5}, {"truncated": 0},
    {"evidence": 7}, {"evidence": [7]}, {"evidence": [{"token": "t"}]}, {"rule": 1},
]  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [b"", b"no JSON", b"\xff", b"null", b"[]", b"7", b"{}", *(orjson.dumps(EVENT | change) for change in CHANGES)],
)
def test_anything_else_is_no_result(value: bytes) -> None:
    """Whoever writes to the topic cannot stop what reads it."""
    assert read_result(value) is None


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*EVENT, "input"], json_values)))
def test_no_event_is_too_odd_to_be_read(changes: dict[str, Any]) -> None:
    """Reading never raises, whatever a field holds, and neither does looking for the text."""
    read = read_result(json.dumps(EVENT | changes).encode())
    if read is not None:
        text_of(read.input)
        assert read.identity.count("/") == 2


@pytest.mark.parametrize(
    ("reviewed", "text"),
    [
        ({"text": "a"}, "a"),
        ("b", "b"),
        ({"specversion": "1.0", "data": {"text": "c"}}, "c"),
        ({"specversion": "1.0", "data": "d"}, "d"),
        ({"specversion": "1.0", "text": "e"}, "e"),
        ({"text": 5}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_the_text_is_found_in_the_input(reviewed: Any, text: str | None) -> None:
    """In JSON, bare text and structured CloudEvents; an event without input has none."""
    assert text_of(reviewed) == text


def test_the_text_may_be_at_a_dotted_path() -> None:
    """As for the decoder."""
    assert text_of({"id": "r1", "body": {"text": "傻"}}, "body.text") == "傻"


def test_the_identity_is_written_in_one_form() -> None:
    """Topic, partition and offset of the record."""
    assert Record("a", 1, 2, 0, None, None).identity == "a/1/2"
