"""Reads times in the forms in which they are sent, writes RFC 3339; inside, they are milliseconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from streamer.formats.date_forms import folded, read_date

# The end of the year 9999 in milliseconds, the latest that datetime supports.
MAX_TIME = 253_402_300_799_999

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=500)  # Half a millisecond earlier, which rounds.
_from_iso = datetime.fromisoformat

# The first numbers that are in milliseconds, microseconds, nanoseconds, and the first that are no times. Each unit's
# range is from March 1973 to the year 5138; that of seconds begins in 1970.
_MILLISECONDS, _MICROSECONDS, _NANOSECONDS, _NUMBERS_END = 10**11, 10**14, 10**17, 10**20

_NUMBER = re.compile(r"\+?\d{1,20}(?:\.\d{0,12})?(?:e\+?\d{1,2})?", re.ASCII)
_COMPACT = re.compile(r"(?:19|20)\d{6}(?:\d{4}(?:\d{2}(?:\d{3})?)?)?", re.ASCII)
_DOTNET = re.compile(r"/date\((\d{1,15})(?:[+-]\d{4})?\)/", re.ASCII)  # Always milliseconds, in UTC.
_LONGEST = 100  # Characters of a time, remarks on its zone included; nothing longer is one.


def parse_time(value: object, zone: tzinfo = UTC) -> int | None:
    """Milliseconds since the epoch, 0 to the end of the year 9999; None for what is no time, as a boolean.

    A number, also as text, counts from the epoch. Its size says in what:

    | from | to below | unit |
    |---|---|---|
    | 0 | 1e11 | seconds |
    | 1e11 | 1e14 | milliseconds |
    | 1e14 | 1e17 | microseconds |
    | 1e17 | 1e20 | nanoseconds |

    Text may also be RFC 3339, ISO 8601, RFC 2822, what Twitter, Weibo, JavaScript and C write, and a date as in
    2023/11/14, 2023年11月14日, 20231114, 14-Nov-23 and Nov 14, 2023, with or without a time (`date_forms`). An object
    may be MongoDB's `{"$date": …}`.

    zone: of times that name none. Where its clocks are set forward, a time that is skipped is taken as if they had not
    been yet; where they are set back, a time that comes twice is the first.
    """
    if type(value) is str:
        if value[4:5] != "-":
            return _other_text(value, zone)
        try:  # The usual form. This is the fastest way to read it.
            moment = _from_iso(value)
            return _milliseconds(moment if moment.tzinfo is not None else moment.replace(tzinfo=zone))
        except (ValueError, OverflowError):
            return _other_text(value, zone)
    if type(value) is int or type(value) is float:  # Not a boolean.
        return _number(value)
    if isinstance(value, dict) and len(value) == 1:
        value = value.get("$date")
        if isinstance(value, dict):
            value = value.get("$numberLong")
        return None if isinstance(value, dict) else parse_time(value, zone)
    return None


def _milliseconds(moment: datetime) -> int | None:
    """Rounded to the nearest; faster than by `timestamp`."""
    since = moment - _EPOCH
    milliseconds = since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
    return milliseconds if 0 <= milliseconds <= MAX_TIME else None


def _number(value: float) -> int | None:
    if _MILLISECONDS <= value < _MICROSECONDS:
        return int(value)
    if 0 <= value < _MILLISECONDS:
        return round(value * 1000)
    if _MICROSECONDS <= value < _NUMBERS_END:
        return int(value) // (1000 if value < _NANOSECONDS else 1_000_000)
    return None  # NaN too.


def _other_text(text: str, zone: tzinfo) -> int | None:
    if len(text) > _LONGEST:
        return None
    text = folded(text)
    if _NUMBER.fullmatch(text):
        # One that looks like a date of our time is a date: as a number it would be of 1970, 1976 or 2611.
        dated = _dated(text, zone) if _COMPACT.fullmatch(text) else None
        return _number(int(text) if text.isdecimal() else float(text)) if dated is None else dated
    found = _DOTNET.fullmatch(text)
    return _dated(text, zone) if found is None else int(found[1])


def _dated(text: str, zone: tzinfo) -> int | None:
    try:
        return _milliseconds(read_date(text, zone))
    except (ValueError, OverflowError):
        return None


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
