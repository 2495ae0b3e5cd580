"""Windows of one size by event time: counts of labels in total and by group. Bounded in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from heapq import nlargest
from typing import Literal, NamedTuple

from streamer.trends.message import MILLION, Cell

SECOND, MINUTE, HOUR = 1, 60, 3600  # Sizes of windows, in seconds.

_Counts = list[int]  # positive, negative, uncertain, sum of scores in millionths.


class Window(NamedTuple):
    """Counts of the reviews of `size` seconds from `start` on, in seconds since the epoch; the end is exclusive."""

    start: int
    positive: int = 0
    negative: int = 0
    uncertain: int = 0
    score_sum: int = 0  # In millionths.

    @property
    def reviews(self) -> int:
        """Reviews of all labels."""
        return self.positive + self.negative + self.uncertain

    @property
    def negative_share(self) -> float | None:
        """Of all reviews, those without a clear label included; None without any."""
        return self.negative / self.reviews if self.reviews else None

    @property
    def mean_score(self) -> float | None:
        """Mean P(positive); None without any review."""
        return self.score_sum / self.reviews / MILLION if self.reviews else None


class Change(NamedTuple):
    """A group in a window and in the one before it.

    change: (n - m) / sqrt(n + m) for n reviews after m: how many standard deviations two Poisson counts of the same
    rate would be apart. Positive where there are more.
    """

    group: str
    window: Window
    before: Window
    change: float


class Windows:
    """All windows of one size that are kept.

    What is older than the retention is forgotten. Groups are kept apart for the newest windows only, as far back as
    `max_entries` counts (a group in a window each) reach, and at most `max_groups` in a window, first come, first
    served; the totals have all.

    Whether a cell counts depends on bounds that only ever rise, and on lists that are closed for good once they are
    full: so what was added can be subtracted again at any time, and leaves nothing behind.
    """

    def __init__(self, size: int, retention: int, max_groups: int, max_entries: int) -> None:
        """`size` and `retention` are in seconds; `max_entries` is at least `max_groups`."""
        self.size = size
        self._retention = retention
        self._max_groups = max_groups
        self._max_entries = max_entries
        self._totals: dict[int, _Counts] = {}
        self._groups: dict[int, dict[str, _Counts]] = {}
        self._entries = 0
        self._oldest = 0  # Start of the oldest window that is kept.
        self._oldest_groups = 0  # Likewise, of those whose groups are kept apart.
        self.ungrouped = 0  # Reviews of groups that had no room in their window.

    def add(self, cells: Iterable[Cell], sign: Literal[1, -1]) -> None:
        """Add cells, or subtract what was added before."""
        size, totals, windows = self.size, self._totals, self._groups
        oldest, oldest_groups, most = self._oldest, self._oldest_groups, self._max_groups
        for second, group, positive, negative, uncertain, score in cells:
            start = second - second % size
            if start < oldest:
                continue
            counts = totals.get(start)
            if counts is None:
                counts = totals[start] = [0, 0, 0, 0]
            counts[0] += sign * positive
            counts[1] += sign * negative
            counts[2] += sign * uncertain
            counts[3] += sign * score
            if group is None or start < oldest_groups:
                continue
            groups = windows.get(start)
            if groups is None:
                groups = windows[start] = {}
            counts = groups.get(group)
            if counts is None:
                if len(groups) >= most:
                    self.ungrouped += sign * (positive + negative + uncertain)
                    continue
                counts = groups[group] = [0, 0, 0, 0]
                self._entries += 1
            counts[0] += sign * positive
            counts[1] += sign * negative
            counts[2] += sign * uncertain
            counts[3] += sign * score

    def forget(self, watermark: int) -> None:
        """Drop what is older than the retention, counted from the watermark, and groups for which there is no room."""
        oldest = self._start(watermark - self._retention)
        if oldest > self._oldest:
            self._oldest = oldest
            for start in [start for start in self._totals if start < oldest]:
                del self._totals[start]
            for start in [start for start in self._groups if start < oldest]:
                self._entries -= len(self._groups.pop(start))
        while self._entries > self._max_entries and len(self._groups) > 1:
            start = min(self._groups)
            self._entries -= len(self._groups.pop(start))
            self._oldest_groups = start + self.size

    def series(self, begin: int, end: int, group: str | None = None) -> list[Window]:
        """The windows that start within [begin, end), one after the other, also those without reviews in between.

        From the oldest to the newest that is kept; in total, or of a group.
        """
        if not self._totals:
            return []
        first = max(self._start(begin + self.size - 1), min(self._totals))
        last = min(self._start(end - 1), max(self._totals))
        return [self.window(start, group) for start in range(first, last + 1, self.size)]

    def window(self, start: int, group: str | None = None) -> Window:
        """The window that starts there; all zero where there is none."""
        if group is None:
            return Window(start, *self._totals.get(start, ()))
        return Window(start, *self._groups.get(start, {}).get(group, ()))

    def starts(self) -> list[int]:
        """The windows that are kept, oldest first."""
        return sorted(self._totals)

    def by_group(self, start: int) -> Iterator[tuple[str, Window]]:
        """The groups of a window, those with reviews."""
        for group, counts in self._groups.get(start, {}).items():
            if any(counts):
                yield group, Window(start, *counts)

    def top(self, start: int, count: int, by: Literal["volume", "change"]) -> list[Change]:
        """The groups with the most reviews, or with the greatest change, up or down, against the window before."""
        now, before = self._groups.get(start, {}), self._groups.get(start - self.size, {})
        changes = [self._change(group, start) for group in (now if by == "volume" else now | before)]
        return nlargest(count, changes, key=_volume if by == "volume" else _size_of_change)

    def groups(self) -> set[str]:
        """All groups that are kept apart somewhere."""
        return {group for groups in self._groups.values() for group in groups}

    def _change(self, group: str, start: int) -> Change:
        window, before = self.window(start, group), self.window(start - self.size, group)
        n, m = window.reviews, before.reviews
        return Change(group, window, before, (n - m) / math.sqrt(n + m) if n + m else 0.0)

    def _start(self, second: int) -> int:
        return second - second % self.size


def _volume(change: Change) -> tuple[int, str]:
    return change.window.reviews, change.group  # The name makes it the same every time.


def _size_of_change(change: Change) -> tuple[float, str]:
    return abs(change.change), change.group
