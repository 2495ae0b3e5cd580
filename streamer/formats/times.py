"""Reads times as they are written in the wild, and writes RFC 3339; inside, times are milliseconds since the epoch."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_tz
from functools import lru_cache
from typing import Any

# The end of the year 9999 in milliseconds, the latest that datetime supports.
MAX_TIME = 253_402_300_799_999

# A number is in seconds below the first, then in milliseconds, microseconds, nanoseconds: 1e11 seconds are the
# year 5138, 1e11 milliseconds March 1973.
_SECONDS_BELOW, _MILLISECONDS_BELOW, _MICROSECONDS_BELOW = 10**11, 10**14, 10**17

_NUMBER = re.compile(r"\+?\d{1,20}(?:\.\d{0,12})?(?:[eE]\+?\d{1,2})?")
_COMPACT = re.compile(r"(?:19|20)\d{6}(?:\d{6})?")  # 20231114, 20231114221320: a date rather than a number.
_ZONE = r"(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)"
_LOOSE = re.compile(
    rf"(\d{{4}})[-/.年](\d{{1,2}})[-/.月](\d{{1,2}})日?"
    rf"(?:(?:T|\s+|(?<=日))(\d{{1,2}})[:时](\d{{1,2}})(?:[:分](\d{{1,2}})(?:[.,](\d{{1,12}}))?)?[分秒]?\s*({_ZONE})?)?"
)
# Twitter's and Weibo's `created_at`, C's ctime.
_CTIME = re.compile(rf"[A-Z]{{3}} +([A-Z]{{3}}) +(\d{{1,2}}) +(\d\d:\d\d:\d\d)(?: +({_ZONE}))? +(\d{{4}})")
_RFC2822 = re.compile(
    r"(?:[A-Z]{3,9}, *)?\d{1,2}[ -][A-Z]{3}[ -]\d{4} +\d{1,2}:\d{2}(?::\d{2})? *(?:[+-]\d{4}|[A-Z]{1,3})?"
    r"(?: *\([^()]*\))?"
)
_ENGLISH = (
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d, %Y %I:%M:%S %p",
    "%b %d, %Y %H:%M:%S",
    "%d %B %Y",
    "%d %b %Y",
    "%m %d, %Y",
)
_LONGEST = 64  # Characters of a time; nothing longer is one.


def parse_time(value: object, zone: tzinfo = UTC) -> int | None:
    """Milliseconds since the epoch, 0 to the end of the year 9999; None for what is no time.

    zone: of times that name none. Where clocks are set forward, a time that is skipped counts as before the change;
    where they are set back, a time that comes twice is the first.

    A number, also as text, is in seconds below 1e11, in milliseconds below 1e14, in microseconds below 1e17, else in
    nanoseconds. Text may be RFC 3339, ISO 8601 with or without zone, `2023/11/14 22:13:20`, `2023年11月14日 22:13`, RFC
    2822, Twitter's and Weibo's `Tue Nov 14 22:13:20 +0000 2023`, `Nov 14, 2023`. So is MongoDB's `{"$date": …}`.
    """
    if isinstance(value, dict) and len(value) == 1:
        value = value.get("$date")
        if isinstance(value, dict):
            value = value.get("$numberLong")
    if isinstance(value, str):
        try:
            milliseconds = _text(value, zone)
        except (ValueError, OverflowError):
            return None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        milliseconds = _number(value)
    else:
        return None
    return milliseconds if milliseconds is not None and 0 <= milliseconds <= MAX_TIME else None


def _number(value: float) -> int | None:
    if not 0 <= value < 10**20:  # NaN is not either.
        return None
    if value < _SECONDS_BELOW:
        return round(value * 1000)
    if value < _MILLISECONDS_BELOW:
        return int(value)
    return int(value) // (1000 if value < _MICROSECONDS_BELOW else 1_000_000)


def _text(text: str, zone: tzinfo) -> int | None:
    """Raises ValueError or OverflowError for what is no time."""
    if len(text) > _LONGEST:
        return None
    if text[4:5] == "-" and len(text) > 18:  # The usual form, which this finds in half the time.
        with contextlib.suppress(ValueError):
            moment = datetime.fromisoformat(text if text[-1] != "z" else text.upper())
            return round((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)
    text = text.strip()
    if text[:1].isdigit() or text[:1] == "+":
        if not _COMPACT.fullmatch(text) and _NUMBER.fullmatch(text):
            return _number(int(text) if text.isdecimal() else float(text))
        try:
            moment = datetime.fromisoformat(text.upper())
        except ValueError:
            moment = _loose(text.upper())
    else:
        moment = _named(text.upper())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return round(moment.timestamp() * 1000)


def _loose(text: str) -> datetime:
    """Dates with other signs between their parts, and the 60th second and 24th hour that datetime lacks."""
    if len(text) == 14 and text.isdecimal():
        return datetime.strptime(text, "%Y%m%d%H%M%S")
    found = _LOOSE.fullmatch(text)
    if found is None:
        return _named(text)
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    whole_day, leap = (hour, minute, second) == (24, 0, 0), second == 60
    moment = datetime(year, month, day, 0 if whole_day else hour, minute, 59 if leap else second)
    moment += timedelta(days=whole_day, seconds=leap, milliseconds=float(f"0.{found[7] or 0}") * 1000)
    return moment.replace(tzinfo=_offset(found[8]))


def _offset(zone: str | None) -> tzinfo | None:
    if not zone:
        return None
    if zone in ("Z", "UTC", "GMT"):
        return UTC
    return datetime.strptime(zone if len(zone) > 3 else f"{zone}00", "%z").tzinfo


def _named(text: str) -> datetime:
    """Dates with names of months, in English whatever the locale."""
    if found := _CTIME.fullmatch(text):
        month, day, time, zone, year = found.groups()
        parsed = parsedate_tz(f"{day} {month} {year} {time}")
        return _of_parsed(parsed).replace(tzinfo=_offset(zone))
    if _RFC2822.fullmatch(text):
        parsed = parsedate_tz(text)
        moment = _of_parsed(parsed)
        seconds = None if parsed is None else parsed[9]
        return moment if seconds is None else moment.replace(tzinfo=UTC) - timedelta(seconds=seconds)
    for form in _ENGLISH:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise ValueError("not a time")


def _of_parsed(parsed: Any) -> datetime:
    if parsed is None:
        raise ValueError("not a time")
    return datetime(*parsed[:6])


def clamped(milliseconds: int) -> int:
    """The nearest time that RFC 3339 can express. Kafka writes -1 if a record has no timestamp."""
    return min(max(milliseconds, 0), MAX_TIME)


def rfc3339(milliseconds: int) -> str:
    """Write milliseconds since the epoch as `2026-11-21T08:15:30.250Z`."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=4096)  # Times arrive in order: the same second repeats many times in a row.
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
