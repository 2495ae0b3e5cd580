"""Detects groups whose share of one label leaves its usual band or returns to it: one alert each time. Pure.

The label is the watched one: the least favourable (`streamer.labels.watched`). The usual share p of a group is the
exponentially weighted share of its earlier minutes, k watched of N reviews, with a pseudocount of one half each
way (Jeffreys' prior). A minute with n reviews and share s is tested by the two-proportion z-test with the pooled
variance of the usual share,

    z = (s - p) / sqrt(f p (1 - p) (1/n + 1/N))

where f, at least 1, is the exponentially weighted mean of z squared in earlier minutes (with f = 1): how much more the
group's share varies from minute to minute than chance alone would make it (overdispersion of a quasi-binomial model).
The band is p plus or minus `sigmas` such deviations, or `change` if that is wider. Minutes with few reviews are not
tested and cause no alerts, but they count in the usual share.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from streamer.formats.times import rfc3339
from streamer.labels import UNNAMED_COLUMNS, watched
from streamer.trends.windows import MINUTE, Window

Direction = Literal["above", "below", "back"]

ALERT_TYPE = b"review.sentiment.alert.v1"
_IDLE_SECONDS = 7 * 86_400  # After this long without reviews, a group's usual share is forgotten.


@dataclass(frozen=True, slots=True)
class AlertThresholds:
    """What counts as unusual.

    min_reviews: a minute with fewer is not tested. min_minutes: nor are this many first minutes of a group.
    sigmas, change: both must be exceeded. memory: the age in minutes at which a minute has weight 1/e.
    """

    min_reviews: int = 50
    min_minutes: int = 10
    sigmas: float = 4.0
    change: float = 0.1
    memory: float = 60.0


class Alert(NamedTuple):
    """A group's share of a label is above or below its band, or back in it. Group None means all reviews.

    share: of the label in `window`. low, high: the band. usual: its middle.
    """

    group: str | None
    direction: Direction
    window: Window
    share: float
    usual: float
    low: float
    high: float
    label: str

    @property
    def identity(self) -> str:
        """`<start of the window>/all` or `<start of the window>/group/<group>`: the same in every process."""
        return f"{self.window.start}/{'all' if self.group is None else 'group/' + self.group}"

    def event(self) -> dict[str, Any]:
        """As JSON: `streamer.trends.schema.TrendAlert`. The count of reviews is in a field named after the label."""
        rounded = {name: round(getattr(self, name), 6) for name in ("share", "usual", "low", "high")}
        count = {self.label: self.window.count(self.label)}
        window = {"start": rfc3339(1000 * self.window.start), "seconds": MINUTE}
        # Left out where it says what its absence says: readers with the first version's closed schema accept the alert.
        label = {} if self.label == watched(UNNAMED_COLUMNS) else {"label": self.label}
        fixed = {"group": self.group, "direction": self.direction, "window": window, **label}
        return count | fixed | {"reviews": self.window.reviews} | rounded


@dataclass(slots=True)
class _Usual:
    label: str
    watched: float = 0.0  # Weighted count of reviews with the label.
    reviews: float = 0.0  # Weighted count of all reviews.
    dispersion: float = 1.0
    minutes: int = 0  # With enough reviews.
    seen: int = 0  # Start of the latest window.
    out: bool = False


class AnomalyDetector:
    """Keeps the usual share of each group. Pass each minute once, in order."""

    def __init__(self, thresholds: AlertThresholds, max_groups: int) -> None:
        """If there are more than `max_groups` groups, those without reviews for longest are forgotten."""
        self._thresholds = thresholds
        self._max_groups = max_groups
        self._groups: OrderedDict[str | None, _Usual] = OrderedDict()

    def observe(self, group: str | None, window: Window, label: str) -> list[Alert]:
        """Add a minute of a group; returns at most one alert. If the label has changed, the group starts over."""
        reviews = window.reviews
        if not reviews:
            return []
        usual = self._groups.get(group)
        if usual is None or usual.label != label:
            usual = self._groups[group] = _Usual(label)
        self._groups.move_to_end(group)
        decay = (
            math.exp(-max(1, (window.start - usual.seen) // MINUTE) / self._thresholds.memory) if usual.seen else 1.0
        )
        usual.seen = window.start
        self._forget(window.start)
        usual.watched *= decay
        usual.reviews *= decay
        found = self._compare(group, window, usual)
        # Outside the band, a level becomes usual only slowly: with ten times the memory.
        weight = 0.1 if usual.out else 1.0
        usual.watched += weight * window.count(label)
        usual.reviews += weight * reviews
        return found

    def _compare(self, group: str | None, window: Window, usual: _Usual) -> list[Alert]:
        thresholds = self._thresholds
        reviews = window.reviews
        if reviews < thresholds.min_reviews:
            return []
        share = window.count(usual.label) / reviews
        middle = (usual.watched + 0.5) / (usual.reviews + 1)
        deviation = math.sqrt(middle * (1 - middle) * (1 / reviews + 1 / (usual.reviews + 1)))
        squared = ((share - middle) / deviation) ** 2
        half = max(thresholds.change, thresholds.sigmas * math.sqrt(usual.dispersion) * deviation)
        usual.minutes += 1
        found: list[Alert] = []
        if usual.minutes > thresholds.min_minutes:
            distance = abs(share - middle)
            low, high = max(0.0, middle - half), min(1.0, middle + half)
            direction: Direction | None = None
            if not usual.out and distance > half:
                direction = "above" if share > middle else "below"
            elif (
                usual.out and distance <= half / 2
            ):  # Well within the band, so that a share near its edge causes one alert, not many.
                direction = "back"
            if direction is not None:
                usual.out = direction != "back"
                found.append(
                    Alert(group, direction, window, share=share, usual=middle, low=low, high=high, label=usual.label)
                )
        if not usual.out and usual.minutes > 1:
            rate = 1 / min(usual.minutes, thresholds.memory)
            usual.dispersion = max(1.0, usual.dispersion + rate * (squared - usual.dispersion))
        return found

    def _forget(self, now: int) -> None:
        while len(self._groups) > self._max_groups or now - self._first().seen > _IDLE_SECONDS:
            self._groups.popitem(last=False)

    def _first(self) -> _Usual:
        return next(iter(self._groups.values()))
