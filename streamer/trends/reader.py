"""Merges workers' messages into windows, so that each offset counts once, whatever was published twice.

The rule, for each source partition, in the order of the trends topic:

- A message of an older epoch than the newest seen is dropped: it comes from an owner who has been replaced.
- One of the same epoch counts if it begins where the last one ended or later; else it has been seen before.
- One of a newer epoch is a new owner's. He has looked at the topic and begins behind all that he saw there. What older
  owners published and he did not see, he counts again: such messages, those that end behind his beginning, are undone.

Any number of readers, started anywhere, agree. For undoing, the last 64 messages of a source are kept as they came; a
new owner who begins even before these cannot be followed, and counts from where the old ones ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from streamer.events import TopicPartition
from streamer.settings import TrendSettings
from streamer.trends.anomalies import Alert, AlertThresholds, AnomalyDetector
from streamer.trends.message import Cell, CountDelta, Epoch, decode
from streamer.trends.windows import HOUR, MINUTE, SECOND, Change, Window, Windows

SIZES = (SECOND, MINUTE, HOUR)
DAY = 86_400
RETENTION = {SECOND: 900, MINUTE: DAY, HOUR: 30 * DAY}  # Seconds, by size.

_KEPT = 64  # Messages of a source that can be undone.
_MAX_SOURCES = 100_000
_MAX_ENTRIES = 300_000  # A group in a window each, by size: some 200 bytes.


@dataclass(slots=True)
class Statistics:
    """What was merged and what was not; reviews, or messages where it says so.

    late: counted, but after their minute had been judged. early: not counted, their time lies too far in the future.
    ungrouped: counted in total only. messages: merged. repeated: messages seen before, or of a former owner.
    undone: messages of a former owner, counted anew by the next. invalid: messages that are none of ours.
    """

    reviews: int = 0
    late: int = 0
    early: int = 0
    messages: int = 0
    repeated: int = 0
    undone: int = 0
    invalid: int = 0


class _Merged(NamedTuple):
    """A message that can be undone: as it came, since cells take ten times the room."""

    begin: int
    end: int
    value: bytes
    latest: int  # What was later than this second was early.
    late: int


@dataclass(slots=True)
class _Source:
    epoch: Epoch
    covered: int  # All below is counted.
    settled: int = 0  # Below this nothing can be undone any more.
    merged: deque[_Merged] = field(default_factory=deque)


class Trends:
    """Counts by event time: windows of a second, a minute and an hour, in total and by group.

    All times are in seconds since the epoch. The watermark is the newest event time seen, `early` seconds ahead of the
    clock at most; what lies farther in the future is left out, so that one wrong clock closes no windows. Late reviews
    are counted in their windows as long as these are kept (15 minutes of seconds, a day of minutes, 30 days of hours).
    """

    def __init__(
        self,
        lateness: float = 10.0,
        early: float = 60.0,
        max_groups: int = 10_000,
        thresholds: AlertThresholds | None = None,
    ) -> None:
        """lateness: a minute is judged for alerts when the watermark is so far past its end.
        max_groups: most groups that are kept apart in a window.
        band: what counts as unusual.
        """
        self.statistics = Statistics()
        self.watermark: int | None = None
        self._lateness = lateness
        self._early = early
        self._sources: dict[TopicPartition, _Source] = {}
        entries = max(_MAX_ENTRIES, max_groups)
        self._windows = {size: Windows(size, RETENTION[size], max_groups, entries) for size in SIZES}
        self._detector = AnomalyDetector(thresholds or AlertThresholds(), max_groups)
        self._judged = 0  # Minutes that start before this are closed.

    @property
    def ungrouped(self) -> dict[int, int]:
        """By size, reviews of groups that had no room in their window: counted in total only."""
        return {size: windows.ungrouped for size, windows in self._windows.items()}

    def merge(self, value: bytes | None, now: float) -> bool:
        """Take in a message's value; False where it changes nothing: seen before, replaced, or none of ours.

        now: when it was published, or by the clock.
        """
        counted = decode(value)
        if value is None or counted is None:
            self.statistics.invalid += 1
            return False
        if (new := self._takes(counted)) is None:
            return False
        if new:
            self._undo(counted)
        source = self._sources[counted.source]
        source.covered = counted.end
        latest = int(now + self._early)
        late = self._count(counted.cells, latest, 1)
        source.merged.append(_Merged(counted.begin, counted.end, value, latest, late))
        if len(source.merged) > _KEPT:
            source.settled = source.merged.popleft().end
        self.statistics.messages += 1
        return True

    def series(self, size: int, begin: int, end: int, group: str | None = None) -> list[Window]:
        """The windows of a size that start within [begin, end), without gaps, as far as they are kept."""
        return self._windows[size].series(begin, end, group)

    def window(self, size: int, start: int, group: str | None = None) -> Window:
        """One window; all zero where there is none."""
        return self._windows[size].window(start, group)

    def by_group(self, size: int, start: int) -> Iterator[tuple[str, Window]]:
        """The groups of one window, those with reviews."""
        return self._windows[size].by_group(start)

    def top(self, size: int, start: int, count: int, by: Literal["volume", "change"] = "volume") -> list[Change]:
        """The groups of a window with the most reviews, or with the greatest change against the one before.

        To compare, take a window that is over: `latest`.
        """
        return self._windows[size].top(start, count, by)

    def latest(self, size: int) -> int | None:
        """Start of the newest window that is over by the watermark, without waiting for late reviews; None at first."""
        return None if self.watermark is None else self.watermark // size * size - size

    def closed(self, size: int) -> int:
        """Windows of a size that start before this are over by the lateness: what comes for them still is late."""
        return 0 if self.watermark is None else max(0, int(self.watermark - self._lateness)) // size * size

    def groups(self) -> list[str]:
        """All groups that are kept apart, sorted."""
        return sorted(set().union(*(windows.groups() for windows in self._windows.values())))

    def alerts(self) -> list[Alert]:
        """Judge the minutes that have closed since the last call, oldest first.

        To be called once what the topic already holds is merged: partitions are read at different speeds, and a minute
        is judged once.
        """
        closed = self.closed(MINUTE)
        if closed <= self._judged:
            return []
        minutes = self._windows[MINUTE]
        found: list[Alert] = []
        for start in minutes.starts():
            if self._judged <= start < closed:
                found += self._detector.observe(None, minutes.window(start))
                for group, window in minutes.by_group(start):
                    found += self._detector.observe(group, window)
        self._judged = closed
        return found

    def _takes(self, counted: CountDelta) -> bool | None:
        """True for a new owner's message, False for one more of the same owner, None for one that does not count."""
        source = self._sources.get(counted.source)
        if source is None:
            if len(self._sources) >= _MAX_SOURCES:
                self.statistics.invalid += 1
                return None
            self._sources[counted.source] = _Source(counted.epoch, counted.begin)
            return False
        new = counted.epoch > source.epoch and counted.begin >= source.settled
        source.epoch = max(source.epoch, counted.epoch)
        if new or (counted.epoch == source.epoch and counted.begin >= source.covered):
            return new
        self.statistics.repeated += 1
        return None

    def _undo(self, counted: CountDelta) -> None:
        """Take back what former owners counted and this one counts again."""
        source = self._sources[counted.source]
        kept: deque[_Merged] = deque()
        for merged in source.merged:
            if merged.end <= counted.begin:
                kept.append(merged)
                continue
            former = decode(merged.value)
            if former is not None:
                self._count(former.cells, merged.latest, -1)
                self.statistics.late -= merged.late
                self.statistics.undone += 1
        source.merged = kept

    def _count(self, cells: Sequence[Cell], latest: int, sign: Literal[1, -1]) -> int:
        """Add a message's cells, or subtract them again; returns how many of its reviews were late."""
        closed, newest, late, early, reviews = self.closed(MINUTE), self.watermark or 0, 0, 0, 0
        if any(second > latest for second, *_ in cells):
            early = sum(p + n + u for second, _, p, n, u, _ in cells if second > latest)
            cells = [cell for cell in cells if cell[0] <= latest]
        for windows in self._windows.values():
            windows.add(cells, sign)
        for second, _, positive, negative, uncertain, _ in cells:
            count = positive + negative + uncertain
            reviews += count
            newest = max(newest, second)
            if second < closed:
                late += count
        self.statistics.reviews += sign * reviews
        self.statistics.early += sign * early
        if sign > 0 and cells:
            self.watermark = newest
            self.statistics.late += late
            for windows in self._windows.values():
                windows.forget(newest)
        return late


def trends_of(settings: TrendSettings) -> Trends:
    """A reader with the lateness, limits and alert thresholds of the settings."""
    thresholds = AlertThresholds(
        min_reviews=settings.alert_min_reviews,
        min_minutes=settings.alert_min_minutes,
        sigmas=settings.alert_sigmas,
        change=settings.alert_change,
    )
    return Trends(settings.lateness_ms / 1000, settings.early_ms / 1000, settings.max_groups, thresholds)
