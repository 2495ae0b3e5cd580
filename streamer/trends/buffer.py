"""What a worker has counted and not yet published, by partition: what its next commits publish."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streamer.events import TopicPartition, TrendSample
from streamer.trends.message import CountDelta, Epoch

_MAX_CELLS = 5_000
_MAX_BYTES = 400_000  # Of a message's value, about: below the producer's batches.
_CELL_BYTES = 48  # Of a cell as JSON, without its group.
_COLUMN: dict[str, int] = {"positive": 2, "negative": 3, "uncertain": 4}


def next_epoch(last: CountDelta | None, generation: int, now: int) -> tuple[Epoch, int]:
    """The epoch of a partition's new owner, and the offset from which on it counts.

    last: what it finds as the partition's last counts in the trends topic. generation: of the consumer group. now: in
    milliseconds since the epoch.

    Of two owners who find the same counts the later has the higher generation; or the same one, where a static member
    has come back, and a later time. Without any counts the time stands in for the last epoch: it is above all epochs
    that the topic's retention may have deleted.
    """
    epoch, begin = (now, 0) if last is None else (last.epoch[0], last.end)
    return (epoch + 1 + generation, now), begin


class _Added(NamedTuple):
    """A release: the offsets of its records, and what there is to count of each."""

    next_offset: int
    records: Sequence[tuple[int, TrendSample | None]]


@dataclass(slots=True)
class _Partition:
    epoch: Epoch
    begin: int  # Everything below is counted, by us or by those before us.
    started: bool = False  # Whether anything was counted by us.
    added: deque[_Added] = field(default_factory=deque)


class CountBuffer:
    """Each record of each assigned partition, counted once. Not thread-safe: it lives on the event loop."""

    def __init__(self) -> None:
        self._partitions: dict[TopicPartition, _Partition] = {}

    def assign(self, partition: TopicPartition, epoch: Epoch, begin: int) -> None:
        """Begin anew: records below `begin` are counted already, by owners of lower epochs."""
        self._partitions[partition] = _Partition(epoch, begin)

    def revoke(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget these partitions, with what was not published."""
        for partition in partitions:
            self._partitions.pop(partition, None)

    def add(
        self, partition: TopicPartition, next_offset: int, records: Sequence[tuple[int, TrendSample | None]]
    ) -> None:
        """Take in consecutive records of a partition, after those before: each with its offset, and what it counts.

        Nothing happens where the partition is not assigned, or all are counted already.
        """
        state = self._partitions.get(partition)
        if state is None or next_offset <= state.begin:
            return
        if not state.started:
            # What came before the first record is not ours to have counted.
            records = [record for record in records if record[0] >= state.begin]
            state.begin = max(state.begin, records[0][0]) if records else state.begin
            state.started = True
        state.added.append(_Added(next_offset, records))

    def pending(self, partition: TopicPartition, position: int) -> list[CountDelta]:
        """What is to be published so that everything below `position` is: in order, none where it is already.

        The same again until `published`, and more once `position` is higher.
        """
        state = self._partitions.get(partition)
        if state is None:
            return []
        found: list[CountDelta] = []
        begin, end, room = state.begin, state.begin, _MAX_BYTES
        cells: dict[tuple[int, str | None], list[int | str | None]] = {}
        for added in state.added:
            if added.next_offset > position:
                break
            for offset, sample in added.records:
                if sample is None:
                    continue
                second, group, label, score = sample
                cell = cells.get((second, group))
                if cell is None:
                    size = _CELL_BYTES + (6 * len(group) if group else 0)  # A control character takes six bytes.
                    if len(cells) == _MAX_CELLS or size > room:
                        found.append(CountDelta(partition, begin, offset, state.epoch, list(cells.values())))
                        begin, cells, room = offset, {}, _MAX_BYTES
                    room -= size
                    cell = cells[second, group] = [second, group, 0, 0, 0, 0]
                cell[_COLUMN[label]] += 1  # type: ignore[operator]  # The group alone is no number.
                cell[5] += score  # type: ignore[operator]
            end = added.next_offset
        if end > begin:
            found.append(CountDelta(partition, begin, end, state.epoch, list(cells.values())))
        return found

    def published(self, last: CountDelta) -> None:
        """The last of what `pending` gave, and all before it, is published. Ignored when the assignment is over."""
        state = self._partitions.get(last.source)
        if state is None or state.epoch != last.epoch:
            return
        while state.added and state.added[0].next_offset <= last.end:
            state.begin = state.added.popleft().next_offset
