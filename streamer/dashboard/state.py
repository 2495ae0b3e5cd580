"""What the dashboard knows: read by every page, written by the tasks of `follow`. It lives on one event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from streamer.dashboard.latest import Latest, Rate
from streamer.dashboard.queue import Queue
from streamer.dashboard.workers import Workers
from streamer.events import TopicPartition
from streamer.trends import Alert, Trends

_ALERTS = 50


@dataclass
class DashboardState:
    """The state, and how far it can be trusted.

    queue: None where there is no moderation. places: how far the results have been looked at. faults: what is away
    right now, and why, by what reads it. replayed: share of the past that was read, by the same names; gone once all
    of it was. stopping: ends the streams.
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
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    streams: int = 0

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
        """What became of the counts that workers publish, in words."""
        found = self.trends.statistics
        return [
            ("reviews counted", found.reviews),
            ("of them late", found.late),
            ("too early, left out", found.early),
            ("messages", found.messages),
            ("seen before", found.repeated),
            ("counted anew", found.undone),
            ("not understood", found.invalid),
        ]

    def detect_anomalies(self) -> None:
        """Take in what is unusual; once the past has been read, since a minute is judged once."""
        if "trends" not in self.replayed:
            self.alerts += [_alert(alert) for alert in self.trends.alerts()]
            del self.alerts[:-_ALERTS]


def _alert(alert: Alert) -> dict[str, Any]:
    usual = f"usually {alert.low:.0%} to {alert.high:.0%}"
    words = {
        "above": f"{alert.share:.0%} negative, {usual}",
        "below": f"only {alert.share:.0%} negative, {usual}",
        "back": f"back to {alert.share:.0%} negative",
    }[alert.direction]
    return {"group": alert.group, "direction": alert.direction, "start": alert.window.start, "words": words}
