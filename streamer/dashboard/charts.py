"""The data of the charts and of the table of groups, from the windows of the trends. Pure: callers pass the time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from streamer.dashboard.reviews import ReviewFilter, is_label
from streamer.trends import HOUR, MINUTE, SECOND, Trends, Window

RANGES = {"5m": 300, "15m": 900, "1h": 3600, "6h": 6 * 3600, "24h": 86_400, "7d": 7 * 86_400}
VIEWS = ("live", "groups", "queue", "system")
SORTS = ("volume", "share", "change", "name")

_MAX_POINTS = 400  # Of a chart.
_STEPS = (1, 5, 60, 300, 3600, 6 * 3600)  # Seconds; each a multiple of a window's size.
_SECONDS_KEPT = 900
_MAX_ROWS = 100  # Of the table.
_MAX_BARS = 30  # Of a sparkline.


class PageQuery(NamedTuple):
    """The data that a page requests. span: seconds up to now; begin and end, in epoch seconds, replace it."""

    view: str = "live"
    span: int = RANGES["15m"]
    begin: int | None = None
    end: int | None = None
    wanted: ReviewFilter = ReviewFilter()
    sort: str = "volume"
    rows: int = _MAX_ROWS

    def bounds(self, now: float) -> tuple[int, int]:
        """The times to show, in epoch seconds; the end is exclusive."""
        if self.begin is not None and self.end is not None:
            return self.begin, self.end
        return int(now) + 1 - self.span, int(now) + 1


class InvalidQuery(ValueError):
    """A parameter of the page's address is invalid; the message names it."""


def page_query(query: Mapping[str, str]) -> PageQuery:
    """Read the parameters of an address. Raises InvalidQuery."""
    view, sort = query.get("view", "live"), query.get("sort", "volume")
    if view not in VIEWS:
        raise InvalidQuery("view")
    if sort not in SORTS:
        raise InvalidQuery("sort")
    label = query.get("label") or None
    if label is not None and not is_label(label):
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
    """How many seconds a point of a chart covers. `age`: how many seconds ago the chart begins.

    Windows of a second are kept for 15 minutes only.
    """
    for found in _STEPS:
        if seconds <= found * _MAX_POINTS and (found >= MINUTE or age <= _SECONDS_KEPT + 5):
            return found
    return _STEPS[-1]


def _size(step: int) -> int:
    return SECOND if step < MINUTE else MINUTE if step < HOUR else HOUR


# Start, sum of scores in millionths, then the count for each of the page's labels.
Row = tuple[int, ...]


def rows(trends: Trends, query: PageQuery, now: float, labels: Sequence[str]) -> tuple[int, list[Row]]:
    """The step of the chart and its points, oldest first, from the first to the newest review.

    labels: the page's, in its order.
    """
    begin, end = query.bounds(now)
    width = step(end - begin, now - begin)
    begin -= begin % width
    windows: dict[int, list[Window]] = {}
    for window in trends.series(_size(width), begin, end, query.wanted.group):
        windows.setdefault(window.start - window.start % width, []).append(window)
    return width, [
        (start, sum(w.score_sum for w in found), *_in_order(labels, found[0].labels, _added(w.counts for w in found)))
        for start, found in windows.items()
    ]


class _Cell(NamedTuple):
    """A group's counts in one window."""

    place: int  # Of the window.
    counts: Sequence[int]
    watched: int


def table(trends: Trends, query: PageQuery, now: float, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The groups of the requested time: counts, change between its halves, and a sparkline.

    Uses minutes up to an hour, else hours, to limit the cost: thousands of groups are added up every other second.
    labels: the page's, in its order. share, change and sparkline are of the watched label.
    """
    begin, end = query.bounds(now)
    size = MINUTE if end - begin <= 3600 else HOUR
    starts = range(begin - begin % size, end, size)
    found: dict[str, list[_Cell]] = {}
    columns: Sequence[str] = ()
    for place, start in enumerate(starts):
        for group, window in trends.by_group(size, start):
            columns = window.labels
            found.setdefault(group, []).append(_Cell(place, window.counts, window.count(trends.watched)))
    wanted = query.wanted.text.casefold()
    groups = [_summary(group, cells, len(starts)) for group, cells in found.items() if wanted in group.casefold()]
    groups.sort(key=_sort_key(query.sort), reverse=query.sort != "name")
    del groups[query.rows :]
    for summary in groups:
        cells = found[summary["group"]]
        summary["counts"] = _in_order(labels, columns, _added(cell.counts for cell in cells))
        summary["spark"] = _spark(cells, len(starts))
        del summary["watched"]
    return groups


def _added(counts: Iterable[Sequence[int]]) -> list[int]:
    return list(map(sum, zip(*counts, strict=True)))


def _in_order(labels: Sequence[str], columns: Sequence[str], counts: Sequence[int]) -> list[int]:
    """Counts of `columns` in the order of `labels`; 0 for labels without a count."""
    by_label = dict(zip(columns, counts, strict=True))
    return [by_label.get(label, 0) for label in labels]


def _summary(group: str, cells: Sequence[_Cell], windows: int) -> dict[str, Any]:
    count, watched = sum(sum(cell.counts) for cell in cells), sum(cell.watched for cell in cells)
    # Both halves are whole windows; a single window has no half to compare with.
    later = [cell for cell in cells if cell.place >= windows / 2]
    later_count, later_watched = sum(sum(cell.counts) for cell in later), sum(cell.watched for cell in later)
    before, after = _share(watched - later_watched, count - later_count), _share(later_watched, later_count)
    change = None if before is None or after is None else after - before
    return {"group": group, "count": count, "watched": watched, "share": _share(watched, count), "change": change}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _sort_key(sort: str) -> Callable[[dict[str, Any]], Any]:
    if sort == "name":
        return lambda group: group["group"].casefold()
    if sort == "share":  # By the lower end of the interval: a group with one review, a bad one, is not the worst.
        return lambda group: (_wilson(group["watched"], group["count"]), group["group"])
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


def _spark(cells: Sequence[_Cell], windows: int) -> list[list[int]]:
    """Counts of all reviews and of those with the watched label, in equal parts of the time."""
    width = -(-windows // _MAX_BARS)
    bars = [[0, 0] for _ in range(-(-windows // width))]
    for cell in cells:
        bar = bars[cell.place // width]
        bar[0] += sum(cell.counts)
        bar[1] += cell.watched
    return bars
