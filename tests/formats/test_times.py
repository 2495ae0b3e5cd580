"""Times are read in the forms that have one meaning; anything else is none."""

from __future__ import annotations

import time
from datetime import UTC, datetime
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
        "", "yesterday", "2026-13-01T00:00:00Z", "2026-11-21T25:00:00Z", "2026-11-21T08:15:60Z", "2026-11-21T08:15:61Z",
        "08:15:30Z", "2026-11-21T08:15:30+25:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
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


FORMS = {
    "RFC 3339": "{0:%Y-%m-%dT%H:%M:%S}Z",
    "small letters": "{0:%Y-%m-%dt%H:%M:%S}z",
    "slashes": "{0:%Y/%m/%d %H:%M:%S}",
    "dots": "{0:%Y.%m.%d %H:%M:%S}",
    "one digit": "{0.year:04}/{0.month}/{0.day} {0.hour}:{0.minute}:{0.second}",
    "full width": "{0.year:04}/{0.month}/{0.day} {0.hour}:{0.minute}:{0.second}",
    "basic": "{0:%Y%m%dT%H%M%S}Z",
    "week date": "{1[0]:04}-W{1[1]:02}-{1[2]}T{0:%H:%M:%S}",
    "Chinese": "{0:%Y年%m月%d日 %H:%M:%S}",
    "Chinese throughout": "{0:%Y年%m月%d日%H时%M分%S秒}",
    "Chinese halves of the day": "{0:%Y年%m月%d日} {3}{0:%I:%M:%S}",
    "RFC 2822": "{2}, {0.day} {4} {0.year:04} {0:%H:%M:%S} +0000",
    "HTTP": "{2}, {0:%d} {4} {0.year:04} {0:%H:%M:%S} GMT",
    "Twitter": "{2} {4} {0:%d} {0:%H:%M:%S} +0000 {0.year:04}",
    "ctime": "{2} {4} {0.day:2} {0:%H:%M:%S} {0.year:04}",
    "Java's Date": "{2} {4} {0:%d} {0:%H:%M:%S} UTC {0.year:04}",
    "JavaScript's Date": "{2} {4} {0:%d} {0.year:04} {0:%H:%M:%S} GMT+0000 (Coordinated Universal Time)",
    "Java's ZonedDateTime": "{0:%Y-%m-%dT%H:%M:%S}Z[UTC]",
    "Go": "{0:%Y-%m-%d %H:%M:%S}.000000000 +0000 UTC",
    "American": "{4} {0.day}, {0.year:04} {0:%I:%M:%S} {5}",
    "Ruby": "{0:%Y-%m-%d %H:%M:%S} +0000",
    "BigQuery": "{0:%Y-%m-%d %H:%M:%S} UTC",
    "Postgres": "{0:%Y-%m-%d %H:%M:%S}+00",
    ".NET": "/Date({6}000)/",
    "seconds": "{6}",
    "milliseconds": "{6}000",
    "microseconds": "{6}000000",
    "nanoseconds": "{6}000000000",
    "a fraction": " +{6}.000 ",
}
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=40)
@given(moment=st.datetimes(datetime(2001, 9, 10), datetime(2100, 1, 1)))
def test_each_form_is_read_as_it_was_written(form: str, moment: datetime) -> None:
    """Any second since that which is 1e12 milliseconds; names are English whatever the locale."""
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    seconds = int(moment.timestamp())
    halves = ("下午", "PM") if moment.hour >= 12 else ("上午", "AM")
    text = FORMS[form].format(
        moment, moment.isocalendar(), DAYS[moment.weekday()], halves[0], MONTHS[moment.month - 1], halves[1], seconds
    )
    if form == "full width":
        text = "".join(chr(ord(sign) + 0xFEE0) if sign != " " else "\u3000" for sign in text)
    assert parse_time(text) == 1000 * seconds, text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1700000000.123", 1_700_000_000_123),
        (1700000000.9996, 1_700_000_001_000),
        (1_700_000_000_123_456_789, 1_700_000_000_123),
        ("1700000000123456789", 1_700_000_000_123),
        ("2023-11-14T22:13:20.1234567890123Z", 1_700_000_000_123),
        ("20231114221320123", 1_700_000_000_123),
        ("209912312460", 209_912_312_460),  # No date, so a number.
        ("２０２３／１１／１４　２２：１３：２０", 1_700_000_000_000),
        ("2023-11-14T14:13:20\u221208:00", 1_700_000_000_000),
        ("2023-11-15 06:13:20 GMT+8", 1_700_000_000_000),
        ("2023-11-15T06:13:20+08:00[Asia/Shanghai]", 1_700_000_000_000),
        ("Wed Nov 15 2023 06:13:20 GMT+0800 (中国标准时间)", 1_700_000_000_000),
        ("Tue, 14 Nov 2023 17:13:20 EST", 1_700_000_000_000),
        ("Tuesday, 14-Nov-23 22:13:20 GMT", 1_700_000_000_000),
        ("Tue, 14 Nov 2023 22:13:20 -0000", 1_700_000_000_000),
        ("November 14th, 2023 at 10:13 PM", 1_699_999_980_000),
        ("2023年11月14日 22时", 1_699_999_200_000),
        ("2017-01-01T07:59:60+08:00", 1_483_228_800_000),
        ("2016-12-31T23:59:60.5Z", 1_483_228_800_500),
        (10**11 - 1, 99_999_999_999_000),
        (10**11, 10**11),
        (10**14, 10**11),
        (10**17, 10**11),
        (-0.0, 0),
    ],
)
def test_a_time_has_its_right_value(value: Any, expected: int) -> None:
    """At the bounds of the units of numbers, in any width and zone, and with a leap second where there may be one."""
    assert parse_time(value, ZoneInfo("UTC")) == expected


@pytest.mark.parametrize(
    "value",
    [
        *("Tue, 14 Nov 2023 22:13:20 CST", "Tue, 14 Nov 2023 22:13:20 IST", "2023-11-14 22:13:20 EST"),
        *("14.11.2023", "11/14/2023 22:13", "14/11/2023", "2023/11-14", "2023-318", "2023-11", "11-14 22:13"),
        *("5分钟前", "今天 22:13", "昨天", "P1D", "1,700,000,000", "1_700_000_000", "0x6553f100", "1700000000s", "NaN"),
        *(
            "2023-11-14 13:13 PM",
            "2023-11-14 0:13 AM",
            "2023-11-14T24:01:00",
            "2023-02-29",
            "Feb 30, 2023",
            "Foo 3, 2023",
        ),
        *([2023, 11, 14], {"seconds": 1_700_000_000}, {"$date": True}, {"$date": 1, "x": 2}, "true", False),
    ],
)
def test_what_may_mean_several_times_is_none(value: Any) -> None:
    """A zone or an order of day and month that differs by country, what depends on today, and what is no time."""
    assert parse_time(value, ZoneInfo("Asia/Shanghai")) is None


def test_a_zone_by_a_number_counts_before_the_one_that_is_set() -> None:
    """Also +0000 and -0000, which name UTC."""
    for zone in ("+0000", "-0000", "GMT", "UT", "Z"):
        assert parse_time(f"Tue, 14 Nov 2023 22:13:20 {zone}", ZoneInfo("Asia/Shanghai")) == 1_700_000_000_000


@pytest.mark.parametrize("form", ["{}", "{}.000", "{0}"])
@pytest.mark.parametrize(
    ("value", "utc"),
    [
        ("2026-03-29 01:59:59", "2026-03-29T00:59:59.000Z"),
        ("2026-03-29 02:30:00", "2026-03-29T01:30:00.000Z"),  # Skipped: 02:30 before the change is 03:30 after it.
        ("2026-03-29 03:30:00", "2026-03-29T01:30:00.000Z"),
        ("2026-10-25 02:30:00", "2026-10-25T00:30:00.000Z"),  # Comes twice.
        ("2026-10-25 03:00:00", "2026-10-25T02:00:00.000Z"),
        ("2026/10/25 02:30:00", "2026-10-25T00:30:00.000Z"),
    ],
)
def test_hours_that_are_skipped_or_come_twice_have_one_meaning(form: str, value: str, utc: str) -> None:
    """When clocks are set forward and back; the same in each form."""
    found = parse_time(form.format(value), ZoneInfo("Europe/Berlin"))
    assert found is not None
    assert rfc3339(found) == utc


@pytest.mark.parametrize("sign", ["2", "9", " ", "-", ":", ".", "年", "(", "[", "a", "+", "\ufdfa"])
def test_a_long_text_is_refused_at_once(sign: str) -> None:
    """Nor does one take long that is as long as a time may be, made to be tried in many ways."""
    begin = time.perf_counter()
    assert parse_time(sign * 1_000_000) is None
    for text in (sign * 99 + "x", f"2023-11-14 {sign * 88}x", f"Nov 14, 2023 {sign * 86}x"):
        assert parse_time(text) is None
    assert time.perf_counter() - begin < 0.5


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
