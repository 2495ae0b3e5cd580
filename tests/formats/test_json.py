"""JSON values: an object with a text is a review, anything else a dead letter with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamer.events import Reason
from streamer.formats.decode import Decoder
from streamer.formats.json import MISSING, JsonFormat, field_at_path, scalar
from tests.formats.samples import BOM, dead_letter, review


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
        (b'{"text":7}', Reason.TEXT_NOT_A_STRING),
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
def test_a_value_that_is_no_review_is_a_dead_letter(value: bytes, reason: Reason) -> None:
    """With the reason, and with a detail that quotes nothing of the value."""
    letter = dead_letter(value)
    assert (letter.reason, letter.record.value) == (reason, value)
    assert letter.detail
    assert "great" not in letter.detail


@pytest.mark.parametrize("value", [b"\xff", b"\xc3", "很好".encode("gbk"), b'{"text":"\xff"}', b"\xff\xfe{\x00}\x00"])
def test_bytes_that_are_not_utf8_are_named_as_such(value: bytes) -> None:
    """It says more than that they are not JSON."""
    assert dead_letter(value).reason is Reason.NOT_UTF8


@pytest.mark.parametrize("inner", [{"text": "great"}, [{"text": "great"}]])
def test_json_within_a_string_is_named_as_such(inner: Any) -> None:
    """It was encoded twice upstream, which an array or a bare string was not."""
    letter = dead_letter(json.dumps(json.dumps(inner)).encode())
    assert letter.reason is Reason.NOT_AN_OBJECT
    assert "encoded twice" in letter.detail
    assert "great" not in letter.detail
    assert "twice" not in dead_letter(b'"great"').detail + dead_letter(b'["great"]').detail


def test_a_pair_of_surrogates_is_a_character() -> None:
    """JSON may write one so."""
    assert review(b'{"text":"\\ud83d\\ude00"}').text == "😀"


def test_a_byte_order_mark_is_ignored() -> None:
    """Windows programs begin files with one."""
    assert review(BOM + b'{"text":"a"}').text == "a"
    assert dead_letter(BOM).reason is Reason.NOT_JSON


def test_the_last_of_duplicate_keys_counts() -> None:
    """Most JSON parsers agree on that."""
    assert review(b'{"text":"a","text":"b"}').text == "b"


def test_the_text_may_be_at_a_dotted_path() -> None:
    """A field whose own name has a dot in it comes first."""
    decoder = Decoder(value_format=JsonFormat("body.text"))
    assert review({"body": {"text": "a"}}, decoder=decoder).text == "a"
    assert review({"body": {"text": "a"}, "body.text": "b"}, decoder=decoder).text == "b"
    others: list[dict[str, Any]] = [{"body": "text"}, {"body": {}}, {"body": ["text"]}]
    for other in others:
        letter = dead_letter(json.dumps(other).encode(), decoder=decoder)
        assert (letter.reason, letter.detail) == (Reason.TEXT_MISSING, "no field 'body.text'")


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a", {"b": None}), ("a.b", None), ("a.c", MISSING), ("a.b.c", MISSING), ("c", MISSING), ("d.e", 1)],
)
def test_a_path_leads_to_a_value_or_is_missing(path: str, expected: Any) -> None:
    """Null is a value."""
    assert field_at_path({"a": {"b": None}, "d": {}, "d.e": 1}, path) == expected


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
        (MISSING, None),
    ],
)
def test_ids_and_groups_are_scalars(value: Any, expected: str | None) -> None:
    """Numbers and booleans are written as in JSON; anything else is none."""
    assert scalar(value) == expected
    if value is not MISSING:
        decoded = review({"text": "", "id": value, "group": value})
        assert (decoded.id, decoded.group) == (expected, expected)
