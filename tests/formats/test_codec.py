"""What comes in is understood or refused with a reason; what goes out is what the schema says."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streamer.events import (
    DeadLetter,
    Headers,
    Outcome,
    Outgoing,
    Prediction,
    Reason,
    Record,
    Review,
    Tombstone,
    Weight,
)
from streamer.formats.codec import DeadLetterLimit, Decoder, Encoder, original, rfc3339
from streamer.formats.schema import LabelledReview, json_schema
from streamer.moderation.rules import Rule, Rules

CREATED = 1_700_000_000_123
NOW = 1_795_248_930_250
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
POSITIVE = Prediction("positive", 0.9, 0.9, 3, False, (Weight("好", 1.25),))
BOM = b"\xef\xbb\xbf"

schema = Draft202012Validator(json_schema())


def record(value: bytes | None, headers: Headers = (), timestamp: int = CREATED, key: bytes | None = b"k") -> Record:
    return Record("reviews", 2, 41, timestamp, key, value, headers)


def review(value: Any, headers: Headers = (), decoder: Decoder | None = None) -> Review:
    """Of bytes, or of what becomes JSON."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    decoded = (decoder or Decoder()).decode(record(content, headers))
    assert isinstance(decoded, Review), decoded
    return decoded


def refusal(value: bytes, headers: Headers = (), decoder: Decoder | None = None) -> DeadLetter:
    decoded = (decoder or Decoder()).decode(record(value, headers))
    assert isinstance(decoded, DeadLetter), decoded
    return decoded


def encoder(include_input: bool = False, input_format: Literal["json", "text"] = "json") -> Encoder:
    return Encoder("reviews.labelled", "reviews.dlq", "group", "bilstm", "1.0.0", include_input, input_format)


def labelled(
    of: Review,
    prediction: Prediction = POSITIVE,
    include_input: bool = False,
    input_format: Literal["json", "text"] = "json",
) -> dict[str, Any]:
    """The output event, which must be JSON and as the schema says."""
    value = encoder(include_input, input_format).labelled(of, prediction, NOW).message.value
    assert value is not None
    event: dict[str, Any] = json.loads(value)
    schema.validate(event)
    return event


# Input


def test_a_json_object_is_a_review() -> None:
    """With its text, id, time and group."""
    fields = {"text": "很好", "id": "r1", "event_time": "2026-11-21T08:15:30.250Z", "group": "p7", "more": [1]}
    decoded = review(fields)
    assert (decoded.text, decoded.id, decoded.event_time, decoded.group) == ("很好", "r1", NOW, "p7")
    assert decoded.record == record(json.dumps(fields).encode())


def test_what_is_not_there_has_stand_ins() -> None:
    """No id, no group, and the record's own timestamp."""
    decoded = review({"text": ""})
    assert (decoded.text, decoded.id, decoded.event_time, decoded.group) == ("", None, CREATED, None)


def test_a_record_without_a_timestamp_is_of_the_epoch() -> None:
    """Kafka's -1 is no time."""
    decoded = Decoder().decode(record(b'{"text":""}', timestamp=-1))
    assert isinstance(decoded, Review)
    assert decoded.event_time == 0


def test_a_null_value_is_a_tombstone() -> None:
    """In either format, whatever its headers."""
    for format in ("json", "text"):
        deletion = record(None, STRUCTURED)
        assert Decoder(format).decode(deletion) == Tombstone(deletion)


@pytest.mark.parametrize("value", [b"", b"  \n", "很好".encode(), b'{"text": 1}', BOM + b"", b"null"])
def test_bare_text_is_the_review(value: bytes) -> None:
    """In the text format, JSON or not; blank ones too."""
    assert review(value, decoder=Decoder("text")).text == value.removeprefix(BOM).decode()


@pytest.mark.parametrize("value", [b"\xff", b"\xc3", "很好".encode("gbk"), b'{"text":"\xff"}', b"\xff\xfe{\x00}\x00"])
@pytest.mark.parametrize("format", ["json", "text"])
def test_what_is_not_utf8_is_refused(value: bytes, format: Literal["json", "text"]) -> None:
    """In either format."""
    assert refusal(value, decoder=Decoder(format)).reason is Reason.NOT_UTF8


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", Reason.NOT_JSON),
        (b"great phone", Reason.NOT_JSON),
        (b'{"text":"a"', Reason.NOT_JSON),
        (b'{"text":"a"}{"text":"b"}', Reason.NOT_JSON),
        (b'{"text":NaN}', Reason.NOT_JSON),
        (b'{"text":"a","n":1e999}', Reason.NOT_JSON),
        (b'{"text":"a\nb"}', Reason.NOT_JSON),
        (b'{"text":"a",}', Reason.NOT_JSON),
        (b"[" * 100_000, Reason.NOT_JSON),
        (b'{"text":"a","deep":' + b"[" * 5000 + b"]" * 5000 + b"}", Reason.NOT_JSON),
        (b"null", Reason.NOT_AN_OBJECT),
        (b"[]", Reason.NOT_AN_OBJECT),
        (b'"text"', Reason.NOT_AN_OBJECT),
        (b"true", Reason.NOT_AN_OBJECT),
        (b"3.5", Reason.NOT_AN_OBJECT),
        (b"{}", Reason.TEXT_MISSING),
        (b'{"Text":"a"}', Reason.TEXT_MISSING),
        (b'{"text":null}', Reason.TEXT_NOT_A_STRING),
        (b'{"text":["a"]}', Reason.TEXT_NOT_A_STRING),
        (b'{"text":{"text":"a"}}', Reason.TEXT_NOT_A_STRING),
        (b'{"text":7}', Reason.TEXT_NOT_A_STRING),
        (b'{"text":false}', Reason.TEXT_NOT_A_STRING),
        (b'{"text":"\\ud800"}', Reason.LONE_SURROGATE),
        (b'{"text":"\\udc00"}', Reason.LONE_SURROGATE),
        (b'{"text":"\\ud800\\ud800"}', Reason.LONE_SURROGATE),
        (b'{"text":"a","id":"\\ud800x"}', Reason.LONE_SURROGATE),
        (b'{"text":"\xed\xa0\x80"}', Reason.LONE_SURROGATE),
    ],
)
def test_what_is_no_review_is_refused_with_the_reason(value: bytes, reason: Reason) -> None:
    """And with a detail that quotes nothing of it."""
    letter = refusal(value)
    assert (letter.reason, letter.record.value) == (reason, value)
    assert letter.detail
    assert "great" not in letter.detail


def test_encoded_surrogates_are_refused_in_text_too() -> None:
    """They are no characters, and could not be written again."""
    assert refusal(b"a\xed\xa0\x80", decoder=Decoder("text")).reason is Reason.LONE_SURROGATE


def test_every_pair_of_surrogates_is_a_character() -> None:
    """As JSON writes it."""
    assert review(b'{"text":"\\ud83d\\ude00"}').text == "😀"


@pytest.mark.parametrize("format", ["json", "text"])
def test_a_value_above_the_limit_is_refused_unread(format: Literal["json", "text"]) -> None:
    """At the limit it is still read."""
    value = b'{"text":"aaaa"}'
    assert isinstance(Decoder(format, max_bytes=len(value)).decode(record(value)), Review)
    letter = refusal(b"\xff" * len(value) + b"x", decoder=Decoder(format, max_bytes=len(value)))
    assert (letter.reason, letter.detail) == (Reason.TOO_LARGE, "16 bytes, at most 15")


def test_a_byte_order_mark_is_no_text() -> None:
    """Windows programs begin files with one."""
    assert review(BOM + b'{"text":"a"}').text == "a"
    assert refusal(BOM).reason is Reason.NOT_JSON


def test_of_duplicate_keys_the_last_counts() -> None:
    """As most readers of JSON have it."""
    assert review(b'{"text":"a","text":"b"}').text == "b"


def test_dotted_paths_lead_into_objects() -> None:
    """A field that has the dotted name itself is another one."""
    decoder = Decoder("json", "body.text", "meta.id", "meta.at", "meta.product.code")
    value = {"body": {"text": "a"}, "meta": {"id": "i", "at": 5, "product": {"code": "g"}}}
    decoded = review(value, decoder=decoder)
    assert (decoded.text, decoded.id, decoded.event_time, decoded.group) == ("a", "i", 5, "g")
    others: list[dict[str, Any]] = [{"body.text": "a"}, {"body": "text"}, {"body": {}}, {"body": ["text"]}]
    for other in others:
        assert refusal(json.dumps(other).encode(), decoder=decoder).reason is Reason.TEXT_MISSING


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        ("", ""),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
        (2**63, "9223372036854775808"),
        (None, None),
        ([1], None),
        ({}, None),
    ],
)
def test_ids_and_groups_are_strings(value: Any, expected: str | None) -> None:
    """Numbers and booleans as JSON writes them; anything else is none."""
    decoded = review({"text": "", "id": value, "group": value})
    assert (decoded.id, decoded.group) == (expected, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-21T08:15:30Z", 1_795_248_930_000),
        ("2026-11-21T08:15:30.250Z", NOW),
        ("2026-11-21T08:15:30.250999Z", NOW + 1),
        ("2026-11-21T16:15:30.25+08:00", NOW),
        ("2026-11-21T02:45:30.25-05:30", NOW),
        ("2026-11-21T08:15:30.250", NOW),  # Without an offset: UTC.
        ("1970-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59Z", 253_402_300_799_000),
        (NOW, NOW),
        (float(NOW), NOW),
        (0, 0),
    ],
)
def test_event_times_are_rfc_3339_or_milliseconds(value: Any, expected: int) -> None:
    """With any offset."""
    assert review({"text": "", "event_time": value}).event_time == expected


@pytest.mark.parametrize(
    "value",
    [
        "", "yesterday", "2026-13-01T00:00:00Z", "2026-11-21T25:00:00Z", "2026-11-21T08:15:60Z", "08:15:30Z",
        "2026-11-21T08:15:30+25:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
        str(NOW), -1, 1e300, 253_402_300_800_000, True, None, [], {},
    ],
)  # fmt: skip
def test_nonsense_is_no_event_time(value: Any) -> None:
    """The record's timestamp stands in; the review is labelled all the same."""
    assert review({"text": "", "event_time": value}).event_time == CREATED


# CloudEvents


def test_a_binary_cloudevent_s_id_and_time_stand_in() -> None:
    """For what the value does not say itself."""
    headers: Headers = (("ce_specversion", b"1.0"), ("ce_id", b"e1"), ("ce_time", b"2026-11-21T08:15:30.250Z"))
    decoded = review({"text": "a"}, headers)
    assert (decoded.id, decoded.event_time) == ("e1", NOW)
    said = review({"text": "a", "id": "r1", "event_time": 7}, headers)
    assert (said.id, said.event_time) == ("r1", 7)
    bare = review(b"a", headers, Decoder("text"))
    assert (bare.id, bare.event_time) == ("e1", NOW)


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_odd_cloudevent_headers_do_no_harm(content: bytes | None) -> None:
    """Null, empty or not UTF-8."""
    decoded = review({"text": "a"}, (("ce_id", content), ("ce_time", content), ("content-type", content)))
    assert decoded.id in (None, "\ufffd")
    assert decoded.event_time == CREATED


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"text": "好", "group": 3}},
        {"data_base64": base64.b64encode('{"text":"好","group":3}'.encode()).decode()},
    ],
)
def test_a_structured_cloudevent_is_unwrapped(body: dict[str, Any]) -> None:
    """Its data is the review, as JSON or in base64."""
    envelope = {"specversion": "1.0", "id": "e1", "time": "2026-11-21T08:15:30.250Z", "type": "t", "source": "s"}
    decoded = review(envelope | body, STRUCTURED)
    assert (decoded.text, decoded.id, decoded.event_time, decoded.group) == ("好", "e1", NOW, "3")


@pytest.mark.parametrize("body", [{"data": "好"}, {"data_base64": base64.b64encode("好".encode()).decode()}])
def test_a_structured_cloudevent_may_hold_bare_text(body: dict[str, Any]) -> None:
    """Where the format is text."""
    assert review({"specversion": "1.0"} | body, STRUCTURED, Decoder("text")).text == "好"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"no", Reason.NOT_JSON),
        (b"\xff", Reason.NOT_UTF8),
        (b"[]", Reason.BAD_CLOUDEVENT),
        (b'{"text":"a"}', Reason.BAD_CLOUDEVENT),
        (b'{"specversion":1,"data":{"text":"a"}}', Reason.BAD_CLOUDEVENT),
        (b'{"specversion":"1.0"}', Reason.BAD_CLOUDEVENT),
        (b'{"specversion":"1.0","data_base64":7}', Reason.BAD_CLOUDEVENT),
        (b'{"specversion":"1.0","data_base64":"*"}', Reason.BAD_CLOUDEVENT),
        ('{"specversion":"1.0","data_base64":"好"}'.encode(), Reason.BAD_CLOUDEVENT),
        (b'{"specversion":"1.0","data_base64":"bm8="}', Reason.NOT_JSON),
        (b'{"specversion":"1.0","data":null}', Reason.NOT_AN_OBJECT),
        (b'{"specversion":"1.0","data":"a"}', Reason.NOT_AN_OBJECT),
        (b'{"specversion":"1.0","data":{}}', Reason.TEXT_MISSING),
    ],
)
def test_a_broken_structured_cloudevent_is_refused(value: bytes, reason: Reason) -> None:
    """For the envelope's sake, or its content's."""
    assert refusal(value, STRUCTURED).reason is reason


def test_structured_data_that_is_no_text_is_refused_in_the_text_format() -> None:
    """An object has no text of its own."""
    value = b'{"specversion":"1.0","data":{"text":"a"}}'
    assert refusal(value, STRUCTURED, Decoder("text")).reason is Reason.TEXT_NOT_A_STRING


# Output


def test_a_result_has_every_field_of_the_schema() -> None:
    """In the schema's order; what moderation decides only where it has rules."""
    event = labelled(review({"text": "好", "id": 7, "group": "p"}), include_input=True)
    assert list(event) == [name for name in LabelledReview.__annotations__ if name not in ("action", "rule")]
    assert event == {
        "id": "7",
        "label": "positive",
        "score": 0.9,
        "confidence": 0.9,
        "tokens": 3,
        "truncated": False,
        "event_time": "2023-11-14T22:13:20.123Z",
        "labelled_at": "2026-11-21T08:15:30.250Z",
        "group": "p",
        "model": {"name": "bilstm", "version": "1.0.0"},
        "source": {"topic": "reviews", "partition": 2, "offset": 41},
        "evidence": [{"token": "好", "weight": 1.25}],
        "input": {"text": "好", "id": 7, "group": "p"},
    }


def test_evidence_and_input_are_left_out_when_not_asked_for() -> None:
    """Rather than null."""
    event = labelled(review({"text": ""}), Prediction("uncertain", 0.5, 0.5, 0, False))
    assert set(LabelledReview.__annotations__) - set(event) == {"action", "rule", "evidence", "input"}


HOLD = Rules(
    [
        Rule("trusted", "allow", field="user.role", equals=("trusted",)),
        Rule("words", "block", groups=("p*",), pattern="坏"),
        Rule("angry", "review", labels=("negative",)),
    ]
)


def moderated(value: Any, prediction: Prediction, include_input: bool = False) -> Outgoing:
    writing = replace(encoder(include_input), rules=HOLD, review_topic="held")
    return writing.labelled(review(value, (("mine", b"1"),), Decoder(rules=HOLD)), prediction, NOW)


NEGATIVE = Prediction("negative", 0.1, 0.9, 3, False)


@pytest.mark.parametrize(
    ("value", "prediction", "action", "rule"),
    [
        ({"text": "坏", "group": "p1"}, POSITIVE, "block", "words"),
        ({"text": "坏", "group": "q1"}, POSITIVE, "allow", None),
        ({"text": "坏"}, NEGATIVE, "review", "angry"),
        ({"text": "坏", "group": "p1", "user": {"role": "trusted"}}, NEGATIVE, "allow", "trusted"),
        ({"text": "坏", "group": "p1", "user": "trusted"}, NEGATIVE, "block", "words"),
    ],
)
def test_a_result_says_what_moderation_decided(
    value: Any, prediction: Prediction, action: str, rule: str | None
) -> None:
    """By the text, the group and the fields of its input, and by the verdict; and so does what is counted."""
    outgoing = moderated(value, prediction)
    event = orjson.loads(outgoing.message.value or b"")
    assert (event["action"], event.get("rule")) == (outgoing.action, outgoing.rule) == (action, rule)
    assert ("rule" in event) is (rule is not None)


def test_what_is_not_allowed_goes_to_the_review_topic_too() -> None:
    """After the result, with its key and headers, evidence and all, and the input, whatever the output carries."""
    for include_input in (False, True):
        outgoing = moderated({"text": "坏", "group": "p1"}, POSITIVE, include_input)
        result, held = outgoing.messages
        assert held == result._replace(topic="held", value=held.value)
        event, copy = orjson.loads(result.value or b""), orjson.loads(held.value or b"")
        assert copy == event | {"input": {"text": "坏", "group": "p1"}}
        assert copy["evidence"]
        assert ("input" in event) is include_input


def test_what_is_allowed_does_not() -> None:
    """Nor anything where there is no such topic."""
    assert moderated({"text": "好"}, POSITIVE).copies == ()
    writing = replace(encoder(), rules=HOLD)
    assert writing.labelled(review({"text": "坏"}, (), Decoder(rules=HOLD)), NEGATIVE, NOW).copies == ()


def test_rules_on_fields_look_into_structured_cloudevents() -> None:
    """Where the data is."""
    value = {"specversion": "1.0", "data": {"text": "坏", "user": {"role": "trusted"}}}
    headers = (("content-type", b"application/cloudevents+json"),)
    assert review(value, headers, Decoder(rules=HOLD)).rules == (0,)


def test_the_input_travels_byte_for_byte() -> None:
    """Its numbers and duplicate keys as they were written."""
    value = b'{"text":"a","n":1.10,"big":123456789012345678901234567890,"n":2}'
    message = encoder(include_input=True).labelled(review(value), POSITIVE, NOW).message
    assert message.value is not None
    assert message.value.endswith(b'"input":' + value + b"}")
    assert labelled(review(BOM + b'{"text":"a"}'), include_input=True)["input"] == {"text": "a"}


@pytest.mark.parametrize("text", ["hello", "5", "null", "{}"])
def test_plain_text_travels_as_a_string(text: str) -> None:
    """Also where it looks like JSON."""
    of = review(text.encode(), decoder=Decoder("text"))
    assert labelled(of, include_input=True, input_format="text")["input"] == text


@pytest.mark.parametrize("timestamp", [1_763_712_000_000_000, -1, 2**63 - 1])
def test_a_timestamp_that_no_calendar_has_is_labelled_all_the_same(timestamp: int) -> None:
    """Microseconds where Kafka means milliseconds, or none at all."""
    of = Decoder().decode(record(b'{"text":"a"}', timestamp=timestamp))
    assert isinstance(of, Review)
    assert labelled(of)["event_time"][:4] in ("1970", "9999")


@pytest.mark.parametrize("written", ["2026-01-02t03:04:05z", "2026-01-02T03:04:05.000+00:00"])
def test_a_time_may_be_written_in_small_letters(written: str) -> None:
    """As RFC 3339 section 5.6 allows."""
    assert labelled(review({"text": "a", "event_time": written}))["event_time"] == "2026-01-02T03:04:05.000Z"


def test_a_result_keeps_key_and_headers() -> None:
    """But for the input's own CloudEvents attributes, which give way to the result's."""
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


def test_a_tombstone_is_answered_with_one() -> None:
    """Same key, no value, and the headers of a result."""
    outgoing = encoder().tombstone(Tombstone(record(None, (("mine", b"1"),))), NOW)
    result = encoder().labelled(review({"text": "a"}, (("mine", b"1"),)), POSITIVE, NOW)
    assert outgoing.outcome is Outcome.TOMBSTONE
    assert (outgoing.message.key, outgoing.message.value) == (b"k", None)
    assert outgoing.message.headers == result.message.headers


header_lists = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "ce_id", "ce_time", "dlq", "traceparent"]) | st.text(max_size=5),
        st.none() | st.binary(max_size=8) | st.sampled_from([b"application/cloudevents+json", b"2026-11-21T08:15:30Z"]),
    ),
    max_size=4,
).map(tuple)


@settings(deadline=None)
@given(st.none() | st.binary(max_size=20), st.none() | st.binary(max_size=20), header_lists)
def test_a_dead_letter_is_the_record_untouched(key: bytes | None, value: bytes | None, headers: Headers) -> None:
    """Key, value and headers byte for byte; a replay gives just these back."""
    came = record(value, headers, key=key)
    outgoing = encoder().dead_letter(DeadLetter(came, Reason.NOT_JSON, "line 1 column 2"), NOW)
    message = outgoing.message
    assert (outgoing.outcome, outgoing.reason) == (Outcome.DEAD_LETTER, Reason.NOT_JSON)
    assert (message.topic, message.key, message.value, message.timestamp) == ("reviews.dlq", key, value, NOW)
    assert message.headers == (
        *headers,
        ("dlq.reason", b"not_json"),
        ("dlq.detail", b"line 1 column 2"),
        ("dlq.topic", b"reviews"),
        ("dlq.partition", b"2"),
        ("dlq.offset", b"41"),
        ("dlq.timestamp", b"1700000000123"),
        ("dlq.group", b"group"),
    )
    assert original(message.headers) == headers


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
reviewish = st.fixed_dictionaries(
    {"text": st.text(max_size=12)},
    optional={
        "id": json_values,
        "event_time": json_values | st.datetimes().map(str),
        "group": json_values,
        "specversion": st.just("1.0"),
        "data": json_values | st.fixed_dictionaries({"text": st.text(max_size=5)}),
        "data_base64": st.binary(max_size=8).map(lambda content: base64.b64encode(content).decode()),
    },
)
values = (
    st.binary(max_size=30)
    | st.text(max_size=10).map(str.encode)
    | (reviewish | json_values).map(lambda value: json.dumps(value).encode())
    | (reviewish | json_values).map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))
)
predictions = st.builds(
    lambda score, tokens, truncated, evidence: Prediction(
        "positive" if score > 0.6 else "negative", score, max(score, 1 - score), tokens, truncated, evidence
    ),
    st.floats(0, 1),
    st.integers(0, 4096),
    st.booleans(),
    st.lists(st.builds(Weight, st.text(max_size=4), st.floats(-50, 50))).map(tuple),
)


@settings(max_examples=400, deadline=None)
@given(values, header_lists, st.sampled_from(["json", "text"]), st.integers(-1, 253_402_300_799_999), predictions)
def test_any_record_is_understood_or_refused(
    value: bytes, headers: Headers, format: Literal["json", "text"], timestamp: int, prediction: Prediction
) -> None:
    """Decoding never raises, and a result is always JSON as the schema says."""
    decoded = Decoder(format).decode(record(value, headers, timestamp))
    if isinstance(decoded, Review):
        decoded.text.encode()  # A lone surrogate would not get through.
        for include_input in (False, True):
            labelled(decoded, prediction, include_input, format)
    else:
        assert isinstance(decoded, DeadLetter)
        encoder().dead_letter(decoded, NOW)


@settings(deadline=None)
@given(st.integers(0, 253_402_300_799_999))
def test_a_time_is_read_as_it_was_written(milliseconds: int) -> None:
    """There and back, to the millisecond."""
    written = rfc3339(milliseconds)
    assert review({"text": "", "event_time": written}).event_time == milliseconds
    assert orjson.loads(orjson.dumps(written)) == written


# The limit of dead letters


def observed(limit: DeadLetterLimit, outcomes: str) -> list[bool]:
    """Of outcomes as letters: x is invalid."""
    return [limit.observe(outcome == "x") for outcome in outcomes]


def test_a_share_above_the_ratio_is_too_many() -> None:
    """Of the last few records; just the ratio is not above it."""
    assert observed(DeadLetterLimit(0.5, 4), "x.x..xxx") == [False] * 7 + [True]


def test_no_share_is_judged_before_the_window_is_full() -> None:
    """The first record being invalid says nothing."""
    assert observed(DeadLetterLimit(0.5, 4), "xxxx") == [False, False, False, True]


def test_a_stream_that_recovers_is_well_again() -> None:
    """Old records leave the window."""
    assert observed(DeadLetterLimit(0.5, 2), "xx..x") == [False, True, False, False, False]


def test_a_ratio_of_one_never_stops() -> None:
    """Not even when all are invalid."""
    assert not any(observed(DeadLetterLimit(1.0, 2), "xxxxxx"))


@settings(deadline=None)
@given(st.floats(0.05, 0.99), st.integers(1, 8), st.lists(st.booleans(), max_size=40))
def test_the_limit_is_the_share_of_the_last_window(ratio: float, window: int, outcomes: Sequence[bool]) -> None:
    """Counted anew for each record."""
    limit, latest = DeadLetterLimit(ratio, window), deque[bool](maxlen=window)
    for outcome in outcomes:
        latest.append(outcome)
        assert limit.observe(outcome) == (len(latest) == window and sum(latest) > ratio * window)


@given(st.floats(0, 1), st.one_of(st.none(), st.text(max_size=300)), st.integers(0, 4_000_000_000_000))
def test_what_counts_is_what_is_published(score: float, group: str | None, event_time: int) -> None:
    """The tally of a result: its score to the last digit, the second of its event time, the beginning of its group."""
    record = Record("reviews", 0, 1, 0, None, b"{}")
    outgoing = Encoder("out", "dead", "group", "m", "1").labelled(
        Review(record, "a", None, event_time, group), Prediction("negative", score, 0.9, 1, False), 0
    )
    event = json.loads(outgoing.message.value or b"")
    assert outgoing.sample == (event_time // 1000, group and group[:256], "negative", round(event["score"] * 1_000_000))
