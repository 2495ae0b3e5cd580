"""CloudEvents: both content modes are unwrapped, and what we publish has the attributes of one."""

from __future__ import annotations

import pytest

from streamer.events import Headers, Reason
from streamer.formats.cloudevents import cloudevent_headers, unwrap, without_cloudevent
from streamer.formats.value import InvalidRecord
from tests.formats.samples import STRUCTURED, dead_letter


def test_a_binary_event_has_its_attributes_in_headers() -> None:
    """Of which only id and time are of use; the value is its data."""
    headers: Headers = (("ce_id", b"e1"), ("ce_time", b"t"), ("ce_type", b"x"), ("mine", b"1"))
    assert unwrap(headers, b"value") == ({"id": "e1", "time": "t"}, b"value")
    assert unwrap((("ce_id", b"\xff"),), b"value") == ({"id": b"\xff"}, b"value")


def test_a_structured_event_has_its_attributes_in_the_value() -> None:
    """With the data parsed, or decoded from base64; attributes are as they come, null ones left out."""
    value = b'{"specversion":"1.0","id":null,"time":5,"data":{"a":1}}'
    assert unwrap(STRUCTURED, value) == ({"time": 5}, {"a": 1})
    assert unwrap(STRUCTURED, b'{"specversion":"1.0","data_base64":"bm8="}') == ({}, b"no")


@pytest.mark.parametrize("content_type", [b"application/json", b"text/cloudevents+json", b"", None])
def test_a_record_that_is_no_event_is_its_own_data(content_type: bytes | None) -> None:
    """Even if it looks like a structured event."""
    value = b'{"specversion":"1.0","data":1}'
    assert unwrap((("content-type", content_type),), value) == ({}, value)


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
def test_a_broken_structured_event_is_a_dead_letter(value: bytes, reason: Reason) -> None:
    """Because of the envelope, or of its content."""
    assert dead_letter(value, STRUCTURED).reason is reason


def test_a_broken_event_has_a_reason_in_words() -> None:
    """It says what a structured event must have."""
    with pytest.raises(InvalidRecord, match="neither data nor sound data_base64"):
        unwrap(STRUCTURED, b'{"specversion":"1.0"}')


def test_a_record_s_own_headers_go_on_without_its_attributes() -> None:
    """In their order, duplicates and nulls included."""
    own: Headers = (("mine", None), ("mine", b"\xff"))
    assert without_cloudevent((("ce_id", b"e"), *own, ("content-type", b"text/x"), ("ce_mine", b"x"))) == own
    assert without_cloudevent(()) == ()


def test_the_headers_of_an_event_are_those_of_binary_mode() -> None:
    """Version, id, source, type and time, and the type of the value."""
    assert cloudevent_headers(b"reviews/2/41", "reviews", b"some.type.v1", "2026-11-21T08:15:30.250Z") == (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"reviews/2/41"),
        ("ce_source", b"kafka://reviews"),
        ("ce_type", b"some.type.v1"),
        ("ce_time", b"2026-11-21T08:15:30.250Z"),
        ("content-type", b"application/json"),
    )
