"""The server-sent events of an open page. Each is created after the previous one has been sent.

So a slow page delays only itself: no messages are queued for it, and it keeps only a position in the latest
reviews.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson

from streamer.dashboard import charts
from streamer.dashboard.charts import PageQuery, Row
from streamer.dashboard.state import DashboardState

UPDATE_SECONDS = 0.25
_LATEST = 8  # Reviews in an update: 32 a second at most.
_FIRST = 30  # Reviews to start with.
_WAITING = 25  # Reviews of the queue on a page at a time.
_DECIDED = 30
_GROUPS = 8  # On the live page.


async def event_stream(state: DashboardState, query: PageQuery) -> AsyncIterator[bytes]:
    """The server-sent events of one page, until it is closed or the dashboard stops."""
    page = PageSession(state, query)
    state.streams += 1
    try:
        while not state.stopping.is_set():
            if parts := page.update(time.time()):
                yield b"data: " + orjson.dumps(parts) + b"\n\n"
            try:
                async with asyncio.timeout(UPDATE_SECONDS):
                    await state.stopping.wait()
            except TimeoutError:
                continue
    finally:
        state.streams -= 1


class PageSession:
    """Keeps track of what one page has received, so that it receives only changes."""

    def __init__(self, state: DashboardState, query: PageQuery) -> None:
        self._state = state
        self._query = query
        self._updates = 0
        self._place = state.latest.end
        self._labels: dict[str, Any] | None = None
        self._rows: dict[int, Row] = {}
        self._queue_version: int | None = None
        self._queue_sent: set[str] = set()
        self._workers_version: int | None = None
        self._workers_point = 0.0

    def update(self, now: float) -> dict[str, Any]:
        """The parts of the page that have changed; `now` is in seconds since the epoch."""
        parts: dict[str, Any] = {}
        whole_second = self._updates % 4 == 0
        if whole_second:
            parts["status"] = self._state.status(now)
            parts |= self._new_labels()
        view, group = self._query.view, self._query.wanted.group
        if view == "live":
            parts |= self._latest()
        if whole_second and (view == "live" or (view == "groups" and group is not None)):
            parts["series"] = self._series(now)
        if self._updates % 8 == 0 and view in ("live", "groups"):
            parts |= self._groups(now)
        if view == "queue":
            parts |= self._queue()
        if view == "system":
            parts |= self._system()
        self._updates += 1
        return parts

    def _new_labels(self) -> dict[str, Any]:
        """The labels, if they have changed. All rows are then sent again, since a row has a count for each label."""
        labels = self._state.page_labels()
        if labels == self._labels:
            return {}
        self._labels, self._rows = labels, {}
        return {"labels": labels}

    def _names(self) -> tuple[str, ...]:
        names: tuple[str, ...] = self._labels["names"] if self._labels is not None else ()
        return names

    def _latest(self) -> dict[str, Any]:
        latest, wanted = self._state.latest, self._query.wanted
        if self._updates == 0:
            found = latest.newest(wanted, _FIRST)
        elif latest.end == self._place:
            return {}
        else:
            found = latest.since(self._place, wanted, _LATEST)
        self._place = latest.end
        return {"latest": [review.as_json() for review in found]} if found or self._updates == 0 else {}

    def _series(self, now: float) -> dict[str, Any]:
        width, rows = charts.rows(self._state.trends, self._query, now, self._names())
        begin, end = self._query.bounds(now)
        changed = [row for row in rows if self._rows.get(row[0]) != row]
        first, self._rows = not self._rows, {row[0]: row for row in rows}
        return {
            "step": width,
            "begin": begin,
            "end": end,
            "watermark": self._state.trends.watermark,
            "whole": first,
            "rows": changed,
        }

    def _groups(self, now: float) -> dict[str, Any]:
        query = self._query
        if query.view == "live":  # On this page the search is for reviews, not for groups.
            query = query._replace(sort="volume", rows=_GROUPS, wanted=query.wanted._replace(text=""))
        groups = charts.table(self._state.trends, query, now, self._names())
        return {"groups": groups, "alerts": self._state.alerts[-4:][::-1]}

    def _queue(self) -> dict[str, Any]:
        queue = self._state.queue
        if queue is None:
            return {"queue": None} if self._updates == 0 else {}
        if queue.version == self._queue_version:
            return {}
        self._queue_version = queue.version
        waiting = queue.waiting(self._query.wanted, _WAITING)
        decided = queue.decided(_DECIDED)
        shown = {review.id: review for review in [*waiting, *(review for review, _ in decided)]}
        new = [review.as_json() for identity, review in shown.items() if identity not in self._queue_sent]
        self._queue_sent = set(shown)
        return {
            "queue": {
                "items": new,
                "waiting": [review.id for review in waiting],
                "decided": [{"id": review.id, **decision.as_json()} for review, decision in decided],
                "open": queue.open,
            }
        }

    def _system(self) -> dict[str, Any]:
        workers = self._state.workers
        if workers.version == self._workers_version:
            return {}
        self._workers_version = workers.version
        points = workers.points(self._workers_point)
        if points:
            self._workers_point = max(self._workers_point, float(points[-1][0] or 0.0))
        return {"system": {"workers": workers.as_json(), "points": points, "trends": self._state.statistics()}}
