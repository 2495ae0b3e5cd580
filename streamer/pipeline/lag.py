"""What is in flight, how far behind the end each partition is, and whether the worker makes progress."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from streamer.events import TopicPartition


class Lag(NamedTuple):
    """How far behind the end of a partition: in records, and in seconds since the last published one was created."""

    records: int
    seconds: float


@dataclass(slots=True)
class _Partition:
    generation: int
    in_flight: int = 0
    read_to: int | None = None  # Next offset to be read.
    done_to: int | None = None  # Next offset to be published.
    created_at: float = 0.0  # When the last one published was created.


@dataclass(slots=True)
class LagTracker:
    """Pure: the caller passes the time. `now` is monotonic, `wall` is seconds since the epoch."""

    tokens_in_flight: int = 0  # Admitted, not yet acknowledged, of partitions that are still ours.
    _partitions: dict[TopicPartition, _Partition] = field(default_factory=dict)
    _joined: bool = False
    _moved_at: float = 0.0

    def assign(self, partitions: Collection[TopicPartition], generation: int, now: float) -> None:
        """Start over with these partitions."""
        self._joined = True
        self._moved_at = now
        self.revoke(partitions)
        for partition in partitions:
            self._partitions[partition] = _Partition(generation)

    def revoke(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget these partitions and what they had in flight."""
        for partition in partitions:
            if (state := self._partitions.pop(partition, None)) is not None:
                self.tokens_in_flight -= state.in_flight

    def admitted(self, partition: TopicPartition, offset: int, tokens: int, now: float) -> None:
        """A record was admitted."""
        state = self._partitions[partition]
        if not self.tokens_in_flight:
            self._moved_at = max(self._moved_at, now)  # Idle until now: progress is expected from here on.
        if state.done_to is None:
            state.done_to = offset
        state.read_to = offset + 1
        state.in_flight += tokens
        self.tokens_in_flight += tokens

    def published(
        self, partition: TopicPartition, generation: int, next_offset: int, tokens: int, created_at: float, now: float
    ) -> None:
        """Records up to `next_offset` are acknowledged; ignored when their assignment is over."""
        state = self._partitions.get(partition)
        if state is None or state.generation != generation:
            return
        state.in_flight -= tokens
        self.tokens_in_flight -= tokens
        state.done_to = next_offset
        state.created_at = created_at
        self._moved_at = now

    def positions(self, positions: Mapping[TopicPartition, int]) -> None:
        """The source reads on from these offsets: offsets below them that hold no record are no lag."""
        for partition, position in positions.items():
            if (state := self._partitions.get(partition)) is not None and state.read_to is not None:
                state.read_to = max(state.read_to, position)

    def lags(self, ends: Mapping[TopicPartition, int], wall: float) -> dict[TopicPartition, Lag]:
        """Lag by partition, given the end offsets; a partition of which nothing was read yet is left out."""
        lags = {}
        for partition, end in ends.items():
            state = self._partitions.get(partition)
            if state is None or state.done_to is None:
                continue
            # All that was read is finished: offsets up to the read position that hold no record are no lag.
            done = state.done_to if state.in_flight else max(state.done_to, state.read_to or 0)
            records = max(0, end - done)
            lags[partition] = Lag(
                records, max(0.0, wall - state.created_at) if records and state.created_at > 0 else 0.0
            )
        return lags

    def not_ready_reason(
        self, ends: Mapping[TopicPartition, int], now: float, wall: float, stalled_after: float
    ) -> str | None:
        """Why the worker is not ready; None when it is: in the group, and moving while there is lag."""
        if not self._joined:
            return "no assignment yet"
        idle = now - self._moved_at
        if idle > stalled_after and any(lag.records for lag in self.lags(ends, wall).values()):
            return f"no progress for {idle:.0f} s while there is lag"
        return None
