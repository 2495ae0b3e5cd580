"""The review queue: what rules have held back, and what people have said of it. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

from streamer.dashboard.reviews import Item, Wanted
from streamer.events import Record
from streamer.moderation.decisions import VerdictError, decode

_EARLY = 1000  # Verdicts kept for reviews that have not been read yet.


@dataclass(frozen=True, slots=True)
class Said:
    """A person's verdict on a review; `at` is in milliseconds since the epoch."""

    action: Literal["allow", "block"]
    label: Literal["positive", "negative"] | None
    by: str
    at: int

    def as_json(self) -> dict[str, Any]:
        """For a page."""
        return {"action": self.action, "label": self.label, "by": self.by, "at": self.at}


def said(record: Record) -> tuple[str, Said | None] | None:
    """The review and the verdict of a record of the verdict topic, None for an undo; None for what is none of ours."""
    try:
        identity = (record.key or b"").decode()
        if not identity or record.value is None:
            return (identity, None) if identity else None
        verdict = decode(record.value)
    except (UnicodeDecodeError, VerdictError):
        return None
    return identity, Said(verdict["action"], verdict.get("label"), verdict["by"][:100], record.timestamp)


class Queue:
    """Reviews by their id, oldest first, with the newest verdict on each. Bounded: the oldest make room.

    version: rises with each change, so that a page asks only when there is something new.
    """

    def __init__(self, room: int = 5000) -> None:
        self._room = room
        self._items: OrderedDict[str, Item] = OrderedDict()
        self._said: OrderedDict[str, Said] = OrderedDict()  # By when it was said; of reviews that are in _items.
        self._early: OrderedDict[str, Said] = OrderedDict()
        self.version = 0
        self.forgotten = 0

    def add(self, item: Item) -> None:
        """A review for people to look at; one that is known already changes nothing."""
        if item.id in self._items:
            return
        self._items[item.id] = item
        if (early := self._early.pop(item.id, None)) is not None:
            self._said[item.id] = early
        while len(self._items) > self._room:
            oldest, _ = self._items.popitem(last=False)
            self.forgotten += self._said.pop(oldest, None) is None
        self.version += 1

    def say(self, identity: str, verdict: Said | None) -> None:
        """The newest verdict on a review, or None to take it back."""
        place = self._said if identity in self._items else self._early
        place.pop(identity, None)
        if verdict is not None:
            place[identity] = verdict
        while len(self._early) > _EARLY:
            self._early.popitem(last=False)
        self.version += place is self._said

    def find(self, identity: str) -> Item | None:
        """A review that is still in memory."""
        return self._items.get(identity)

    def verdict(self, identity: str) -> Said | None:
        """What was said of a review, None while it is open."""
        return self._said.get(identity)

    @property
    def open(self) -> int:
        """How many wait for a verdict."""
        return len(self._items) - len(self._said)

    def oldest(self) -> int | None:
        """When the first of them was published, in milliseconds since the epoch; None without any."""
        return min((item.seen for item in self._items.values()), default=None)

    def waiting(self, wanted: Wanted, most: int) -> list[Item]:
        """The oldest open ones that are wanted."""
        found: list[Item] = []
        for item in self._items.values():
            if item.id not in self._said and wanted.has(item):
                found.append(item)
                if len(found) == most:
                    break
        return found

    def decided(self, most: int) -> list[tuple[Item, Said]]:
        """The latest verdicts, newest first."""
        newest = list(reversed(self._said))[:most]
        return [(self._items[identity], self._said[identity]) for identity in newest]
