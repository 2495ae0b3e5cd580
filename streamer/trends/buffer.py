"""A worker's counts that are not yet published, by partition. The next commits publish them. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamer.events import TopicPartition, TrendSample
from streamer.trends.message import CountDelta, Epoch

_MAX_CELLS = 5_000
_MAX_BYTES = 400_000  # Of a message's value, roughly: less than the producer's batch size.
_CELL_BYTES = 30  # Of a cell as JSON, without its group and its counts.
_COUNT_BYTES = 6
_CHARACTER_BYTES = 6  # A control character takes this many: \\u0001.


def next_epoch(last: CountDelta | None, generation: int, now: int) -> tuple[Epoch, int]:
    """The epoch of a partition's new owner, and the offset from which it counts.

    last: the partition's last counts in the trends topic that the new owner sees. generation: of the consumer group.
    now: in milliseconds since the epoch.

    Of two owners that find the same counts, the later one has the higher generation, or, if a static member has come
    back, the same generation and a later time. If there are no counts, the time replaces the last epoch: it is higher
    than any epoch that the topic's retention may have deleted.
    """
    epoch, begin = (now, 0) if last is None else (last.epoch[0], last.end)
    return (epoch + 1 + generation, now), begin


class _Release(NamedTuple):
    """Records that were released together: their offsets and samples, with the labels of the model."""

    next_offset: int
    records: Sequence[tuple[int, TrendSample | None]]
    labels: tuple[str, ...]


@dataclass(slots=True)
class _Partition:
    epoch: Epoch
    begin: int  # Everything below is counted, by this worker or by earlier owners.
    started: bool = False  # Whether this worker has counted anything.
    releases: deque[_Release] = field(default_factory=deque)


class _Cells:
    """The cells of one message while it is built."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self._column = {label: place for place, label in enumerate(labels, 2)}
        self._empty = [0] * (len(labels) + 1)
        self._cell_bytes = _CELL_BYTES + _COUNT_BYTES * len(labels)
        self._room = _MAX_BYTES - _CHARACTER_BYTES * sum(map(len, labels))
        self._cells: dict[tuple[int, str | None], list[Any]] = {}

    def add(self, sample: TrendSample) -> bool:
        """Count a record. Returns False, and counts nothing, if the message has no room for it."""
        second, group, label, score = sample
        cell = self._cells.get((second, group))
        if cell is None:
            size = self._cell_bytes + (_CHARACTER_BYTES * len(group) if group else 0)
            if self._cells and (len(self._cells) == _MAX_CELLS or size > self._room):
                return False
            self._room -= size
            cell = self._cells[second, group] = [second, group, *self._empty]
        cell[self._column[label]] += 1
        cell[-1] += score
        return True

    def as_list(self) -> list[list[Any]]:
        return list(self._cells.values())


class CountBuffer:
    """Counts each record of each assigned partition once. Not thread-safe: use it on the event loop only.

    labels: the model's, in the order of `LabelSet.columns`. Set it when the model changes; records added before keep
    their labels.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._partitions: dict[TopicPartition, _Partition] = {}

    def assign(self, partition: TopicPartition, epoch: Epoch, begin: int) -> None:
        """Start over: records below `begin` are already counted, by owners with lower epochs."""
        self._partitions[partition] = _Partition(epoch, begin)

    def revoke(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget these partitions and their unpublished counts."""
        for partition in partitions:
            self._partitions.pop(partition, None)

    def add(
        self, partition: TopicPartition, next_offset: int, records: Sequence[tuple[int, TrendSample | None]]
    ) -> None:
        """Add the next consecutive records of a partition: each with its offset and its sample, None if it has none.

        Does nothing if the partition is not assigned, or if all of them are already counted.
        """
        state = self._partitions.get(partition)
        if state is None or next_offset <= state.begin:
            return
        if not state.started:
            # Earlier owners have counted everything before the first record.
            records = [record for record in records if record[0] >= state.begin]
            state.begin = max(state.begin, records[0][0]) if records else state.begin
            state.started = True
        state.releases.append(_Release(next_offset, records, self.labels))

    def pending(self, partition: TopicPartition, position: int) -> list[CountDelta]:
        """The messages, in order, that publish all counts below `position`; empty if they are already published.

        Returns the same until `published` is called, and more when `position` is higher. A message has one list of
        labels, so a new one begins where the labels change.
        """
        state = self._partitions.get(partition)
        if state is None:
            return []
        found: list[CountDelta] = []
        begin = end = state.begin
        cells = _Cells(self.labels)
        for release in state.releases:
            if release.next_offset > position:
                break
            if release.labels != cells.labels:
                if end > begin:
                    found.append(CountDelta(partition, begin, end, state.epoch, cells.as_list(), cells.labels))
                begin, cells = end, _Cells(release.labels)
            for offset, sample in release.records:
                if sample is None or cells.add(sample):
                    continue
                found.append(CountDelta(partition, begin, offset, state.epoch, cells.as_list(), cells.labels))
                begin, cells = offset, _Cells(release.labels)
                cells.add(sample)
            end = release.next_offset
        if end > begin:
            found.append(CountDelta(partition, begin, end, state.epoch, cells.as_list(), cells.labels))
        return found

    def published(self, last: CountDelta) -> None:
        """`last`, returned by `pending`, and all before it are published. Ignored if the assignment has ended."""
        state = self._partitions.get(last.source)
        if state is None or state.epoch != last.epoch:
            return
        while state.releases and state.releases[0].next_offset <= last.end:
            state.begin = state.releases.popleft().next_offset
