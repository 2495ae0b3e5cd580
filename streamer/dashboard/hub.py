"""What the dashboard knows: read by every page, written by the tasks of `follow`. It lives on one event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from streamer.dashboard.fleet import Fleet
from streamer.dashboard.latest import Latest, Rate
from streamer.dashboard.queue import Queue
from streamer.trends import Trends


@dataclass
class Hub:
    """The state, and how far it can be trusted.

    queue: None where there is no moderation. faults: what is away right now, and why, by what reads it. replayed:
    share of the past that was read, by the same names; gone once all of it was. stopping: ends the streams.
    """

    trends: Trends
    fleet: Fleet
    queue: Queue | None
    latest: Latest = field(default_factory=Latest)
    rate: Rate = field(default_factory=Rate)
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
