"""Merges workers' messages into windows, so that each offset counts once, even if it is published twice. Pure.

The rule, for each input partition, in the order of the trends topic:

- A message with an older epoch than the newest seen is dropped: its owner has been replaced.
- One with the same epoch counts if it begins where the last one ended, or later. Otherwise it has been seen before.
- One with a newer epoch comes from a new owner. It has read the topic, and begins after all messages that it saw. It
  counts again what it did not see of older owners: their messages that end after its beginning are undone.

All readers agree, whichever message they start with. The last 64 messages of a source are kept, so that they can be
undone. If a new owner begins before all of these, its messages count only from where the old ones ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from operator import itemgetter, neg
from typing import Literal, NamedTuple

from streamer.events import TopicPartition
from streamer.labels import UNCERTAIN, UNNAMED_COLUMNS, joined, watched
from streamer.settings import TrendSettings
from streamer.trends.anomalies import Alert, AlertThresholds, AnomalyDetector
from streamer.trends.message import Cell, CountDelta, Epoch, decode
from streamer.trends.windows import HOUR, MINUTE, SECOND, Change, Labels, Row, Window, Windows, by_second, coarser

SIZES = (SECOND, MINUTE, HOUR)  # Each a multiple of the one before.
DAY = 86_400
RETENTION = {SECOND: 900, MINUTE: DAY, HOUR: 30 * DAY}  # Seconds, by size.

_UNDO_LIMIT = 64  # Messages of a source that can be undone.
_MAX_SOURCES = 100_000
_MAX_ENTRIES = 300_000  # For each size; one for a group in a window, with three labels about 200 bytes.
_MAX_LABELS = 256  # Ever seen.


@dataclass(slots=True)
class Statistics:
    """Numbers of reviews and messages that were merged and that were not.

    reviews: counted. late: counted after their minute had ended. early: reviews not counted, because their
    time is too far in the future. messages: merged. repeated: messages seen before or from a former owner. undone:
    messages of a former owner that the next one counted again. invalid: messages that are not trend messages.
    """

    reviews: int = 0
    late: int = 0
    early: int = 0
    messages: int = 0
    repeated: int = 0
    undone: int = 0
    invalid: int = 0


class _Merged(NamedTuple):
    """A message that can be undone. Its value stays encoded, since decoded cells take ten times the memory."""

    begin: int
    end: int
    value: bytes
    latest: int  # Cells after this second were early.
    late: int


@dataclass(slots=True)
class _Source:
    epoch: Epoch
    covered: int  # Every offset below is counted.
    settled: int = 0  # Counts below this offset can no longer be undone.
    merged: deque[_Merged] = field(default_factory=deque)


class Trends:
    """Counts by event time: windows of a second, a minute and an hour, in total and by group.

    All times are in seconds since the epoch. The watermark is the newest event time seen, at most `early` seconds ahead
    of the clock: reviews further in the future are not counted, so that one wrong clock closes no windows. Late reviews
    are counted in their windows for as long as these are kept (15 minutes of seconds, a day of minutes, 30 days of
    hours).

    labels: all that have been seen, in the order of `LabelSet.columns`. watched: the label that alerts are about, the
    least favourable one. It changes only when the newest message's model does not have it.
    """

    def __init__(
        self,
        lateness: float = 10.0,
        early: float = 60.0,
        max_groups: int = 10_000,
        thresholds: AlertThresholds | None = None,
        labels: Sequence[str] = UNNAMED_COLUMNS,
    ) -> None:
        """lateness: a minute is checked for anomalies when the watermark is this far past its end.
        max_groups: the maximum number of groups that a window counts separately.
        thresholds: what counts as unusual.
        labels: the model's, if known, in the order of `LabelSet.columns`. Messages may have others.
        """
        self.statistics = Statistics()
        self.watermark: int | None = None
        self.labels = tuple(labels)
        self.watched = watched(labels)
        self._lateness = lateness
        self._early = early
        self._sources: dict[TopicPartition, _Source] = {}
        self._seen = Labels(labels)
        entries = max(_MAX_ENTRIES, max_groups)
        self._windows = {size: Windows(size, RETENTION[size], max_groups, entries, self._seen) for size in SIZES}
        self._detector = AnomalyDetector(thresholds or AlertThresholds(), max_groups)
        self._checked_until = 0  # Minutes that start before this have been checked.
        self._watched_since = 0  # Minutes up to this second have reviews of a model without the watched label.
        self._watched_seen = 0  # Newest second of a message that has the watched label.

    @property
    def ungrouped(self) -> dict[int, int]:
        """By window size, the reviews of groups beyond a window's limit: counted in the total only."""
        return {size: windows.ungrouped for size, windows in self._windows.items()}

    def merge(self, value: bytes | None, now: float) -> bool:
        """Merge a message's value; False if it changes nothing: seen before, of a former owner, or not a trend message.

        now: the time of its publication, or the current time.
        """
        delta = decode(value)
        if value is None or delta is None or not self._register_labels(delta.labels):
            self.statistics.invalid += 1
            return False
        if (new_owner := self._accept(delta)) is None:
            return False
        if new_owner:
            self._undo(delta)
        source = self._sources[delta.source]
        source.covered = delta.end
        latest = int(now + self._early)
        self._watch(delta, latest)
        late = self._count(delta, latest, 1)
        source.merged.append(_Merged(delta.begin, delta.end, value, latest, late))
        if len(source.merged) > _UNDO_LIMIT:
            source.settled = source.merged.popleft().end
        self.statistics.messages += 1
        return True

    def series(self, size: int, begin: int, end: int, group: str | None = None) -> list[Window]:
        """The windows of a size that start within [begin, end) and are still kept, without gaps."""
        return self._windows[size].series(begin, end, group)

    def window(self, size: int, start: int, group: str | None = None) -> Window:
        """One window; all zero if there is none."""
        return self._windows[size].window(start, group)

    def by_group(self, size: int, start: int) -> Iterator[tuple[str, Window]]:
        """The groups of one window that have reviews."""
        return self._windows[size].by_group(start)

    def top(self, size: int, start: int, count: int, by: Literal["volume", "change"] = "volume") -> list[Change]:
        """The groups of a window with the most reviews, or with the greatest change from the one before.

        Compare only a window that has ended: `latest`.
        """
        return self._windows[size].top(start, count, by)

    def latest(self, size: int) -> int | None:
        """Start of the newest window that the watermark has passed, without waiting for late reviews; None at first."""
        return None if self.watermark is None else self.watermark // size * size - size

    def closed(self, size: int) -> int:
        """Windows of a size that start before this have closed, lateness included: further reviews in them are late."""
        return 0 if self.watermark is None else max(0, int(self.watermark - self._lateness)) // size * size

    def groups(self) -> list[str]:
        """All groups that are counted separately, sorted."""
        return sorted(set().union(*(windows.groups() for windows in self._windows.values())))

    def alerts(self) -> list[Alert]:
        """Check the minutes that have closed since the last call for anomalies, oldest first.

        Call it only after the topic's existing messages are merged: partitions are read at different speeds, and a
        minute is checked once.
        """
        closed = self.closed(MINUTE)
        if closed <= self._checked_until:
            return []
        minutes = self._windows[MINUTE]
        found: list[Alert] = []
        for start in minutes.starts():
            if max(self._checked_until, self._watched_since + 1) <= start < closed:
                found += self._detector.observe(None, minutes.window(start), self.watched)
                for group, window in minutes.by_group(start):
                    found += self._detector.observe(group, window, self.watched)
        self._checked_until = closed
        return found

    def _register_labels(self, labels: tuple[str, ...]) -> bool:
        """Register a message's labels; False if there are too many in total."""
        if labels == self.labels:
            return True
        if not set(labels) <= set(self.labels):
            more = joined(self.labels, labels)
            if len(more) > _MAX_LABELS:
                return False
            self.labels = more
            self._seen.add(labels)
        return True

    def _watch(self, delta: CountDelta, latest: int) -> None:
        """Watch another label once no model has the watched one any more.

        While workers are replaced one after the other, messages of both models come in turn. So the label changes only
        when the watched one has not come for a minute of event time.
        """
        newest = min(latest, max((cell[0] for cell in delta.cells), default=0))
        if self.watched in delta.labels and self.watched != UNCERTAIN:
            self._watched_seen = max(self._watched_seen, newest)
            return
        self._watched_since = max(self._watched_since, newest)  # Minutes that mix models are not checked.
        if self.watched == UNCERTAIN or newest - self._watched_seen > MINUTE:
            self.watched = watched(delta.labels)
            self._watched_seen = newest

    def _accept(self, delta: CountDelta) -> bool | None:
        """True for a new owner's message, False for another one of the same owner, None for one that does not count."""
        source = self._sources.get(delta.source)
        if source is None:
            if len(self._sources) >= _MAX_SOURCES:
                self.statistics.invalid += 1
                return None
            self._sources[delta.source] = _Source(delta.epoch, delta.begin)
            return False
        new = delta.epoch > source.epoch and delta.begin >= source.settled
        source.epoch = max(source.epoch, delta.epoch)
        if new or (delta.epoch == source.epoch and delta.begin >= source.covered):
            return new
        self.statistics.repeated += 1
        return None

    def _undo(self, delta: CountDelta) -> None:
        """Subtract the counts of former owners that this message counts again."""
        source = self._sources[delta.source]
        kept: deque[_Merged] = deque()
        for merged in source.merged:
            if merged.end <= delta.begin:
                kept.append(merged)
                continue
            former = decode(merged.value)
            if former is not None:
                self._count(former, merged.latest, -1)
                self.statistics.late -= merged.late
                self.statistics.undone += 1
        source.merged = kept

    def _count(self, delta: CountDelta, latest: int, sign: Literal[1, -1]) -> int:
        """Add a message's cells, or subtract them again; returns how many of its reviews were late."""
        if not delta.cells:
            return 0
        parts = by_second(delta.cells, _row_of(delta.labels, self._seen.names, sign))
        for second in [second for second in parts if second > latest]:
            self.statistics.early += parts.pop(second).reviews
        closed, newest, late = self.closed(MINUTE), max(parts, default=0), 0
        for size, windows in self._windows.items():
            parts = parts if size == SECOND else coarser(parts, size)
            windows.add(parts)
            if size == MINUTE:
                late = sum(part.reviews for start, part in parts.items() if start < closed)
        self.statistics.reviews += sum(part.reviews for part in parts.values())
        if sign > 0 and parts:
            self.watermark = max(newest, self.watermark or 0)
            self.statistics.late += late
            for windows in self._windows.values():
                windows.forget(self.watermark)
        return late


def trends_of(settings: TrendSettings, labels: Sequence[str]) -> Trends:
    """A reader with the lateness, limits and alert thresholds of the settings. `labels`: see `Trends`."""
    thresholds = AlertThresholds(
        min_reviews=settings.alert_min_reviews,
        min_minutes=settings.alert_min_minutes,
        sigmas=settings.alert_sigmas,
        change=settings.alert_change,
    )
    return Trends(settings.lateness_ms / 1000, settings.early_ms / 1000, settings.max_groups, thresholds, labels)


@lru_cache(64)
def _row_of(labels: tuple[str, ...], seen: tuple[str, ...], sign: Literal[1, -1]) -> Callable[[Cell], Row]:
    """A function that converts a message's cell to a row, negated if the sign is -1.

    seen: all labels, in the order of the rows; they include those of the message.
    """
    width = max(map(seen.index, labels)) + 1
    if width == len(labels):  # The row has the message's labels. Runs in C, since there are many cells.
        pick: Callable[[Cell], Row] = itemgetter(-1, *(2 + labels.index(label) for label in seen[:width]))
    else:
        places = [2 + labels.index(label) if label in labels else None for label in seen[:width]]
        pick = partial(_pick, places)
    return pick if sign > 0 else lambda cell: tuple(map(neg, pick(cell)))


def _pick(places: Sequence[int | None], cell: Cell) -> Row:
    return (cell[-1], *(0 if place is None else cell[place] for place in places))
