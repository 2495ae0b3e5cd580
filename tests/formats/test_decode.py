"""Any record is a review, a tombstone or a dead letter with a reason."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.events import (
    REPLACED_VALUES,
    DeadLetter,
    Headers,
    Prediction,
    Reason,
    Replaced,
    Review,
    Skipped,
    Tombstone,
    Weight,
)
from streamer.formats.decode import Decoder, value_format
from streamer.formats.json import JSON, JsonFormat
from streamer.formats.text import TextFormat
from streamer.formats.value import ValueFormat
from tests.formats.samples import (
    BOM,
    CREATED,
    NOW,
    POSITIVE,
    STRUCTURED,
    TEXT,
    dead_letter,
    encoder,
    header_lists,
    labelled,
    record,
    review,
)

FORMATS = pytest.mark.parametrize("written", [JSON, TextFormat()], ids=["json", "text"])


def test_a_json_object_is_a_review() -> None:
    """With its text, id, time and group."""
    fields = {"text": "很好", "id": "r1", "event_time": "2026-11-21T08:15:30.250Z", "group": "p7", "more": [1]}
    decoded = review(fields)
    assert (decoded.text, decoded.id, decoded.event_time, decoded.group) == ("很好", "r1", NOW, "p7")
    assert decoded.record == record(json.dumps(fields).encode())


def test_fields_that_are_missing_have_defaults() -> None:
    """No id, no group, and the record's own timestamp."""
    decoded = review({"text": ""})
    assert (decoded.text, decoded.id, decoded.event_time, decoded.group) == ("", None, CREATED, None)


def test_a_record_without_a_timestamp_is_of_the_epoch() -> None:
    """Kafka writes -1, which is no time."""
    decoded = Decoder().decode(record(b'{"text":""}', timestamp=-1))
    assert isinstance(decoded, Review)
    assert decoded.event_time == 0


@FORMATS
def test_a_null_value_is_a_tombstone(written: ValueFormat) -> None:
    """In any format, whatever its headers."""
    deletion = record(None, STRUCTURED)
    assert Decoder(value_format=written).decode(deletion) == Tombstone(deletion)


@FORMATS
def test_a_value_above_the_limit_is_not_parsed(written: ValueFormat) -> None:
    """It is a dead letter; a value of just the limit is a review."""
    value = b'{"text":"aaaa"}'
    decoder = Decoder(value_format=written, max_bytes=len(value))
    assert isinstance(decoder.decode(record(value)), Review)
    letter = dead_letter(b"\xff" * len(value) + b"x", decoder=decoder)
    assert (letter.reason, letter.detail) == (Reason.TOO_LARGE, "16 bytes, at most 15")


def test_the_setting_chooses_the_format() -> None:
    """By the names that `input.format` has."""
    assert value_format("json", "body.text") == JsonFormat("body.text")
    assert isinstance(value_format("text"), TextFormat)


class Upper:
    """A format as somebody might add it: its values are shouted."""

    def decode(self, value: bytes) -> Any:
        return JSON.from_json({"text": value.decode().upper(), "id": len(value), "group": "loud"})

    def from_json(self, data: object) -> Any:
        raise AssertionError

    def to_json(self, value: bytes) -> Any:
        return value.decode().upper()


def test_a_format_needs_nothing_but_itself() -> None:
    """The decoder finds id and group in the fields that it gives, and the encoder writes the input as it says."""
    decoded = review(b"good", decoder=Decoder(value_format=Upper()))
    assert (decoded.text, decoded.id, decoded.group) == ("GOOD", "4", "loud")
    assert labelled(decoded, include_input=True, value_format=Upper())["input"] == "GOOD"


def test_id_time_and_group_may_be_at_dotted_paths() -> None:
    """Like the text."""
    decoder = Decoder(
        value_format=JsonFormat("body.text"),
        id_field="meta.id",
        event_time_field="meta.at",
        group_field="meta.product.code",
    )
    decoded = review({"body": {"text": "a"}, "meta": {"id": "i", "at": NOW, "product": {"code": "g"}}}, decoder=decoder)
    assert (decoded.text, decoded.id, decoded.event_time, decoded.group) == ("a", "i", NOW, "g")


def test_a_cloudevent_s_id_and_time_are_the_defaults_of_the_value_s() -> None:
    """In either format."""
    headers: Headers = (("ce_specversion", b"1.0"), ("ce_id", b"e1"), ("ce_time", b"2026-11-21T08:15:30.250Z"))
    decoded = review({"text": "a"}, headers)
    assert (decoded.id, decoded.event_time) == ("e1", NOW)
    own = review({"text": "a", "id": "r1", "event_time": NOW + 7}, headers)
    assert (own.id, own.event_time) == ("r1", NOW + 7)
    bare = review(b"a", headers, TEXT)
    assert (bare.id, bare.event_time) == ("e1", NOW)


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_odd_cloudevent_headers_do_no_harm(content: bytes | None) -> None:
    """Null, empty or not UTF-8, which is noted: two ids with one replacement character would be the same."""
    decoded = review({"text": "a"}, (("ce_id", content), ("ce_time", content), ("content-type", content)))
    assert (decoded.id, decoded.event_time) == (None, CREATED)
    noted = {Replaced("id", "not_utf8"), Replaced("event_time", "unreadable")} if content else set()
    assert set(decoded.replaced) == noted


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
    assert review({"specversion": "1.0"} | body, STRUCTURED, TEXT).text == "好"


def test_fields_are_kept_only_on_request() -> None:
    """They hold the whole input, which rules that ask for no field do not need."""
    assert review({"text": "a", "n": 1}).fields is None
    keeping = Decoder(keep_fields=True)
    assert review({"text": "a", "n": 1}, decoder=keeping).fields == {"text": "a", "n": 1}
    event = {"specversion": "1.0", "data": {"text": "a", "n": 2}}
    assert review(event, STRUCTURED, keeping).fields == {"text": "a", "n": 2}


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
    | st.just(BOM)
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


@FORMATS
@settings(max_examples=200, deadline=None)
@given(values, header_lists, st.integers(-1, 253_402_300_799_999), predictions)
def test_any_record_is_decoded_or_a_dead_letter(
    written: ValueFormat, value: bytes, headers: Headers, timestamp: int, prediction: Prediction
) -> None:
    """Decoding never raises, and a result is always JSON that is valid by the schema."""
    decoded = Decoder(value_format=written).decode(record(value, headers, timestamp))
    if isinstance(decoded, Review):
        decoded.text.encode()  # A lone surrogate would not get through.
        for include_input in (False, True):
            labelled(decoded, prediction, include_input, written)
    else:
        assert isinstance(decoded, DeadLetter)
        encoder().dead_letter(decoded, NOW)


@pytest.mark.parametrize(
    ("fields", "id_", "group"),
    [
        (
            {"id": 12345678901234567890123, "group": 18446744073709551617},
            "12345678901234567890123",
            "18446744073709551617",
        ),
        ({"id": -(10**30), "group": 2**53}, str(-(10**30)), str(2**53)),
        ({"id": 2**64 - 1, "group": 7.5}, str(2**64 - 1), "7.5"),
        ({"id": True, "group": "g"}, "true", "g"),
    ],
)
def test_numbers_of_any_length_stay_exact(fields: dict[str, Any], id_: str, group: str) -> None:
    """Digit by digit, so that groups beyond 64 bits do not merge; in both modes of CloudEvents too."""
    value = {"text": "a"} | fields
    for decoded in (
        review(value),
        review({"specversion": "1.0", "data": value}, STRUCTURED),
        review(
            {"specversion": "1.0", "data_base64": base64.b64encode(json.dumps(value).encode()).decode()}, STRUCTURED
        ),
        review({"m": value, "text": "a"}, decoder=Decoder(id_field="m.id", group_field="m.group")),
    ):
        assert (decoded.id, decoded.group) == (id_, group)


def test_a_number_is_written_as_it_came_where_it_may_have_lost_digits() -> None:
    """1e23 is not 99999999999999991611392."""
    assert review(b'{"text":"a","id":1e23,"group":123456789012345678901234.50}').id == "1e23"
    assert review(b'{"text":"a","group":123456789012345678901234.50}').group == "123456789012345678901234.50"
    assert review(b'{"text":"a","group":0.12345678901234567890}').group == "0.12345678901234567890"
    assert review(b'{"text":"a","group":4.50}').group == "4.5"


def test_numbers_within_deep_nesting_are_not_read_again() -> None:
    """Python's own JSON gives up at a depth that orjson reads; the id is the nearest float then."""
    value = b'{"text":"a","id":12345678901234567890123,"deep":' + b"[" * 1000 + b"]" * 1000 + b"}"
    assert review(value).text == "a"


@pytest.mark.parametrize(
    ("fields", "replaced"),
    [
        ({}, []),
        ({"event_time": None, "id": None, "group": None}, []),
        ({"event_time": NOW, "id": 7, "group": 1.5}, []),
        ({"event_time": "yesterday"}, [("event_time", "unreadable")]),
        ({"event_time": True, "id": [1]}, [("event_time", "unreadable"), ("id", "not_a_scalar")]),
        ({"group": {}}, [("group", "not_a_scalar")]),
        ({"event_time": NOW + 86_400_001}, [("event_time", "in_the_future")]),
        ({"event_time": NOW + 86_400_000}, []),
        ({"event_time": "9999-12-31T23:59:59Z"}, [("event_time", "in_the_future")]),
        ({"group": "g" * 256}, []),
        ({"group": "g" * 257}, [("group", "too_long")]),
        ({"text": None}, [("text", "null")]),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_noted(fields: dict[str, Any], replaced: list[tuple[str, str]]) -> None:
    """By field and cause; a field that is missing or null is the usual case."""
    decoded = Decoder().decode(record(json.dumps({"text": "a"} | fields).encode()), NOW)
    assert isinstance(decoded, Review)
    assert [tuple(one) for one in decoded.replaced] == replaced
    assert set(decoded.replaced) <= set(REPLACED_VALUES)
    if any(field == "event_time" for field, _ in replaced):
        assert decoded.event_time == CREATED


def test_an_event_time_that_is_none_gives_way_to_the_cloudevent_s() -> None:
    """And is noted; only without both is it the record's timestamp."""
    headers: Headers = (("ce_time", b"2026-11-21T08:15:30.250Z"),)
    decoded = review({"text": "a", "event_time": "soon"}, headers)
    assert (decoded.event_time, decoded.replaced) == (NOW, (Replaced("event_time", "unreadable"),))
    decoded = review({"text": "a"}, (("ce_time", b"soon"),))
    assert (decoded.event_time, decoded.replaced) == (CREATED, (Replaced("event_time", "unreadable"),))


def test_an_id_of_a_structured_event_is_read_as_that_of_a_value() -> None:
    """A number keeps its digits, and what is no id is noted, as is a time."""
    event = {"specversion": "1.0", "data": {"text": "a"}}
    assert review(event | {"id": 12345678901234567890123}, STRUCTURED).id == "12345678901234567890123"
    decoded = review(event | {"id": ["e1"], "time": {}}, STRUCTURED)
    assert (decoded.id, decoded.event_time) == (None, CREATED)
    assert decoded.replaced == (Replaced("event_time", "unreadable"), Replaced("id", "not_a_scalar"))


def test_a_time_in_seconds_counts_in_its_own_second() -> None:
    """Of the trends, too, where it was 1970."""
    outgoing = encoder().labelled(review({"text": "a", "event_time": 1_700_000_000, "group": 2**64 + 1}), POSITIVE, NOW)
    assert outgoing.sample is not None
    assert (outgoing.sample.second, outgoing.sample.group) == (1_700_000_000, "18446744073709551617")


@pytest.mark.parametrize("value", [{"review": {"text": None}}, {"review": None}])
def test_null_on_the_way_to_the_text_is_a_blank_review(value: Any) -> None:
    """As a database's join gives it."""
    decoded = review(value, decoder=Decoder(value_format=JsonFormat("review.text")))
    assert (decoded.text, decoded.replaced) == ("", (Replaced("text", "null"),))


@pytest.mark.parametrize("value", [{}, {"review": {}}, {"review": 5}])
def test_a_missing_text_is_what_the_setting_says(value: Any) -> None:
    """A dead letter, a blank review, or nothing at all."""
    came = record(json.dumps(value).encode())
    letter, blank, skipped = (
        Decoder(value_format=value_format("json", "review.text", missing)).decode(came)
        for missing in ("dead_letter", "blank", "skip")
    )
    assert isinstance(letter, DeadLetter)
    assert letter.reason is Reason.TEXT_MISSING
    assert isinstance(blank, Review)
    assert (blank.text, blank.replaced) == ("", (Replaced("text", "missing"),))
    assert skipped == Skipped(came)


def test_the_wire_format_of_a_registry_is_named() -> None:
    """Where JSON was expected, with the id of the schema."""
    letter = dead_letter(b"\x00\x00\x00\x00\x07" + b'{"text":"a"}')
    assert letter.reason is Reason.NOT_JSON
    assert "wire format, schema id 7" in letter.detail
    assert "input.format" in letter.detail
