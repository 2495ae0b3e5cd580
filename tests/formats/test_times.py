"""Times are RFC 3339 or milliseconds since the epoch; anything else is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.formats.times import clamped, parse_time, rfc3339
from tests.formats.samples import CREATED, NOW, review

LAST = 253_402_300_799_999


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-21T08:15:30Z", 1_795_248_930_000),
        ("2026-11-21T08:15:30.250Z", NOW),
        ("2026-11-21T08:15:30.250999Z", NOW + 1),
        ("2026-11-21T16:15:30.25+08:00", NOW),
        ("2026-11-21T02:45:30.25-05:30", NOW),
        ("2026-11-21T08:15:30.250", NOW),  # Without an offset: UTC.
        ("2026-11-21t08:15:30.250z", NOW),  # RFC 3339, section 5.6, allows small letters.
        ("1970-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59Z", 253_402_300_799_000),
        (NOW, NOW),
        (float(NOW), NOW),
        (0, 0),
    ],
)
def test_a_time_is_rfc_3339_or_milliseconds(value: Any, expected: int) -> None:
    """With any offset."""
    assert parse_time(value) == expected
    assert review({"text": "", "event_time": value}).event_time == expected


@pytest.mark.parametrize(
    "value",
    [
        "", "yesterday", "2026-13-01T00:00:00Z", "2026-11-21T25:00:00Z", "2026-11-21T08:15:60Z", "08:15:30Z",
        "2026-11-21T08:15:30+25:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
        str(NOW), -1, 1e300, LAST + 1, True, None, [], {},
    ],
)  # fmt: skip
def test_anything_else_is_no_time(value: Any) -> None:
    """The record's timestamp is the event time then; the review is labelled all the same."""
    assert parse_time(value) is None
    assert review({"text": "", "event_time": value}).event_time == CREATED


@settings(deadline=None)
@given(st.integers(0, LAST))
def test_a_time_is_read_as_it_was_written(milliseconds: int) -> None:
    """To the millisecond."""
    assert parse_time(rfc3339(milliseconds)) == milliseconds


@pytest.mark.parametrize(("milliseconds", "expected"), [(-1, 0), (0, 0), (NOW, NOW), (2**63 - 1, LAST)])
def test_a_timestamp_beyond_the_calendar_is_clamped_to_it(milliseconds: int, expected: int) -> None:
    """Kafka keeps any 64-bit number, and producers mix up their units."""
    assert clamped(milliseconds) == expected
    rfc3339(expected)
