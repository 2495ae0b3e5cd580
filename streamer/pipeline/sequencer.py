"""Order and offsets: results leave in the order in which their records came, per partition.

    admit -> complete (in any order) -> release (in order) -> acknowledge -> position to commit

It works on the offsets that were read, since a partition's offsets have gaps (compaction, transaction markers). Each
time a partition is assigned it gets a new generation; tickets and releases of an older generation are ignored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from streamer.events import TopicPartition

Result = TypeVar("Result")


class OffsetRegression(Exception):
    """A partition's offsets went backwards within one assignment: the topic is not the one that was read before."""


class Ticket(NamedTuple):
    """The place of an admitted record: a completion is accepted in the same generation only."""

    partition: TopicPartition
    generation: int
    offset: int


@dataclass(frozen=True, slots=True)
class Release(Generic[Result]):
    """Results of consecutive records of one partition, in order, to be published and then acknowledged."""

    partition: TopicPartition
    generation: int
    results: Sequence[Result]
    next_offset: int


@dataclass(slots=True)
class _Partition(Generic[Result]):
    generation: int
    admitted: deque[int] = field(default_factory=deque)  # Offsets not yet released, ascending.
    completed: dict[int, Result] = field(default_factory=dict)  # Of those, the ones that are done.
    releases: deque[int] = field(default_factory=deque)  # Next offsets of releases not yet acknowledged.
    acknowledged: set[int] = field(default_factory=set)  # Of those, the ones that are.
    last: int = -1  # Highest offset admitted.
    position: int | None = None  # Everything below is published: what may be committed.
    committed: int | None = None


class Sequencer(Generic[Result]):
    """Keeps the order of every assigned partition. Not thread-safe: it lives on the event loop."""

    def __init__(self) -> None:
        self._partitions: dict[TopicPartition, _Partition[Result]] = {}
        self._generation = 0

    def assign(self, partitions: Iterable[TopicPartition]) -> int:
        """Start over with these partitions and forget their state; returns their generation."""
        self._generation += 1
        for partition in partitions:
            self._partitions[partition] = _Partition(self._generation)
        return self._generation

    def revoke(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget these partitions; their completions to come will be ignored."""
        for partition in partitions:
            self._partitions.pop(partition, None)

    @property
    def assigned(self) -> frozenset[TopicPartition]:
        return frozenset(self._partitions)

    def generation(self, partition: TopicPartition) -> int | None:
        """Of this partition's assignment; None where it is not assigned."""
        state = self._partitions.get(partition)
        return None if state is None else state.generation

    def admit(self, partition: TopicPartition, offset: int) -> Ticket | None:
        """Take in a record, in the order of offsets; None where the partition is not assigned.

        Raises OffsetRegression for an offset that is not above the last.
        """
        state = self._partitions.get(partition)
        if state is None:
            return None
        if offset <= state.last:
            raise OffsetRegression(
                f"{partition} went back from offset {state.last} to {offset}: was it truncated or recreated?"
            )
        state.last = offset
        state.admitted.append(offset)
        return Ticket(partition, state.generation, offset)

    def complete(self, ticket: Ticket, result: Result) -> bool:
        """Take in a result; False, and nothing kept, when the ticket is of an older generation."""
        state = self._partitions.get(ticket.partition)
        if state is None or state.generation != ticket.generation:
            return False
        state.completed[ticket.offset] = result
        return True

    def release(self, partition: TopicPartition, limit: int) -> Release[Result] | None:
        """The completed results at the head of a partition, at most `limit`; None when there is none."""
        state = self._partitions.get(partition)
        if state is None:
            return None
        admitted, completed = state.admitted, state.completed
        results: list[Result] = []
        offset = -1
        while admitted and admitted[0] in completed and len(results) < limit:
            offset = admitted.popleft()
            results.append(completed.pop(offset))
        if not results:
            return None
        state.releases.append(offset + 1)
        return Release(partition, state.generation, results, offset + 1)

    def acknowledge(self, release: Release[Result]) -> None:
        """A release is published; the position moves once those before it are published as well."""
        state = self._partitions.get(release.partition)
        if state is None or state.generation != release.generation:
            return
        state.acknowledged.add(release.next_offset)
        while state.releases and state.releases[0] in state.acknowledged:
            state.position = state.releases.popleft()
            state.acknowledged.discard(state.position)

    def positions(self) -> dict[TopicPartition, int]:
        """Next offset to commit of every partition where it has moved since the last commit."""
        return {
            partition: state.position
            for partition, state in self._partitions.items()
            if state.position is not None and state.position != state.committed
        }

    def committed(self, positions: dict[TopicPartition, int]) -> None:
        """Note what was committed."""
        for partition, position in positions.items():
            if (state := self._partitions.get(partition)) is not None:
                state.committed = position

    def unfinished(self, partitions: Iterable[TopicPartition]) -> int:
        """How many records of these partitions are admitted but not released, plus releases not yet acknowledged."""
        states = (self._partitions.get(partition) for partition in partitions)
        return sum(len(state.admitted) + len(state.releases) for state in states if state is not None)
