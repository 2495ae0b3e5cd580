"""The state of the dashboard: `collectors` write it and every page reads it, on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from streamer.dashboard.queue import Queue
from streamer.dashboard.reviews import Latest, Rate, ReviewView
from streamer.dashboard.workers import Workers
from streamer.events import TopicPartition
from streamer.labels import UNCERTAIN, ascending
from streamer.trends import Alert, Trends

_MAX_ALERTS = 50
_MAX_UNLISTED = 32  # Labels.


@dataclass
class DashboardState:
    """The collected data, and how complete it is.

    queue: None without moderation. positions: the next offsets of the results. faults: by collector, why it cannot read
    at the moment. replayed: by collector, the share of the old records that it has read; absent once it has read all
    of them. unlisted: labels of results that have no counts yet. stopping: ends the streams. streams: the number of
    open ones.
    """

    trends: Trends
    workers: Workers
    queue: Queue | None
    latest: Latest = field(default_factory=Latest)
    rate: Rate = field(default_factory=Rate)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    replayed: dict[str, float] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    unlisted: set[str] = field(default_factory=set)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    streams: int = 0

    def labels(self) -> tuple[str, ...]:
        """All known labels in display order: the least favourable first."""
        listed = self.trends.labels
        if not self.unlisted:
            return ascending(listed)
        more = sorted(self.unlisted.difference(listed))
        return ascending((*(label for label in listed if label != UNCERTAIN), *more, UNCERTAIN))

    def page_labels(self) -> dict[str, Any]:
        """For every page: the labels in order, the one for undecided reviews, and the watched one."""
        return {"names": self.labels(), "uncertain": UNCERTAIN, "watched": self.trends.watched}

    def add_latest(self, reviews: Iterable[ReviewView]) -> None:
        """Add results that were sampled from the output topic, oldest first."""
        found = list(reviews)
        self.latest.add(found)
        self.learn(found)

    def learn(self, reviews: Iterable[ReviewView]) -> None:
        """Remember new labels."""
        new = {review.label for review in reviews}.difference(self.trends.labels, (UNCERTAIN,))
        if new and len(self.unlisted | new) <= _MAX_UNLISTED:
            self.unlisted |= new

    def status(self, now: float) -> dict[str, Any]:
        """For every page, every second."""
        return {
            "now": now,
            "faults": sorted(set(self.faults.values())),
            "replayed": min(self.replayed.values(), default=None),
            "rate": self.rate.value(),
            "open": None if self.queue is None else self.queue.open,
            "forgotten": 0 if self.queue is None else self.queue.forgotten,
        }

    def statistics(self) -> list[tuple[str, int]]:
        """How the counts that workers publish were handled, in words."""
        found = self.trends.statistics
        return [
            ("reviews counted", found.reviews),
            ("of them late", found.late),
            ("too early, not counted", found.early),
            ("messages", found.messages),
            ("seen before", found.repeated),
            ("counted again", found.undone),
            ("invalid", found.invalid),
        ]

    def detect_anomalies(self) -> None:
        """Check the minutes that have closed, but only once all old counts are read, since a minute is checked once."""
        if "trends" not in self.replayed:
            self.alerts += [_alert(alert) for alert in self.trends.alerts()]
            del self.alerts[:-_MAX_ALERTS]


def _alert(alert: Alert) -> dict[str, Any]:
    usual = f"usually {alert.low:.0%} to {alert.high:.0%}"
    words = {
        "above": f"{alert.share:.0%} {alert.label}, {usual}",
        "below": f"only {alert.share:.0%} {alert.label}, {usual}",
        "back": f"back to {alert.share:.0%} {alert.label}",
    }[alert.direction]
    return {"group": alert.group, "direction": alert.direction, "start": alert.window.start, "words": words}
