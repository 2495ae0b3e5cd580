"""The latest reviews: a bounded ring that every page reads at its own pace. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from streamer.dashboard.reviews import ReviewFilter, ReviewView

_RATE_SECONDS = 5.0


class Latest:
    """The newest events, numbered as they come. A reader holds a number, so a slow one costs no memory."""

    def __init__(self, room: int = 1000) -> None:
        self._items: deque[ReviewView] = deque(maxlen=room)
        self.end = 0

    def add(self, items: Iterable[ReviewView]) -> None:
        """Take in events, oldest first; the oldest of all make room."""
        for item in items:
            self._items.append(item)
            self.end += 1

    def since(self, number: int, wanted: ReviewFilter, most: int) -> list[ReviewView]:
        """The events from `number` on that are wanted; where there are more than `most`, a sample spread evenly."""
        skipped = max(0, number - (self.end - len(self._items)))
        found = [item for item in islice(self._items, skipped, None) if wanted.has(item)]
        return found if len(found) <= most else [found[(i + 1) * len(found) // most - 1] for i in range(most)]

    def newest(self, wanted: ReviewFilter, most: int) -> list[ReviewView]:
        """The last `most` that are wanted, oldest first: what a page begins with."""
        found = islice((item for item in reversed(self._items) if wanted.has(item)), most)
        return sorted(found, key=lambda item: item.seen)


class Rate:
    """Records a second by how far the topic's ends have moved. Times are in seconds of any one clock."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def observe(self, end: int, now: float) -> None:
        """`end`: the sum of the ends of all partitions."""
        points = self._points
        if points and end < points[-1][1]:  # Another topic of the same name.
            points.clear()
        points.append((now, end))
        while len(points) > 2 and points[1][0] <= now - _RATE_SECONDS:
            points.popleft()

    def value(self) -> float:
        """Over the last few seconds; 0 before there is anything to compare with."""
        if len(self._points) < 2:
            return 0.0
        (begin, first), (end, last) = self._points[0], self._points[-1]
        return (last - first) / (end - begin) if end > begin else 0.0
