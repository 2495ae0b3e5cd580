"""What is published is what the schema says, with the record's key and headers."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events import Headers, Outcome, Outgoing, Prediction, Record, Review, RuleResult, Tombstone
from streamer.formats.decode import Decoder
from streamer.formats.schema import LabelledReview
from streamer.formats.text import TextFormat
from tests.formats.samples import BOM, NOW, POSITIVE, TEXT, encoder, labelled, record, review, schema


def test_a_result_has_every_field_of_the_schema() -> None:
    """In the schema's order; the decision of moderation only where there are rules."""
    event = labelled(review({"text": "好", "id": 7, "group": "p"}), include_input=True)
    assert list(event) == [name for name in LabelledReview.__annotations__ if name not in ("action", "rule")]
    assert event == {
        "id": "7",
        "label": "positive",
        "score": 0.9,
        "confidence": 0.9,
        "tokens": 3,
        "truncated": False,
        "coverage": 1.0,
        "event_time": "2023-11-14T22:13:20.123Z",
        "labelled_at": "2026-11-21T08:15:30.250Z",
        "group": "p",
        "model": {"name": "bilstm", "version": "1.0.0"},
        "source": {"topic": "reviews", "partition": 2, "offset": 41},
        "evidence": [{"token": "好", "weight": 1.25}],
        "input": {"text": "好", "id": 7, "group": "p"},
    }


def test_evidence_and_input_are_left_out_where_there_are_none() -> None:
    """Rather than null."""
    event = labelled(review({"text": ""}), Prediction("uncertain", 0.5, 0.5, 0, False))
    assert set(LabelledReview.__annotations__) - set(event) == {"action", "rule", "evidence", "input"}


def moderated(result: RuleResult, include_input: bool = False, review_topic: str | None = "held") -> Outgoing:
    came = review({"text": "坏", "group": "p1"}, (("mine", b"1"),))
    return encoder(include_input, review_topic=review_topic).labelled(came, POSITIVE, NOW, result)


@pytest.mark.parametrize("result", [RuleResult("block", "words"), RuleResult("allow", None)])
def test_a_result_has_the_decision_of_moderation(result: RuleResult) -> None:
    """In the event and for what counts them; the rule only where one decided."""
    outgoing = moderated(result)
    event = orjson.loads(outgoing.message.value or b"")
    schema.validate(event)
    assert (event["action"], event.get("rule")) == (outgoing.action, outgoing.rule) == (result.action, result.rule)
    assert ("rule" in event) is (result.rule is not None)


@pytest.mark.parametrize("include_input", [False, True])
def test_a_result_that_is_not_allowed_goes_to_the_review_topic_too(include_input: bool) -> None:
    """After the result, with its key, headers and evidence, and always with the input."""
    outgoing = moderated(RuleResult("review", "angry"), include_input)
    result, held = outgoing.messages
    assert held == result._replace(topic="held", value=held.value)
    event, copy = orjson.loads(result.value or b""), orjson.loads(held.value or b"")
    assert copy == event | {"input": {"text": "坏", "group": "p1"}}
    assert copy["evidence"]
    assert ("input" in event) is include_input


def test_a_result_that_is_allowed_goes_to_the_output_only() -> None:
    """And so does any result where there is no review topic."""
    assert moderated(RuleResult("allow", None)).copies == ()
    assert moderated(RuleResult("block", "words"), review_topic=None).copies == ()


def test_the_input_is_written_byte_for_byte() -> None:
    """Its numbers and duplicate keys stay as they were."""
    value = b'{"text":"a","n":1.10,"big":123456789012345678901234567890,"n":2}'
    message = encoder(include_input=True).labelled(review(value), POSITIVE, NOW).message
    assert message.value is not None
    assert message.value.endswith(b'"input":' + value + b"}")
    assert labelled(review(BOM + b'{"text":"a"}'), include_input=True)["input"] == {"text": "a"}


@pytest.mark.parametrize("text", ["hello", "5", "null", "{}"])
def test_plain_text_is_written_as_a_string(text: str) -> None:
    """Even where it looks like JSON."""
    of = review(text.encode(), decoder=TEXT)
    assert labelled(of, include_input=True, value_format=TextFormat())["input"] == text


@pytest.mark.parametrize("timestamp", [1_763_712_000_000_000, -1, 2**63 - 1])
def test_a_record_with_an_impossible_timestamp_is_labelled_all_the_same(timestamp: int) -> None:
    """Microseconds where Kafka means milliseconds, or no timestamp at all."""
    of = Decoder().decode(record(b'{"text":"a"}', timestamp=timestamp))
    assert isinstance(of, Review)
    assert labelled(of)["event_time"][:4] in ("1970", "9999")


def test_a_result_keeps_key_and_headers() -> None:
    """Except for the input's own CloudEvents attributes, which the result's replace."""
    own: Headers = (("traceparent", b"00-1"), ("mine", None), ("mine", b"\xff"))
    came = review({"text": "a"}, (("ce_id", b"old"), *own, ("content-type", b"text/x"), ("ce_mine", b"x")))
    outgoing = encoder().labelled(came, POSITIVE, NOW)
    message = outgoing.message
    assert (outgoing.outcome, outgoing.label, outgoing.reason) == (Outcome.LABELLED, "positive", None)
    assert (message.topic, message.key, message.timestamp, message.source_partition) == (
        "reviews.labelled",
        b"k",
        NOW,
        2,
    )
    assert message.headers == (
        *own,
        ("ce_specversion", b"1.0"),
        ("ce_id", b"reviews/2/41"),
        ("ce_source", b"kafka://reviews"),
        ("ce_type", b"review.sentiment.labelled.v1"),
        ("ce_time", b"2026-11-21T08:15:30.250Z"),
        ("content-type", b"application/json"),
    )


def test_a_tombstone_gives_a_tombstone() -> None:
    """With the same key, no value, and the headers of a result."""
    outgoing = encoder().tombstone(Tombstone(record(None, (("mine", b"1"),))), NOW)
    result = encoder().labelled(review({"text": "a"}, (("mine", b"1"),)), POSITIVE, NOW)
    assert outgoing.outcome is Outcome.TOMBSTONE
    assert (outgoing.message.key, outgoing.message.value) == (b"k", None)
    assert outgoing.message.headers == result.message.headers


@given(st.floats(0, 1), st.one_of(st.none(), st.text(max_size=300)), st.integers(0, 4_000_000_000_000))
def test_trends_count_what_is_published(score: float, group: str | None, event_time: int) -> None:
    """The score to its last digit, the second of the event time, and the beginning of the group."""
    came = Review(Record("reviews", 0, 1, 0, None, b"{}"), "a", None, event_time, group)
    outgoing = encoder().labelled(came, Prediction("negative", score, 0.9, 1, False), 0)
    event = json.loads(outgoing.message.value or b"")
    assert outgoing.sample == (event_time // 1000, group and group[:256], "negative", round(event["score"] * 1_000_000))
