"""Windows of one size by event time: counts of labels in total and by group. Bounded in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import nlargest
from typing import Literal, NamedTuple

from streamer.trends.message import MILLION, Cell

SECOND, MINUTE, HOUR = 1, 60, 3600  # Sizes of windows, in seconds.

_USUAL_NUMBERS = 4  # In a row: three labels and the sum of scores. With wider rows, fewer are kept.

# The sum of scores in millionths, then the count for each label, in the order in which labels were first seen. A row
# may be shorter than there are labels: the rest is zero.
Row = Sequence[int]


class Window(NamedTuple):
    """Counts of the reviews in a window that starts at `start`, in seconds since the epoch.

    labels: the label of each of `counts`. score_sum: in millionths.
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
        """The share of reviews with this label; None if there are no reviews. Uncertain reviews count in the total."""
        reviews = self.reviews
        return self.count(label) / reviews if reviews else None

    @property
    def mean_score(self) -> float | None:
        """The mean score; None if there are no reviews."""
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
    """The labels of all counts, in the order in which they were first seen. It only grows."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.names = tuple(labels)

    def add(self, labels: Iterable[str]) -> None:
        """Append the new ones."""
        self.names += tuple(label for label in labels if label not in self.names)


class Part(NamedTuple):
    """The counts that a message adds to one window: in total and by group."""

    total: Row
    groups: Sequence[tuple[str, Row]]

    @property
    def reviews(self) -> int:
        """Negative if they are to be subtracted."""
        return sum(self.total[1:])


Parts = dict[int, Part]  # By the start of their windows.


def by_second(cells: Iterable[Cell], to_row: Callable[[Cell], Row]) -> Parts:
    """The cells of a message by second. `to_row` converts a cell to a row."""
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
    """The same, added up for larger windows, whose size is a multiple of the parts' own."""
    if len(parts) == 1:
        return {start - start % size: part for start, part in parts.items()}
    by_start: dict[int, list[Part]] = {}
    for start, part in parts.items():
        by_start.setdefault(start - start % size, []).append(part)
    return {start: found[0] if len(found) == 1 else _merged(found) for start, found in by_start.items()}


def _merged(parts: Sequence[Part]) -> Part:
    total, cells = _sum([part.total for part in parts]), sum(len(part.groups) for part in parts)
    if 2 * len({group for part in parts for group, _ in part.groups}) > cells:
        return Part(total, [cell for part in parts for cell in part.groups])  # Adding up first would not be faster.
    rows: dict[str, list[Row]] = {}
    for part in parts:
        for group, row in part.groups:
            found = rows.get(group)
            if found is None:
                rows[group] = [row]
            else:
                found.append(row)
    return Part(total, [(group, _sum(found)) for group, found in rows.items()])


def _sum(rows: Sequence[Row]) -> Row:
    """The sum of rows of the same length."""
    return rows[0] if len(rows) == 1 else tuple(map(sum, zip(*rows, strict=True)))


class Windows:
    """All windows of one size that are kept.

    Windows older than the retention are forgotten. Groups are counted separately in the newest windows only: in as many
    as `max_entries` counts (one for a group in a window) allow, and at most `max_groups` in a window, first come, first
    served. Totals count all of them.

    Whether a cell counts depends on bounds that only rise, and on lists that accept no more groups once they are full.
    So a message that was added can be subtracted again exactly at any time.
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
        self._oldest_groups = 0  # Start of the oldest window whose groups are counted separately.
        self.ungrouped = 0  # Reviews of groups beyond a window's limit.

    def add(self, parts: Parts) -> None:
        """Add the parts of a message. To subtract it again, add its parts with all numbers negated."""
        # The hot loop: thousands of groups a second, for each window size. So it calls no Python function.
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
        """Drop windows older than the retention, counted from the watermark, and groups beyond the limit of entries."""
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
        """The windows that start within [begin, end), without gaps, including those without reviews.

        Limited to the range that is kept; in total, or of a group.
        """
        if not self._totals:
            return []
        first = max(self._start(begin + self.size - 1), min(self._totals))
        last = min(self._start(end - 1), max(self._totals))
        return [self.window(start, group) for start in range(first, last + 1, self.size)]

    def window(self, start: int, group: str | None = None) -> Window:
        """The window with this start; all zero if there is none."""
        rows = self._groups.get(start, {}).get(group) if group is not None else self._totals.get(start)
        return self._window(start, rows or ())

    def starts(self) -> list[int]:
        """The windows that are kept, oldest first."""
        return sorted(self._totals)

    def by_group(self, start: int) -> Iterator[tuple[str, Window]]:
        """The groups of a window that have reviews."""
        for group, row in self._groups.get(start, {}).items():
            if any(row):
                yield group, self._window(start, row)

    def top(self, start: int, count: int, by: Literal["volume", "change"]) -> list[Change]:
        """The groups with the most reviews, or with the greatest change, up or down, from the window before."""
        now, before = self._groups.get(start, {}), self._groups.get(start - self.size, {})
        changes = [self._change(group, start) for group in (now if by == "volume" else now | before)]
        return nlargest(count, changes, key=_volume if by == "volume" else _size_of_change)

    def groups(self) -> set[str]:
        """All groups that are counted separately in any window."""
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
    return change.window.reviews, change.group  # Also by name, so that the order is always the same.


def _size_of_change(change: Change) -> tuple[float, str]:
    return abs(change.change), change.group
