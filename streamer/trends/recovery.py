"""Finds the last counts of each source in the trends topic: a new owner of its partition continues from there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from streamer.events import Message, Record, TopicPartition
from streamer.trends.message import CountDelta, decode, source_key


class EndReader(Protocol):
    """Reads a topic backwards from its end: `streamer.kafka.BackwardReader`."""

    def partition_for(self, message: Message) -> int:
        """The partition of the topic that a message is published to."""
        ...

    async def previous(self, partitions: Collection[int]) -> Mapping[int, Sequence[Record]]:
        """The records before those of the last call, in order, by partition.

        A partition is omitted if no earlier records can be read.
        """
        ...


OpenEndReader = Callable[[], AbstractAsyncContextManager[EndReader]]


async def last_counts(
    open_reader: OpenEndReader, topic: str, sources: Collection[TopicPartition]
) -> dict[TopicPartition, CountDelta]:
    """The last committed counts of each of these sources, if the reader reaches them.

    Raises what the reader raises.
    """
    async with open_reader() as reader:
        missing: dict[int, set[TopicPartition]] = {}
        for source in sources:
            missing.setdefault(reader.partition_for(_message_of(topic, source)), set()).add(source)
        found: dict[TopicPartition, CountDelta] = {}
        while missing:
            chunks = await reader.previous(missing.keys())
            for partition, records in chunks.items():
                for counts in map(decode, (record.value for record in reversed(records))):
                    if counts is not None and counts.source in missing[partition]:
                        found[counts.source] = counts
                        missing[partition].remove(counts.source)
            missing = {partition: left for partition, left in missing.items() if left and partition in chunks}
        return found


def _message_of(topic: str, source: TopicPartition) -> Message:
    """A message like those that publish the source's counts, but without a value."""
    return Message(
        topic=topic,
        key=source_key(source),
        value=None,
        headers=(),
        timestamp=0,
        source_partition=source.partition,
        partition=source.partition,
    )
