"""What the charts and the table of groups show, out of the windows of the trends. Pure: callers pass the time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from streamer.dashboard.reviews import LABELS, ReviewFilter
from streamer.trends import HOUR, MINUTE, SECOND, Trends

RANGES = {"5m": 300, "15m": 900, "1h": 3600, "6h": 6 * 3600, "24h": 86_400, "7d": 7 * 86_400}
VIEWS = ("live", "groups", "queue", "system")
SORTS = ("volume", "negative", "change", "name")

_POINTS = 400  # Of a chart, at most.
_STEPS = (1, 5, 60, 300, 3600, 6 * 3600)  # Seconds; each a multiple of a window's size.
_SECONDS_KEPT = 900
_TABLE = 100  # Rows.
_SPARK = 30  # Windows of a sparkline, at most.


class PageQuery(NamedTuple):
    """What a page asks for. span: seconds up to now; begin and end, in epoch seconds, are instead of it."""

    view: str = "live"
    span: int = RANGES["15m"]
    begin: int | None = None
    end: int | None = None
    wanted: ReviewFilter = ReviewFilter()
    sort: str = "volume"
    rows: int = _TABLE

    def bounds(self, now: float) -> tuple[int, int]:
        """The times to show, in epoch seconds; the end is exclusive."""
        if self.begin is not None and self.end is not None:
            return self.begin, self.end
        return int(now) + 1 - self.span, int(now) + 1


class InvalidQuery(ValueError):
    """A parameter of the page's address means nothing; the message names it."""


def page_query(query: Mapping[str, str]) -> PageQuery:
    """Read the parameters of an address. Raises BadAsk."""
    view, sort = query.get("view", "live"), query.get("sort", "volume")
    if view not in VIEWS:
        raise InvalidQuery("view")
    if sort not in SORTS:
        raise InvalidQuery("sort")
    label = query.get("label") or None
    if label is not None and label not in LABELS:
        raise InvalidQuery("label")
    span = query.get("range", "15m")
    begin, end = query.get("from"), query.get("to")
    try:
        first, last = (int(begin), int(end)) if begin and end else (None, None)
    except ValueError:
        raise InvalidQuery("from, to") from None
    if first is not None and last is not None and not (0 <= first < last < 1 << 40 and last - first <= 31 * 86_400):
        raise InvalidQuery("from, to")
    if span not in RANGES:
        raise InvalidQuery("range")
    wanted = ReviewFilter(label, query.get("group") or None, query.get("q", "")[:200])
    return PageQuery(view, RANGES[span], first, last, wanted, sort)


def step(seconds: int, age: float) -> int:
    """How many seconds a point of a chart stands for; `age`: how long ago the chart begins.

    Seconds are kept for 15 minutes only.
    """
    for found in _STEPS:
        if seconds <= found * _POINTS and (found >= MINUTE or age <= _SECONDS_KEPT + 5):
            return found
    return _STEPS[-1]


def _size(step: int) -> int:
    return SECOND if step < MINUTE else MINUTE if step < HOUR else HOUR


Row = tuple[int, int, int, int, int]  # Start, negative, uncertain, positive, sum of scores in millionths.


def rows(trends: Trends, query: PageQuery, now: float) -> tuple[int, list[Row]]:
    """The step of the chart and its points, oldest first; none before the first and after the newest review."""
    begin, end = query.bounds(now)
    width = step(end - begin, now - begin)
    begin -= begin % width
    merged: dict[int, Row] = {}
    for window in trends.series(_size(width), begin, end, query.wanted.group):
        start = window.start - window.start % width
        _, negative, uncertain, positive, score = merged.get(start, (start, 0, 0, 0, 0))
        merged[start] = (
            start,
            negative + window.negative,
            uncertain + window.uncertain,
            positive + window.positive,
            score + window.score_sum,
        )
    return width, list(merged.values())


def table(trends: Trends, query: PageQuery, now: float) -> list[dict[str, Any]]:
    """The groups of the time asked for: counts, change against the first half of it, and a sparkline.

    By minutes up to an hour, else by hours, whichever is cheap: thousands of groups are added up every other second.
    """
    begin, end = query.bounds(now)
    size = MINUTE if end - begin <= 3600 else HOUR
    starts = range(begin - begin % size, end, size)
    found: dict[str, list[list[int]]] = {}
    for place, start in enumerate(starts):
        for group, window in trends.by_group(size, start):
            found.setdefault(group, []).append([place, window.negative, window.uncertain, window.positive])
    wanted = query.wanted.text.casefold()
    groups = [_summed(group, windows, len(starts)) for group, windows in found.items() if wanted in group.casefold()]
    groups.sort(key=_order(query.sort), reverse=query.sort != "name")
    return [{**group, "spark": _spark(found[group["group"]], len(starts))} for group in groups[: query.rows]]


def _summed(group: str, windows: list[list[int]], positions: int) -> dict[str, Any]:
    negative, uncertain, positive = (sum(window[i] for window in windows) for i in (1, 2, 3))
    count = negative + uncertain + positive
    # Both halves by whole windows; one window has no half to compare with.
    later = [window for window in windows if window[0] >= positions / 2]
    volume = sum(sum(window[1:]) for window in later)
    was = _share(negative - sum(window[1] for window in later), count - volume)
    is_now = _share(sum(window[1] for window in later), volume)
    change = None if was is None or is_now is None else is_now - was
    return {
        "group": group,
        "negative": negative,
        "uncertain": uncertain,
        "positive": positive,
        "count": count,
        "share": _share(negative, count),
        "change": change,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _order(sort: str) -> Any:
    if sort == "name":
        return lambda group: group["group"].casefold()
    if sort == "negative":  # By the lower end of its interval: one bad review of one is not the worst group.
        return lambda group: (_wilson(group["negative"], group["count"]), group["group"])
    if sort == "change":
        return lambda group: (abs(group["change"] or 0.0) * math.sqrt(group["count"]), group["group"])
    return lambda group: (group["count"], group["group"])


def _wilson(part: int, whole: int, z: float = 1.96) -> float:
    """Lower end of Wilson's score interval for a share."""
    if not whole:
        return 0.0
    p = part / whole
    centre = p + z * z / (2 * whole)
    return (centre - z * math.sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole))) / (1 + z * z / whole)


def _spark(windows: list[list[int]], positions: int) -> list[list[int]]:
    """Counts and negatives in equal parts of the time."""
    width = -(-positions // _SPARK)
    parts = [[0, 0] for _ in range(-(-positions // width))]
    for place, negative, uncertain, positive in windows:
        part = parts[place // width]
        part[0] += negative + uncertain + positive
        part[1] += negative
    return parts
