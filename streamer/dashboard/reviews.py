"""The part of an output event that a page shows, a filter for such events, and the latest of them. Pure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from streamer.events import Record
from streamer.formats.result import read_result, text_of
from streamer.formats.schema import ModelName, SourcePosition
from streamer.labels import LABEL_NAME
from streamer.text import Markup, visible_text
from streamer.text.alignment import marked

is_label = re.compile(LABEL_NAME).fullmatch

_TEXT_CHARACTERS = 4000  # Of a review that is sent to a browser.
_FIELD_CHARACTERS = 200  # Of any other field from the input.
_EVIDENCE_TOKENS = 64
_RATE_SECONDS = 5.0


class ReviewView(NamedTuple):
    """An output event, shortened for a page.

    id: `<topic>/<partition>/<offset>` of the source record. name: the review's own id. at: event time, RFC
    3339. seen: when the event was published, in milliseconds. text: the visible one (`visible_text`); None if the event
    does not include its input.
    """

    id: str
    label: str
    score: float
    group: str | None
    at: str | None
    seen: int
    text: str | None
    evidence: tuple[tuple[str, float], ...]
    action: str | None
    rule: str | None
    name: str | None
    model: ModelName | None
    source: SourcePosition

    def as_json(self) -> dict[str, Any]:
        """As JSON for a page, without `source` and `model`, which only decisions need.

        `parts` is the text in pieces, those that are evidence with their weight.
        """
        fields = self._asdict()
        del fields["source"], fields["model"]
        return fields | {"parts": None if self.text is None else marked(self.text, self.evidence)}


def read_review(record: Record, text_field: str, markup: Markup = "auto") -> ReviewView | None:
    """Read an event of the output or the review topic; None for a tombstone and for any other value."""
    event = read_result(record.value)
    if event is None or not is_label(event.label):
        return None
    text = text_of(event.input, text_field)
    return ReviewView(
        id=event.identity,
        label=event.label,
        score=event.score,
        group=_short(event.group),
        at=_short(event.event_time),
        seen=record.timestamp,
        text=None if text is None else visible_text(text, markup)[:_TEXT_CHARACTERS],
        evidence=tuple((token[:_FIELD_CHARACTERS], weight) for token, weight in event.evidence[:_EVIDENCE_TOKENS]),
        action=_short(event.action),
        rule=_short(event.rule),
        name=_short(event.id),
        model=event.model,
        source=event.source,
    )


def _short(value: str | None) -> str | None:
    return None if value is None else value[:_FIELD_CHARACTERS]


class ReviewFilter(NamedTuple):
    """A filter for events. A field that is None or empty matches all."""

    label: str | None = None
    group: str | None = None
    text: str = ""

    def matches(self, review: ReviewView) -> bool:
        """Whether the review matches. The text is compared without regard to case."""
        if self.label is not None and review.label != self.label:
            return False
        if self.group is not None and review.group != self.group:
            return False
        if not self.text:
            return True
        wanted = self.text.casefold()
        words = review.text if review.text is not None else " ".join(token for token, _ in review.evidence)
        return wanted in words.casefold() or wanted in (review.name or "").casefold() or wanted in review.id


class Latest:
    """The newest reviews, numbered in order of arrival. A page keeps only a number, so a slow page costs no memory."""

    def __init__(self, room: int = 1000) -> None:
        self._reviews: deque[ReviewView] = deque(maxlen=room)
        self.end = 0

    def add(self, reviews: Iterable[ReviewView]) -> None:
        """Add reviews, oldest first. When the limit is reached, the oldest are dropped."""
        for review in reviews:
            self._reviews.append(review)
            self.end += 1

    def since(self, number: int, wanted: ReviewFilter, most: int) -> list[ReviewView]:
        """The matching reviews from `number` on. If there are more than `most`, an evenly spaced sample of them."""
        skipped = max(0, number - (self.end - len(self._reviews)))
        found = [review for review in islice(self._reviews, skipped, None) if wanted.matches(review)]
        return found if len(found) <= most else [found[(i + 1) * len(found) // most - 1] for i in range(most)]

    def newest(self, wanted: ReviewFilter, most: int) -> list[ReviewView]:
        """The last `most` matching reviews, oldest first, for the start of a page."""
        found = islice((review for review in reversed(self._reviews) if wanted.matches(review)), most)
        return sorted(found, key=lambda review: review.seen)


class Rate:
    """Records a second, from the growth of the topic's end offsets. Times are in seconds of any one clock."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def observe(self, end: int, now: float) -> None:
        """`end`: the sum of the end offsets of all partitions."""
        points = self._points
        if points and end < points[-1][1]:  # The topic was deleted and created again.
            points.clear()
        points.append((now, end))
        while len(points) > 2 and points[1][0] <= now - _RATE_SECONDS:
            points.popleft()

    def value(self) -> float:
        """The rate over the last few seconds; 0 before there are two observations."""
        if len(self._points) < 2:
            return 0.0
        (begin, first), (end, last) = self._points[0], self._points[-1]
        return (last - first) / (end - begin) if end > begin else 0.0
