"""Times are RFC 3339 or milliseconds since the epoch; anything else is none."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

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
        "", "yesterday", "2026-13-01T00:00:00Z", "2026-11-21T25:00:00Z", "2026-11-21T08:15:61Z", "08:15:30Z",
        "2026-11-21T08:15:30+25:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
        "-1", "1e400", "11/14/2023", "Tue Nov 14 22:13:20 CST 2023", "2023-02-30", "0000-01-01", "9" * 200,
        -1, 1e300, 10**20, True, None, [], {}, {"$date": None}, {"$date": {"$date": 1}},
    ],
)  # fmt: skip
def test_anything_else_is_no_time(value: Any) -> None:
    """The record's timestamp is the event time then; the review is labelled all the same."""
    assert parse_time(value) is None
    assert review({"text": "", "event_time": value}).event_time == CREATED


@pytest.mark.parametrize(
    "value",
    [
        *(1_700_000_000, 1_700_000_000_000, 1_700_000_000_000_000, 1_700_000_000_000_000_000, 1.7e9, 1700000000.0004),
        *("1700000000", " 1700000000 ", "+1700000000", "1700000000.0", "1.7e9", "1700000000000", "1700000000000000000"),
        *("2023-11-14T22:13:20Z", "2023-11-14t22:13:20.000000999z", "2023-11-14 22:13:20", "2023-11-14T22:13:20,0Z"),
        *("2023-11-15T06:13:20+0800", "2023-11-15T06:13:20+08", "2023-11-15 06:13:20 +0800", "2023-11-14 22:13:20 UTC"),
        *("2023/11/14 22:13:20", "2023.11.14 22:13:20", "2023年11月14日 22:13:20", "2023年11月14日22时13分20秒"),
        *("Tue, 14 Nov 2023 22:13:20 GMT", "14 Nov 2023 22:13:20 +0000", "Wed, 15 Nov 2023 06:13:20 +0800 (CST)"),
        *("Tue Nov 14 22:13:20 +0000 2023", "Wed Nov 15 06:13:20 +0800 2023", "Tue Nov 14 22:13:20 2023"),
        *("20231114221320", "Nov 14, 2023 10:13:20 PM", "2023-11-14T22:13:20-00:00"),
        *({"$date": 1_700_000_000_000}, {"$date": {"$numberLong": "1700000000000"}}, {"$date": "2023-11-14T22:13:20Z"}),
    ],
)
def test_a_time_may_be_written_in_many_ways(value: Any) -> None:
    """Numbers in four units by their magnitude, and the forms of programs, mail, microblogs and people."""
    assert parse_time(value) == 1_700_000_000_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2023-11-14", "2023-11-14T00:00:00.000Z"),
        ("2023/1/5", "2023-01-05T00:00:00.000Z"),
        ("20231114", "2023-11-14T00:00:00.000Z"),
        ("2023年1月5日", "2023-01-05T00:00:00.000Z"),
        ("2023-1-5 8:05", "2023-01-05T08:05:00.000Z"),
        ("10 17, 2015", "2015-10-17T00:00:00.000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("2023-11-14T24:00:00Z", "2023-11-15T00:00:00.000Z"),
        ("2023-11-14 22:13:20.5", "2023-11-14T22:13:20.500Z"),
    ],
)
def test_a_time_may_lack_parts(value: str, expected: str) -> None:
    """A date is its midnight; a leap second and the 24th hour are the next one's first."""
    found = parse_time(value)
    assert found is not None
    assert rfc3339(found) == expected


def test_a_number_that_is_none_is_no_time() -> None:
    """JSON has them not, but Python may."""
    assert [parse_time(value) for value in (float("nan"), float("inf"), float("-inf"))] == [None] * 3


@pytest.mark.parametrize("value", ["2023-11-15 06:13:20", "2023/11/15 06:13:20", "Wed Nov 15 06:13:20 2023"])
def test_a_time_without_zone_is_in_the_zone_that_is_set(value: str) -> None:
    """Whatever its form; one that names its zone is in that."""
    assert parse_time(value, ZoneInfo("Asia/Shanghai")) == 1_700_000_000_000
    assert parse_time("2023-11-14T22:13:20Z", ZoneInfo("Asia/Shanghai")) == 1_700_000_000_000


@given(st.text(st.sampled_from("0123456789-/.: TZ+,年月日時aNovUTC"), max_size=30) | st.text(max_size=20))
def test_any_text_is_a_time_or_none(text: str) -> None:
    """And nothing is raised."""
    found = parse_time(text)
    assert found is None or 0 <= found <= LAST


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
