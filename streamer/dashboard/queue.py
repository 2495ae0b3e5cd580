"""The review queue: what rules have held back, and what people have said of it. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

from streamer.dashboard.reviews import ReviewFilter, ReviewView
from streamer.events import Record
from streamer.moderation.decisions import DecisionError, decode

_EARLY = 1000  # Verdicts kept for reviews that have not been read yet.


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's verdict on a review; `at` is in milliseconds since the epoch."""

    action: Literal["allow", "block"]
    label: Literal["positive", "negative"] | None
    by: str
    at: int

    def as_json(self) -> dict[str, Any]:
        """For a page."""
        return {"action": self.action, "label": self.label, "by": self.by, "at": self.at}


def read_decision(record: Record) -> tuple[str, Decision | None] | None:
    """The review and the verdict of a record of the verdict topic, None for an undo; None for what is none of ours."""
    try:
        identity = (record.key or b"").decode()
        if not identity or record.value is None:
            return (identity, None) if identity else None
        decision = decode(record.value)
    except (UnicodeDecodeError, DecisionError):
        return None
    return identity, Decision(decision["action"], decision.get("label"), decision["by"][:100], record.timestamp)


class Queue:
    """Reviews by their id, oldest first, with the newest verdict on each. Bounded: the oldest make room.

    version: rises with each change, so that a page asks only when there is something new.
    """

    def __init__(self, room: int = 5000) -> None:
        self._room = room
        self._items: OrderedDict[str, ReviewView] = OrderedDict()
        self._decisions: OrderedDict[str, Decision] = (
            OrderedDict()
        )  # By when it was said; of reviews that are in _items.
        self._early: OrderedDict[str, Decision] = OrderedDict()
        self.version = 0
        self.forgotten = 0

    def add(self, item: ReviewView) -> None:
        """A review for people to look at; one that is known already changes nothing."""
        if item.id in self._items:
            return
        self._items[item.id] = item
        if (early := self._early.pop(item.id, None)) is not None:
            self._decisions[item.id] = early
        while len(self._items) > self._room:
            oldest, _ = self._items.popitem(last=False)
            self.forgotten += self._decisions.pop(oldest, None) is None
        self.version += 1

    def decide(self, identity: str, decision: Decision | None) -> None:
        """The newest verdict on a review, or None to take it back."""
        place = self._decisions if identity in self._items else self._early
        place.pop(identity, None)
        if decision is not None:
            place[identity] = decision
        while len(self._early) > _EARLY:
            self._early.popitem(last=False)
        self.version += place is self._decisions

    def find(self, identity: str) -> ReviewView | None:
        """A review that is still in memory."""
        return self._items.get(identity)

    def decision(self, identity: str) -> Decision | None:
        """What was said of a review, None while it is open."""
        return self._decisions.get(identity)

    @property
    def open(self) -> int:
        """How many wait for a verdict."""
        return len(self._items) - len(self._decisions)

    def oldest(self) -> int | None:
        """When the first of them was published, in milliseconds since the epoch; None without any."""
        return min((item.seen for item in self._items.values()), default=None)

    def waiting(self, wanted: ReviewFilter, most: int) -> list[ReviewView]:
        """The oldest open ones that are wanted."""
        found: list[ReviewView] = []
        for item in self._items.values():
            if item.id not in self._decisions and wanted.has(item):
                found.append(item)
                if len(found) == most:
                    break
        return found

    def decided(self, most: int) -> list[tuple[ReviewView, Decision]]:
        """The latest verdicts, newest first."""
        newest = list(reversed(self._decisions))[:most]
        return [(self._items[identity], self._decisions[identity]) for identity in newest]
