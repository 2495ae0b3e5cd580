"""Reads all of one topic beside the groups that share it out: what watch, replay, demo and dashboard follow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Literal, Self

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError

from streamer.events import Record, TopicPartition
from streamer.kafka.cluster import connected
from streamer.kafka.errors import KafkaFault, TopicMissing
from streamer.kafka.security import client_options
from streamer.settings import KafkaSettings

_FETCH_BYTES, _FETCH_WAIT_MS = 1 << 20, 500  # aiokafka's own defaults.


class TopicReader:
    """One reader of all partitions of a topic, inside its `async with` block.

    It is a member of no group, so nobody takes partitions away from it; partitions that the topic gets later are
    not seen. Entering raises BrokerUnreachable and TopicMissing, everything KafkaFault where the cluster refuses.
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
        """Reading begins at `start`, unless there is

        since_ms: the first record of that time (milliseconds since the epoch); older ones are left out.
        group_id: the offsets committed in this group, which `commit` moves on. One such reader at a time: two would
            read the same, and nothing stops them.

        fetch_bytes: of a partition at a time, about; little for who looks at samples.
        fetch_wait_ms: how long the broker waits for something to answer; `ends` waits behind that.
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
            auto_offset_reset="earliest",  # Where retention has overtaken us.
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_partition_fetch_bytes=self._fetch_bytes,
            fetch_max_wait_ms=self._fetch_wait_ms,
        )
        self._consumer.assign(self._partitions)
        try:
            with self._faults():
                await self._consumer.start()
                for partition, offset in (await self._begin()).items():
                    self._consumer.seek(partition, offset)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def poll(self, wait: float, most: int | None = None) -> list[Record]:
        """The next records, each partition's in order, at most so many; none after `wait` seconds without any."""
        most = most or self._kafka.max_poll_records
        with self._faults():
            polled = await self._consumer.getmany(timeout_ms=int(wait * 1000), max_records=most)
        return [
            Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
            for records in polled.values()
            for r in records
            if self._since_ms is None or r.timestamp >= self._since_ms
        ]

    async def positions(self) -> dict[TopicPartition, int]:
        """The next offset that `poll` looks at in each partition; offsets without a record to read are passed too."""
        return {TopicPartition(*partition): await self._consumer.position(partition) for partition in self._partitions}

    async def ends(self) -> dict[TopicPartition, int]:
        """Where each partition ends right now, by what is committed of transactions."""
        with self._faults():
            ends = await self._consumer.end_offsets(self._partitions)
        return {TopicPartition(*partition): end for partition, end in ends.items()}

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets; what was fetched and not yet polled is forgotten."""
        for partition, offset in positions.items():
            self._consumer.seek(KafkaPartition(*partition), offset)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Make the next offset of each partition the group's place to go on from; without a group it cannot."""
        with self._faults():
            # aiokafka itself retries without an end while the coordinator is away.
            async with asyncio.timeout(self._kafka.request_timeout_ms / 1000):
                await self._consumer.commit({KafkaPartition(*partition): at for partition, at in positions.items()})

    async def _begin(self) -> dict[KafkaPartition, int]:
        """The offset to begin at in each partition."""
        consumer, partitions = self._consumer, self._partitions
        first = await consumer.beginning_offsets(partitions)
        if self._group_id is not None:
            committed = {partition: await consumer.committed(partition) for partition in partitions}
            return {partition: first[partition] if at is None else at for partition, at in committed.items()}
        if self._since_ms is None and self._start == "beginning":
            return dict(first)
        ends = await consumer.end_offsets(partitions)  # Before the look-up: what comes in between is not to be lost.
        if self._since_ms is None:
            return dict(ends)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, self._since_ms))
        if not any(found.values()) and not any(
            (await consumer.offsets_for_times(dict.fromkeys(partitions, 0))).values()
        ):
            return dict(first)  # Nothing even since 1970: this broker has no index by time.
        return {partition: ends[partition] if at is None else at.offset for partition, at in found.items()}

    async def _close(self) -> None:
        try:
            await self._consumer.stop()
        except asyncio.CancelledError:  # Of aiokafka's own tasks, where the broker is away.
            if _cancelled():
                raise

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (KafkaError, OSError) as error:
            why = str(error) or type(error).__name__
            raise KafkaFault(f"topic {self._topic!r} at {self._kafka.bootstrap_servers}: {why}") from None
        except asyncio.CancelledError:
            # aiokafka cancels what waits on a connection that is closed.
            if _cancelled():
                raise
            why = "the connection was closed"
            raise KafkaFault(f"topic {self._topic!r} at {self._kafka.bootstrap_servers}: {why}") from None


def _cancelled() -> bool:
    """Whether it is this very task that somebody has cancelled."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
