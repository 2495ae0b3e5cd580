"""The review queue: the reviews that rules have held, and people's decisions on them. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

from streamer.dashboard.reviews import ReviewFilter, ReviewView
from streamer.events import Record
from streamer.moderation.decisions import DecisionError, decode

_MAX_EARLY = 1000  # Decisions kept for reviews that have not been read yet.
_NAME_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's decision on a review. label: the person's own, or None. at: in milliseconds since the epoch."""

    action: Literal["allow", "block"]
    label: str | None
    by: str
    at: int

    def as_json(self) -> dict[str, Any]:
        """For a page."""
        return {"action": self.action, "label": self.label, "by": self.by, "at": self.at}


def read_decision(record: Record) -> tuple[str, Decision | None] | None:
    """The review's id and the decision in a record of the verdict topic, None for an undo; None if it is neither."""
    try:
        identity = (record.key or b"").decode()
        if not identity or record.value is None:
            return (identity, None) if identity else None
        decision = decode(record.value)
    except (UnicodeDecodeError, DecisionError):
        return None
    by = decision["by"][:_NAME_CHARACTERS]
    return identity, Decision(decision["action"], decision.get("label"), by, record.timestamp)


class Queue:
    """Reviews by their id, oldest first, with the newest decision on each. Bounded: the oldest are dropped.

    version: increases with each change, so that a page receives only changes.
    """

    def __init__(self, room: int = 5000) -> None:
        self._room = room
        self._reviews: OrderedDict[str, ReviewView] = OrderedDict()
        self._decisions: OrderedDict[str, Decision] = OrderedDict()  # In the order of decisions; on `_reviews`.
        self._early: OrderedDict[str, Decision] = OrderedDict()
        self.version = 0
        self.forgotten = 0

    def add(self, review: ReviewView) -> None:
        """Add a review for people to decide on. Does nothing if it is already known."""
        if review.id in self._reviews:
            return
        self._reviews[review.id] = review
        if (early := self._early.pop(review.id, None)) is not None:
            self._decisions[review.id] = early
        while len(self._reviews) > self._room:
            oldest, _ = self._reviews.popitem(last=False)
            self.forgotten += self._decisions.pop(oldest, None) is None
        self.version += 1

    def decide(self, identity: str, decision: Decision | None) -> None:
        """Set the newest decision on a review; None undoes it."""
        decisions = self._decisions if identity in self._reviews else self._early
        decisions.pop(identity, None)
        if decision is not None:
            decisions[identity] = decision
        while len(self._early) > _MAX_EARLY:
            self._early.popitem(last=False)
        self.version += decisions is self._decisions

    def find(self, identity: str) -> ReviewView | None:
        """A review that is still in memory."""
        return self._reviews.get(identity)

    def decision(self, identity: str) -> Decision | None:
        """The decision on a review; None while it is open."""
        return self._decisions.get(identity)

    @property
    def open(self) -> int:
        """The number of reviews that wait for a decision."""
        return len(self._reviews) - len(self._decisions)

    def oldest(self) -> int | None:
        """The publication time of the first review, in milliseconds since the epoch; None if there is none."""
        return min((review.seen for review in self._reviews.values()), default=None)

    def waiting(self, wanted: ReviewFilter, most: int) -> list[ReviewView]:
        """The oldest open reviews that match the filter, at most `most`."""
        found: list[ReviewView] = []
        for review in self._reviews.values():
            if review.id not in self._decisions and wanted.matches(review):
                found.append(review)
                if len(found) == most:
                    break
        return found

    def decided(self, most: int) -> list[tuple[ReviewView, Decision]]:
        """The latest decisions, at most `most`, newest first."""
        newest = list(reversed(self._decisions))[:most]
        return [(self._reviews[identity], self._decisions[identity]) for identity in newest]
