"""Bare text: UTF-8 is a review, anything else a dead letter."""

from __future__ import annotations

import pytest

from streamer.events import Reason
from tests.formats.samples import BOM, STRUCTURED, TEXT, dead_letter, review


@pytest.mark.parametrize("value", [b"", b"  \n", "很好".encode(), b'{"text": 1}', BOM + b"", b"null"])
def test_the_whole_value_is_the_review(value: bytes) -> None:
    """Whether it is JSON or not, and even if it is blank."""
    assert review(value, decoder=TEXT).text == value.removeprefix(BOM).decode()


@pytest.mark.parametrize("value", [b"\xff", b"\xc3", "很好".encode("gbk"), b'{"text":"\xff"}', b"\xff\xfe{\x00}\x00"])
def test_bytes_that_are_not_utf8_are_a_dead_letter(value: bytes) -> None:
    """Whatever encoding they may be in."""
    assert dead_letter(value, decoder=TEXT).reason is Reason.NOT_UTF8


def test_encoded_surrogates_are_a_dead_letter() -> None:
    """They are no characters, and could not be written again."""
    letter = dead_letter(b"a\xed\xa0\x80", decoder=TEXT)
    assert (letter.reason, letter.detail) == (Reason.LONE_SURROGATE, "at byte 1")


def test_a_cloudevent_whose_data_is_no_string_is_a_dead_letter() -> None:
    """An object has no text of its own."""
    value = b'{"specversion":"1.0","data":{"text":"a"}}'
    assert dead_letter(value, STRUCTURED, TEXT).reason is Reason.TEXT_NOT_A_STRING
