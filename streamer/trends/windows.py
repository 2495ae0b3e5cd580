"""Windows of one size by event time: counts of labels in total and by group. Bounded in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import nlargest
from typing import Literal, NamedTuple

from streamer.trends.message import MILLION, Cell

SECOND, MINUTE, HOUR = 1, 60, 3600  # Sizes of windows, in seconds.

_USUAL_NUMBERS = 4  # Of a row: three labels and the sum of scores. Wider rows leave room for fewer of them.

# The sum of scores in millionths, then the count for each label, in the order in which labels were first seen. A row
# may be shorter than there are labels: the rest is zero.
Row = Sequence[int]


class Window(NamedTuple):
    """Counts of the reviews of `size` seconds from `start` on, in seconds since the epoch; the end is exclusive.

    labels: what each of `counts` is a count of. score_sum: in millionths.
    """

    start: int
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    score_sum: int = 0

    @property
    def reviews(self) -> int:
        """Reviews with any label."""
        return sum(self.counts)

    def count(self, label: str) -> int:
        """Reviews with this label."""
        return self.counts[self.labels.index(label)] if label in self.labels else 0

    def share(self, label: str) -> float | None:
        """The share of reviews with this label; None without any review. Uncertain reviews count in the total."""
        reviews = self.reviews
        return self.count(label) / reviews if reviews else None

    @property
    def mean_score(self) -> float | None:
        """The mean score; None without any review."""
        reviews = self.reviews
        return self.score_sum / reviews / MILLION if reviews else None


class Change(NamedTuple):
    """A group in a window and in the one before it.

    change: (n - m) / sqrt(n + m) for n reviews after m: how many standard deviations two Poisson counts with the same
    rate would be apart. Above zero if there are more reviews than before.
    """

    group: str
    window: Window
    before: Window
    change: float


class Labels:
    """The labels that counts have been seen for, in the order in which they were first seen. It only grows."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.names = tuple(labels)

    def add(self, labels: Iterable[str]) -> None:
        """Append those that are new."""
        self.names += tuple(label for label in labels if label not in self.names)


class Part(NamedTuple):
    """What a message adds to one window: in total, and by group."""

    total: Row
    groups: Sequence[tuple[str, Row]]

    @property
    def reviews(self) -> int:
        """Below zero if they are to be subtracted."""
        return sum(self.total[1:])


Parts = dict[int, Part]  # By the start of their windows.


def by_second(cells: Iterable[Cell], to_row: Callable[[Cell], Row]) -> Parts:
    """The cells of a message by second. `to_row` gives the numbers of a cell."""
    rows: dict[int, list[Row]] = {}
    groups: dict[int, list[tuple[str, Row]]] = {}
    for cell in cells:
        second, group = cell[0], cell[1]
        row = to_row(cell)
        found = rows.get(second)
        if found is None:
            found = rows[second] = []
            groups[second] = []
        found.append(row)
        if group is not None:
            groups[second].append((group, row))
    return {second: Part(_sum(found), groups[second]) for second, found in rows.items()}


def coarser(parts: Parts, size: int) -> Parts:
    """The same, added up for windows of a size that is a multiple of the one that they are for."""
    if len(parts) == 1:
        return {start - start % size: part for start, part in parts.items()}
    by_start: dict[int, list[Part]] = {}
    for start, part in parts.items():
        by_start.setdefault(start - start % size, []).append(part)
    return {start: found[0] if len(found) == 1 else _merged(found) for start, found in by_start.items()}


def _merged(parts: Sequence[Part]) -> Part:
    rows: dict[str, list[Row]] = {}
    for part in parts:
        for group, row in part.groups:
            found = rows.get(group)
            if found is None:
                rows[group] = [row]
            else:
                found.append(row)
    return Part(_sum([part.total for part in parts]), [(group, _sum(found)) for group, found in rows.items()])


def _sum(rows: Sequence[Row]) -> Row:
    """Of rows of one length."""
    return rows[0] if len(rows) == 1 else tuple(map(sum, zip(*rows, strict=True)))


class Windows:
    """All windows of one size that are kept.

    What is older than the retention is forgotten. Groups are kept apart in the newest windows only: as far back as
    `max_entries` counts (one for a group in a window) reach, and at most `max_groups` in a window, first come, first
    served. Totals count all of them.

    Whether a cell counts depends on bounds that only ever rise, and on lists that take no more groups once they are
    full. So what was added can be subtracted again at any time, and leaves nothing behind.
    """

    def __init__(self, size: int, retention: int, max_groups: int, max_entries: int, labels: Labels) -> None:
        """`size` and `retention` are in seconds; `max_entries` is at least `max_groups`. `labels` may be shared."""
        self.size = size
        self._retention = retention
        self._max_groups = max_groups
        self._max_entries = max_entries
        self._labels = labels
        self._totals: dict[int, list[int]] = {}
        self._groups: dict[int, dict[str, list[int]]] = {}
        self._entries = 0
        self._oldest = 0  # Start of the oldest window that is kept.
        self._oldest_groups = 0  # Likewise, of those whose groups are kept apart.
        self.ungrouped = 0  # Reviews of groups that had no room in their window.

    def add(self, parts: Parts) -> None:
        """Add the parts of a message. To subtract it again, add its parts with all numbers negated."""
        # The hot loop: thousands of groups a second, for each size of window. So nothing of ours is called in it.
        totals, most = self._totals, self._max_groups
        for start, (total, groups) in parts.items():
            row = totals.get(start)
            place = 0
            if row is not None:
                try:
                    for place, number in enumerate(total):
                        row[place] += number
                except IndexError:
                    row.extend(total[place:])
            elif start >= self._oldest:
                totals[start] = list(total)
            else:
                continue
            if start < self._oldest_groups or not groups:
                continue
            rows = self._groups.get(start)
            if rows is None:
                rows = self._groups[start] = {}
            before = len(rows)
            for group, numbers in groups:
                row = rows.get(group)
                if row is not None:
                    try:
                        for place, number in enumerate(numbers):
                            row[place] += number
                    except IndexError:
                        row.extend(numbers[place:])
                elif len(rows) < most:
                    rows[group] = list(numbers)
                else:
                    self.ungrouped += sum(numbers[1:])
            self._entries += len(rows) - before

    def forget(self, watermark: int) -> None:
        """Drop what is older than the retention, counted from the watermark, and groups for which there is no room."""
        oldest = self._start(watermark - self._retention)
        if oldest > self._oldest:
            self._oldest = oldest
            for start in [start for start in self._totals if start < oldest]:
                del self._totals[start]
            for start in [start for start in self._groups if start < oldest]:
                self._entries -= len(self._groups.pop(start))
        most = self._max_entries * _USUAL_NUMBERS // max(_USUAL_NUMBERS, len(self._labels.names) + 1)
        while self._entries > most and len(self._groups) > 1:
            start = min(self._groups)
            self._entries -= len(self._groups.pop(start))
            self._oldest_groups = start + self.size

    def series(self, begin: int, end: int, group: str | None = None) -> list[Window]:
        """The windows that start within [begin, end), without gaps: also those without reviews.

        From the oldest to the newest that is kept; in total, or of a group.
        """
        if not self._totals:
            return []
        first = max(self._start(begin + self.size - 1), min(self._totals))
        last = min(self._start(end - 1), max(self._totals))
        return [self.window(start, group) for start in range(first, last + 1, self.size)]

    def window(self, start: int, group: str | None = None) -> Window:
        """The window that starts there; all zero if there is none."""
        rows = self._groups.get(start, {}).get(group) if group is not None else self._totals.get(start)
        return self._window(start, rows or ())

    def starts(self) -> list[int]:
        """The windows that are kept, oldest first."""
        return sorted(self._totals)

    def by_group(self, start: int) -> Iterator[tuple[str, Window]]:
        """The groups of a window, those with reviews."""
        for group, row in self._groups.get(start, {}).items():
            if any(row):
                yield group, self._window(start, row)

    def top(self, start: int, count: int, by: Literal["volume", "change"]) -> list[Change]:
        """The groups with the most reviews, or with the greatest change, up or down, against the window before."""
        now, before = self._groups.get(start, {}), self._groups.get(start - self.size, {})
        changes = [self._change(group, start) for group in (now if by == "volume" else now | before)]
        return nlargest(count, changes, key=_volume if by == "volume" else _size_of_change)

    def groups(self) -> set[str]:
        """All groups that are kept apart in any window."""
        return {group for groups in self._groups.values() for group in groups}

    def _change(self, group: str, start: int) -> Change:
        window, before = self.window(start, group), self.window(start - self.size, group)
        n, m = window.reviews, before.reviews
        return Change(group, window, before, (n - m) / math.sqrt(n + m) if n + m else 0.0)

    def _window(self, start: int, row: Row) -> Window:
        names = self._labels.names
        missing = len(names) + 1 - len(row)
        if missing:
            row = [*row, *[0] * missing]
        return Window(start, names, tuple(row[1:]), row[0])

    def _start(self, second: int) -> int:
        return second - second % self.size


def _volume(change: Change) -> tuple[int, str]:
    return change.window.reviews, change.group  # By name too, so that the order is always the same.


def _size_of_change(change: Change) -> tuple[float, str]:
    return abs(change.change), change.group
