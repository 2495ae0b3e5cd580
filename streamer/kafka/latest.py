"""The last counts of each source in the trends topic: where a new owner of its partition goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError

from streamer.events import Message, TopicPartition
from streamer.kafka.cluster import connected
from streamer.kafka.errors import KafkaFault, TopicMissing
from streamer.kafka.producer import partition_for
from streamer.kafka.protocol import Operation
from streamer.kafka.security import client_options
from streamer.settings import KafkaSettings
from streamer.trends import CountDelta, decode, source_key

_STEP = 16  # Offsets; each step back is so many times the one before.
_FARTHEST = 20_000  # Offsets before the end. With a partition for each source, its last message is at the very end.
_POLL_MS = 200


async def latest(
    kafka: KafkaSettings, topic: str, sources: Collection[TopicPartition], seconds: float
) -> dict[TopicPartition, CountDelta]:
    """The last committed counts of each of these sources that has any, within the last 20,000 offsets of its partition.

    Raises TopicMissing, and KafkaFault where the cluster refuses or takes longer than so many seconds.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _latest(kafka, topic, sources)
    except TimeoutError:
        raise KafkaFault(f"topic {topic!r}: the last counts were not read within {seconds:g} s") from None
    except KafkaError as error:
        raise KafkaFault(f"topic {topic!r}: {str(error) or type(error).__name__}") from None


async def _latest(
    kafka: KafkaSettings, topic: str, sources: Collection[TopicPartition]
) -> dict[TopicPartition, CountDelta]:
    async with connected(kafka) as cluster:
        there = await cluster.topic(topic)
    if there is None:
        raise TopicMissing(topic)
    if there.allowed is not None and Operation.READ not in there.allowed:
        raise KafkaFault(f"topic {topic!r}: not allowed to read it, and so to see what is counted already")
    wanted: dict[KafkaPartition, set[TopicPartition]] = {}
    for source in sources:
        wanted.setdefault(KafkaPartition(topic, where(topic, source, there.partitions)), set()).add(source)
    consumer = AIOKafkaConsumer(
        **client_options(kafka), group_id=None, enable_auto_commit=False, isolation_level="read_committed"
    )
    consumer.assign(list(wanted))
    try:
        await consumer.start()
        return await _read_back(consumer, wanted)
    finally:
        await consumer.stop()


def where(topic: str, source: TopicPartition, partitions: int) -> int:
    """The partition of the trends topic that has a source's messages: the one of its number, where there is one."""
    message = Message(topic, source_key(source), None, (), 0, source.partition, source.partition)
    return partition_for(message, partitions)


async def _read_back(
    consumer: AIOKafkaConsumer, wanted: dict[KafkaPartition, set[TopicPartition]]
) -> dict[TopicPartition, CountDelta]:
    """From the end, in ever longer steps, as far as something is missing."""
    firsts, ends = await consumer.beginning_offsets(list(wanted)), await consumer.end_offsets(list(wanted))
    found: dict[TopicPartition, CountDelta] = {}
    upto, step = dict(ends), _STEP
    while True:
        begins = {
            partition: max(firsts[partition], upto[partition] - step, ends[partition] - _FARTHEST)
            for partition, sources in wanted.items()
            if not sources <= found.keys()
        }
        begins = {partition: begin for partition, begin in begins.items() if begin < upto[partition]}
        if not begins:
            return {source: counted for source, counted in found.items() if source in set().union(*wanted.values())}
        for source, counted in (await _read(consumer, begins, upto)).items():
            found.setdefault(source, counted)  # What was found before is later.
        upto |= begins
        step *= _STEP


async def _read(
    consumer: AIOKafkaConsumer, begins: dict[KafkaPartition, int], ends: dict[KafkaPartition, int]
) -> dict[TopicPartition, CountDelta]:
    """The last counts of each source within these offsets."""
    found: dict[TopicPartition, CountDelta] = {}
    for partition, begin in begins.items():
        consumer.seek(partition, begin)
    left = set(begins)
    while left:
        consumer.pause(*(consumer.assignment() - left))
        consumer.resume(*left)
        polled = await consumer.getmany(*left, timeout_ms=_POLL_MS)
        for partition, records in polled.items():
            for counted in _counts([record.value for record in records if record.offset < ends[partition]]):
                found[counted.source] = counted
        left = {partition for partition in left if await consumer.position(partition) < ends[partition]}
    return found


def _counts(values: Sequence[bytes | None]) -> list[CountDelta]:
    return [counted for value in values if (counted := decode(value)) is not None]
