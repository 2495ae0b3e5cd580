"""The states of one input partition's transactions. Pure: `streamer.kafka.transactions` acts on them.

| from | to | when |
|---|---|---|
| Idle | Open | the first results after a commit are sent |
| Open | Committing | a commit begins |
| Open | Broken | sending fails or is cancelled |
| Committing | Idle | the transaction is committed |
| Committing | Broken | a step fails, or its response does not arrive |
| Broken | Recovering | the commit tries again |
| Recovering | Idle | the committed offset shows that the transaction was committed |
| Recovering | Open | the committed offset has not moved: a new transaction begins, and everything is sent again |
| Recovering | Lost | the partition has a new owner |
| Recovering | Broken | a step fails |
| any but Closed | Closed | the partition is revoked |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streamer.events import Message
from streamer.kafka.producer import Acknowledgement


class Release(NamedTuple):
    """Messages that were sent together, kept until they are committed. `next_offset` follows their last record."""

    next_offset: int
    messages: Sequence[Message]


@dataclass(slots=True)
class Transaction:
    """What was sent since the last commit, in order. opened_at: monotonic, from before the broker began its timeout."""

    opened_at: float
    releases: list[Release] = field(default_factory=list)
    acknowledgements: list[Acknowledgement] = field(default_factory=list)

    def next_offset(self, committed: int) -> int:
        """The offset that this transaction commits; `committed` if no release was sent completely."""
        return self.releases[-1].next_offset if self.releases else committed


@dataclass(frozen=True, slots=True)
class Idle:
    """The transactional id is ours, and everything that was sent is committed."""


@dataclass(frozen=True, slots=True)
class Open:
    """A transaction is open, with everything that was sent since the last commit."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class Committing:
    """The transaction is ending. Nothing is sent meanwhile."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class Broken:
    """The transaction failed, or its outcome is unknown. Messages sent now are kept for the next one."""

    transaction: Transaction
    cause: BaseException


@dataclass(frozen=True, slots=True)
class Recovering:
    """The transactional id is being initialised again, to find out how the transaction ended."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class Lost:
    """Another worker owns the partition. Messages are dropped until the group revokes it. since: monotonic."""

    since: float


@dataclass(frozen=True, slots=True)
class Closed:
    """The partition was revoked. Messages are dropped."""


State = Idle | Open | Committing | Broken | Recovering | Lost | Closed

TRANSITIONS: dict[type[State], frozenset[type[State]]] = {
    Idle: frozenset({Open, Closed}),
    Open: frozenset({Committing, Broken, Closed}),
    Committing: frozenset({Idle, Broken, Closed}),
    Broken: frozenset({Recovering, Closed}),
    Recovering: frozenset({Idle, Open, Lost, Broken, Closed}),
    Lost: frozenset({Closed}),
    Closed: frozenset(),
}


def transition(current: State, new: State) -> State:
    """The new state. Raises RuntimeError if the table does not have this transition, which would be a bug."""
    if type(new) not in TRANSITIONS[type(current)]:
        raise RuntimeError(f"this is a bug: {type(current).__name__} -> {type(new).__name__} is no transition")
    return new
