"""The forms in which programs and people write dates and times, besides RFC 3339. All of them are unambiguous."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTH = rf"(?P<month>{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in _MONTHS)}|sept)\.?"
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+)?"
_TIME = (
    r"(?P<chinese_half>上午|下午)?\s*(?P<hour>\d{1,2})"
    r"(?:[时時点](?!\d)|[:时時点](?P<minute>\d{1,2})(?:[:分](?P<second>\d{1,2})(?:[.,](?P<fraction>\d*))?秒?)?分?)"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?"
)
# What follows an offset says the same in words: `(China Standard Time)`, `[Asia/Shanghai]`, `CST`.
_OFFSET = r"(?P<sign>[+-])(?P<offset_hours>\d{1,2})(?::?(?P<offset_minutes>[0-5]\d))?"
_REMARK = r"(?:\s*\([^()]*\)|\s*\[[^\[\]]*\]|\s+[a-z]{1,5})?"
_ZONE = rf"(?P<zone>(?:z|utc?|gmt)?\s*{_OFFSET}{_REMARK}|(?:z|utc?|gmt){_REMARK})"
# RFC 2822, section 4.3. Not CST, which is as often China's as America's.
_AMERICAN = {"est": -5, "edt": -4, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_MAIL_ZONE = rf"(?:{_ZONE}|(?P<american>{'|'.join(_AMERICAN)}))"

_FORMS = [
    re.compile(pattern, re.ASCII)
    for pattern in (
        # 2023/11/14 22:13:20, 2023-11-14 10:13 PM, and ISO 8601 with 24:00 or a leap second.
        r"(?P<year>\d{4})(?P<separator>[-/.])(?P<number>\d{1,2})(?P=separator)(?P<day>\d{1,2})"
        rf"(?:(?:[t_]|,?\s+){_TIME}(?:\s*{_ZONE})?)?",
        # 2023年11月14日 22:13:20, 2023年11月14日22时13分, 2023年11月14日下午10:13.
        rf"(?P<year>\d{{4}})\s*年\s*(?P<number>\d{{1,2}})\s*月\s*(?P<day>\d{{1,2}})\s*[日号](?:\s*{_TIME}(?:\s*{_ZONE})?)?",
        # RFC 2822 and what it replaced: Tue, 14 Nov 2023 22:13:20 GMT; 14-NOV-23.
        rf"{_WEEKDAY}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s-]+{_MONTH}[\s,-]+(?P<year>\d{{4}}|\d\d)"
        rf"(?:,?\s+{_TIME}(?:\s*{_MAIL_ZONE})?)?",
        # Nov 14, 2023 10:13 PM; JavaScript's Tue Nov 14 2023 22:13:20 GMT+0800 (China Standard Time).
        rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})"
        rf"(?:,?\s+(?:at\s+)?{_TIME}(?:\s*{_ZONE})?)?",
        # Twitter's and Weibo's Tue Nov 14 22:13:20 +0000 2023; C's ctime; Java's Date.
        rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d{{1,2}})\s+{_TIME}(?:\s+{_ZONE})?\s+(?P<year>\d{{4}})",
        # 10 17, 2015, in a data set of Amazon's reviews.
        r"(?P<number>\d\d)\s(?P<day>\d{1,2}),\s(?P<year>\d{4})",
        # 20231114, 202311142213, 20231114221320, 20231114221320123.
        r"(?P<year>\d{4})(?P<number>\d\d)(?P<day>\d\d)"
        r"(?:(?P<hour>\d\d)(?P<minute>\d\d)(?:(?P<second>\d\d)(?P<fraction>\d{3})?)?)?",
    )
]
_ISO = re.compile(r"\d{4}-?w\d\d|\d{8}t", re.ASCII)  # Week dates, and the basic format.
_LAST_SECOND = 86_399  # Of a day, after which leap seconds come.


def read_date(text: str, zone: tzinfo) -> datetime:
    """The time that a text says, in `zone` if it names none. Raises ValueError or OverflowError for what is no time.

    A date is its first moment. 24:00 and a leap second are the first moment after them.
    """
    text = folded(text)
    if _ISO.match(text):
        moment = datetime.fromisoformat(text.upper())
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    for form in _FORMS:
        if found := form.fullmatch(text):
            return _moment(found.groupdict(), zone)
    raise ValueError("not a time")


def folded(text: str) -> str:
    """Small letters, in the usual width, without blanks around them."""
    return unicodedata.normalize("NFKC", text).strip().lower().replace("\N{MINUS SIGN}", "-")


def _moment(parts: dict[str, str | None], zone: tzinfo) -> datetime:
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    half = parts.get("half") or {"上午": "a", "下午": "p"}.get(parts.get("chinese_half") or "")
    if half:
        if not 1 <= hour <= 12:
            raise ValueError("no such hour")
        hour = hour % 12 + 12 * (half == "p")
    next_day, leap = (hour, minute, second) == (24, 0, 0), second == 60
    year, day = int(parts["year"] or 0), int(parts["day"] or 0)
    if len(parts["year"] or "") == 2:
        year += 2000 if year < 50 else 1900  # RFC 2822, section 4.3.
    moment = datetime(year, _month(parts), day, 0 if next_day else hour, minute, 59 if leap else second)
    microsecond = int((parts.get("fraction") or "")[:6].ljust(6, "0"))
    moment = moment.replace(microsecond=microsecond, tzinfo=_zone(parts) or zone)
    if leap and int(moment.timestamp()) % 86_400 != _LAST_SECOND:
        raise ValueError("not when there are leap seconds")
    return moment + timedelta(days=next_day, seconds=leap)


def _month(parts: dict[str, str | None]) -> int:
    if name := parts.get("month"):
        return next(number for number, month in enumerate(_MONTHS, 1) if month.startswith(name[:3]))
    return int(parts["number"] or 0)


def _zone(parts: dict[str, str | None]) -> tzinfo | None:
    """The zone that a text names; None if it names none. Raises ValueError for an offset of a day or more."""
    if american := parts.get("american"):
        return timezone(timedelta(hours=_AMERICAN[american]))
    if not parts.get("zone"):
        return None
    offset = timedelta(hours=int(parts["offset_hours"] or 0), minutes=int(parts["offset_minutes"] or 0))
    return timezone(-offset if parts["sign"] == "-" else offset) if offset else UTC
