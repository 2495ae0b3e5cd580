"""What a page is sent: server-sent events, each made when the one before it has gone out.

So a slow reader costs nothing but its own delay: there is no queue of messages, only a place in the ring of reviews.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson

from streamer.dashboard import charts as series
from streamer.dashboard.charts import Ask, Row
from streamer.dashboard.state import Hub

TURN_SECONDS = 0.25
_LATEST = 8  # Reviews a turn: 32 a second at most.
_FIRST = 30  # Reviews to begin with.
_WAITING = 25  # Reviews of the queue on a page at a time.
_DECIDED = 30
_GROUPS = 8  # On the live page.


async def events(hub: Hub, asked: Ask) -> AsyncIterator[bytes]:
    """The stream of one page until it goes away, or the dashboard ends."""
    page = Page(hub, asked)
    hub.streams += 1
    try:
        while not hub.stopping.is_set():
            if parts := page.turn(time.time()):
                yield b"data: " + orjson.dumps(parts) + b"\n\n"
            try:
                async with asyncio.timeout(TURN_SECONDS):
                    await hub.stopping.wait()
            except TimeoutError:
                continue
    finally:
        hub.streams -= 1


class Page:
    """What one page has been sent, so that it is sent only what is new."""

    def __init__(self, hub: Hub, asked: Ask) -> None:
        self._hub = hub
        self._asked = asked
        self._turns = 0
        self._place = hub.latest.end
        self._rows: dict[int, Row] = {}
        self._queue_version: int | None = None
        self._queue_sent: set[str] = set()
        self._fleet_version: int | None = None
        self._fleet_point = 0.0

    def turn(self, now: float) -> dict[str, Any]:
        """The parts of the page that have changed; `now` is in seconds since the epoch."""
        parts: dict[str, Any] = {}
        whole_second = self._turns % 4 == 0
        if whole_second:
            parts["status"] = self._hub.status(now)
        view, group = self._asked.view, self._asked.wanted.group
        if view == "live":
            parts |= self._latest()
        if whole_second and (view == "live" or (view == "groups" and group is not None)):
            parts["series"] = self._series(now)
        if self._turns % 8 == 0 and view in ("live", "groups"):
            parts |= self._groups(now)
        if view == "queue":
            parts |= self._queue()
        if view == "system":
            parts |= self._system()
        self._turns += 1
        return parts

    def _latest(self) -> dict[str, Any]:
        latest, wanted = self._hub.latest, self._asked.wanted
        if self._turns == 0:
            found = latest.newest(wanted, _FIRST)
        elif latest.end == self._place:
            return {}
        else:
            found = latest.since(self._place, wanted, _LATEST)
        self._place = latest.end
        return {"latest": [item.as_json() for item in found]} if found or self._turns == 0 else {}

    def _series(self, now: float) -> dict[str, Any]:
        width, rows = series.rows(self._hub.trends, self._asked, now)
        begin, end = self._asked.bounds(now)
        changed = [row for row in rows if self._rows.get(row[0]) != row]
        first, self._rows = not self._rows, {row[0]: row for row in rows}
        return {
            "step": width,
            "begin": begin,
            "end": end,
            "watermark": self._hub.trends.watermark,
            "whole": first,
            "rows": changed,
        }

    def _groups(self, now: float) -> dict[str, Any]:
        asked = self._asked
        if asked.view == "live":  # Searching there is for reviews.
            asked = asked._replace(sort="volume", rows=_GROUPS, wanted=asked.wanted._replace(text=""))
        return {"groups": series.table(self._hub.trends, asked, now), "alerts": self._hub.alerts[-4:][::-1]}

    def _queue(self) -> dict[str, Any]:
        queue = self._hub.queue
        if queue is None:
            return {"queue": None} if self._turns == 0 else {}
        if queue.version == self._queue_version:
            return {}
        self._queue_version = queue.version
        waiting = queue.waiting(self._asked.wanted, _WAITING)
        decided = queue.decided(_DECIDED)
        shown = {item.id: item for item in [*waiting, *(item for item, _ in decided)]}
        new = [item.as_json() for identity, item in shown.items() if identity not in self._queue_sent]
        self._queue_sent = set(shown)
        return {
            "queue": {
                "items": new,
                "waiting": [item.id for item in waiting],
                "decided": [{"id": item.id, **verdict.as_json()} for item, verdict in decided],
                "open": queue.open,
            }
        }

    def _system(self) -> dict[str, Any]:
        fleet = self._hub.fleet
        if fleet.version == self._fleet_version:
            return {}
        self._fleet_version = fleet.version
        points = fleet.points(self._fleet_point)
        if points:
            self._fleet_point = max(self._fleet_point, float(points[-1][0] or 0.0))
        return {"system": {"workers": fleet.as_json(), "points": points, "trends": self._hub.statistics()}}
