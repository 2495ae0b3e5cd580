"""Reads a topic without a consumer group: forwards (watch, replay, demo, dashboard), or backwards from its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from types import TracebackType
from typing import Literal, Self

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError

from streamer.events import Message, Record, TopicPartition
from streamer.kafka.cluster import connected
from streamer.kafka.errors import KafkaFault, TopicMissing, describe
from streamer.kafka.patches import cancelled_by_caller, stop_consumer
from streamer.kafka.producer import partition_for
from streamer.kafka.protocol import Operation
from streamer.kafka.records import to_record
from streamer.kafka.security import client_options
from streamer.settings import KafkaSettings

_FETCH_BYTES, _FETCH_WAIT_MS = 1 << 20, 500  # aiokafka's own defaults.
# The number of offsets in the first chunk that is read backwards, and the factor for each later one.
_FIRST_CHUNK, _CHUNK_GROWTH = 16, 16
_POLL_MS = 200


class TopicReader:
    """Reads all partitions of a topic, inside its `async with` block.

    It is a member of no group, so no rebalance takes partitions away from it. It does not see partitions that are added
    later. Entering raises BrokerUnreachable and TopicMissing; everything raises KafkaFault if the cluster refuses it.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        *,
        start: Literal["beginning", "end"] = "end",
        since_ms: int | None = None,
        group_id: str | None = None,
        fetch_bytes: int = _FETCH_BYTES,
        fetch_wait_ms: int = _FETCH_WAIT_MS,
    ) -> None:
        """Reading begins at `start`, unless one of these is given:

        since_ms: begin at the first record of that time (milliseconds since the epoch), and omit older ones.
        group_id: begin at the offsets committed in this group, which `commit` moves. Nothing keeps a second such reader
            from reading the same records.

        fetch_bytes: about how much to fetch from a partition at a time.
        fetch_wait_ms: how long the broker waits for new records before it answers; `ends` waits for that too.
        """
        self._kafka = kafka
        self._topic = topic
        self._start = start
        self._since_ms = since_ms
        self._group_id = group_id
        self._fetch_bytes = fetch_bytes
        self._fetch_wait_ms = fetch_wait_ms
        self._partitions: list[KafkaPartition] = []

    async def __aenter__(self) -> Self:
        async with connected(self._kafka) as cluster:
            topic = await cluster.topic(self._topic)
        if topic is None:
            raise TopicMissing(self._topic)
        self._partitions = [KafkaPartition(self._topic, number) for number in range(topic.partitions)]
        self._consumer = AIOKafkaConsumer(
            **client_options(self._kafka),
            group_id=self._group_id,
            auto_offset_reset="earliest",  # If retention deletes records before they are read.
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_partition_fetch_bytes=self._fetch_bytes,
            fetch_max_wait_ms=self._fetch_wait_ms,
        )
        self._consumer.assign(self._partitions)
        try:
            with _faults(self._kafka, self._topic):
                await self._consumer.start()
                for partition, offset in (await self._start_offsets()).items():
                    self._consumer.seek(partition, offset)
        except BaseException:
            await stop_consumer(self._consumer)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await stop_consumer(self._consumer)

    async def poll(self, wait: float, max_records: int | None = None) -> list[Record]:
        """The next records, in order within each partition; empty if none arrive within `wait` seconds."""
        limit = max_records or self._kafka.max_poll_records
        with _faults(self._kafka, self._topic):
            polled = await self._consumer.getmany(timeout_ms=int(wait * 1000), max_records=limit)
        return [
            to_record(r)
            for records in polled.values()
            for r in records
            if self._since_ms is None or r.timestamp >= self._since_ms
        ]

    async def positions(self) -> dict[TopicPartition, int]:
        """The next offset that `poll` reads in each partition, after any offsets without a record."""
        return {TopicPartition(*partition): await self._consumer.position(partition) for partition in self._partitions}

    async def ends(self) -> dict[TopicPartition, int]:
        """The current end of each partition, before any transaction that is still open."""
        with _faults(self._kafka, self._topic):
            ends = await self._consumer.end_offsets(self._partitions)
        return {TopicPartition(*partition): end for partition, end in ends.items()}

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Continue from these offsets. Drops records that were fetched but not polled yet."""
        for partition, offset in positions.items():
            self._consumer.seek(KafkaPartition(*partition), offset)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit the next offset of each partition in the group; needs a `group_id`."""
        with _faults(self._kafka, self._topic):
            # aiokafka itself never stops trying while the coordinator is away.
            async with asyncio.timeout(self._kafka.request_timeout_ms / 1000):
                await self._consumer.commit({KafkaPartition(*partition): at for partition, at in positions.items()})

    async def _start_offsets(self) -> dict[KafkaPartition, int]:
        """The first offset to read, by partition."""
        consumer, partitions = self._consumer, self._partitions
        first = await consumer.beginning_offsets(partitions)
        if self._group_id is not None:
            committed = {partition: await consumer.committed(partition) for partition in partitions}
            return {partition: first[partition] if at is None else at for partition, at in committed.items()}
        if self._since_ms is None and self._start == "beginning":
            return dict(first)
        ends = await consumer.end_offsets(partitions)  # Before the look-up: records may arrive in between.
        if self._since_ms is None:
            return dict(ends)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, self._since_ms))
        if not any(found.values()) and not any(
            (await consumer.offsets_for_times(dict.fromkeys(partitions, 0))).values()
        ):
            return dict(first)  # Nothing since 1970: this broker has no index by time.
        return {partition: ends[partition] if at is None else at.offset for partition, at in found.items()}


@contextlib.asynccontextmanager
async def read_backwards(
    kafka: KafkaSettings, topic: str, seconds: float, max_offsets: int = 20_000
) -> AsyncIterator[BackwardReader]:
    """A reader that reads the topic backwards from its current ends.

    seconds: how long it may be used. max_offsets: how far back it reads in each partition. Raises
    BrokerUnreachable, TopicMissing, and KafkaFault if the cluster refuses it or the time is up.
    """
    try:
        async with asyncio.timeout(seconds):
            async with connected(kafka) as cluster:
                found = await cluster.topic(topic)
            if found is None:
                raise TopicMissing(topic)
            if found.authorized_operations is not None and Operation.READ not in found.authorized_operations:
                raise KafkaFault(f"topic {topic!r}: not allowed to read it")
            partitions = [KafkaPartition(topic, number) for number in range(found.partitions)]
            consumer = AIOKafkaConsumer(
                **client_options(kafka), group_id=None, enable_auto_commit=False, isolation_level="read_committed"
            )
            consumer.assign(partitions)
            consumer.pause(*partitions)
            try:
                with _faults(kafka, topic):
                    await consumer.start()
                    beginnings = await consumer.beginning_offsets(partitions)
                    ends = await consumer.end_offsets(partitions)
                    limits = {tp: max(beginnings[tp], end - max_offsets) for tp, end in ends.items()}
                    yield BackwardReader(consumer, limits, ends)
            finally:
                await stop_consumer(consumer)
    except TimeoutError:
        raise KafkaFault(f"topic {topic!r}: its end was not read within {seconds:g} s") from None


class BackwardReader:
    """Reads the records of a topic's partitions in chunks, newest chunk first. Created by `read_backwards`.

    Records of aborted and of open transactions are omitted.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, limits: Mapping[KafkaPartition, int], ends: Mapping[KafkaPartition, int]
    ) -> None:
        """limits: the lowest offset to read, by partition. ends: the offsets from which to read backwards."""
        self._consumer = consumer
        self._limits = limits
        self._before = dict(ends)  # Everything from this offset on has been read.
        self._chunk = dict.fromkeys(ends, _FIRST_CHUNK)

    def partition_for(self, message: Message) -> int:
        """The partition that a message of this topic is published to."""
        return partition_for(message, len(self._before))

    async def previous(self, partitions: Collection[int]) -> dict[int, list[Record]]:
        """The records before those of the last call, in order, by partition: about 16 times as many each time.

        A partition is omitted if it has no earlier records, or if its limit is reached.
        """
        begins: dict[KafkaPartition, int] = {}
        for tp, before in self._before.items():
            if tp.partition in partitions and before > self._limits[tp]:
                begins[tp] = max(self._limits[tp], before - self._chunk[tp])
                self._chunk[tp] *= _CHUNK_GROWTH
        records = await self._read(begins)
        self._before |= begins
        return {tp.partition: found for tp, found in records.items()}

    async def _read(self, begins: Mapping[KafkaPartition, int]) -> dict[KafkaPartition, list[Record]]:
        """The records of each of these partitions, from the given offset up to those already read."""
        found: dict[KafkaPartition, list[Record]] = {partition: [] for partition in begins}
        for partition, begin in begins.items():
            self._consumer.seek(partition, begin)
        unfinished = set(begins)
        while unfinished:
            self._consumer.pause(*(self._consumer.assignment() - unfinished))
            self._consumer.resume(*unfinished)
            polled = await self._consumer.getmany(*unfinished, timeout_ms=_POLL_MS)
            for partition, records in polled.items():
                found[partition] += [to_record(r) for r in records if r.offset < self._before[partition]]
            unfinished = {tp for tp in unfinished if await self._consumer.position(tp) < self._before[tp]}
        return found


@contextlib.contextmanager
def _faults(kafka: KafkaSettings, topic: str) -> Iterator[None]:
    """Converts errors of Kafka and of the network to KafkaFault."""
    try:
        yield
    except (KafkaError, OSError) as error:
        raise KafkaFault(f"topic {topic!r} at {kafka.bootstrap_servers}: {describe(error)}") from None
    except asyncio.CancelledError:
        if cancelled_by_caller():
            raise
        raise KafkaFault(f"topic {topic!r} at {kafka.bootstrap_servers}: the connection was closed") from None
