"""Publishes messages in batches: one future a batch instead of one a message, in order per partition."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Generator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.partitioner import murmur2

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.kafka.consumer import Consumer
from streamer.kafka.errors import BrokerUnreachable, PublishRefused, TopicMissing
from streamer.kafka.security import client_options
from streamer.settings import KafkaSettings

log = logging.getLogger(__name__)

# Well below the broker's default limit of 1 MiB a batch; one message alone may be larger.
_BATCH_BYTES = 512 * 1024
_RETRY_SECONDS = 0.5


@lru_cache(maxsize=8192)  # aiokafka's murmur2 is pure Python, and keys come again.
def _hash(key: bytes) -> int:
    hashed: int = murmur2(key)
    return hashed & 0x7FFFFFFF


def partition_for(message: Message, partitions: int) -> int:
    """Kafka's default partitioner (murmur2 of the key); without a key, the source's partition."""
    if message.partition is not None and message.partition < partitions:
        return message.partition
    return (message.source_partition if message.key is None else _hash(message.key)) % partitions


class Publisher:
    """An idempotent producer with acks=all: what is acknowledged is replicated, once and in order."""

    def __init__(self, kafka: KafkaSettings, compression: str) -> None:
        self._bootstrap = kafka.bootstrap_servers
        self._producer = AIOKafkaProducer(
            **client_options(kafka),
            acks="all",
            enable_idempotence=True,
            compression_type=None if compression == "none" else compression,
            max_batch_size=_BATCH_BYTES,
        )

    async def start(self, *topics: str) -> None:
        """Connect. Raises BrokerUnreachable, or TopicMissing where one of `topics` is not there."""
        try:
            await self._producer.start()
            existing = (await self._producer.client.fetch_all_metadata()).topics()
            if missing := [topic for topic in topics if topic not in existing]:
                raise TopicMissing(missing[0])
        except BaseException as error:
            await self._producer.stop()
            if isinstance(error, KafkaError | OSError):
                raise BrokerUnreachable(f"kafka.bootstrap_servers {self._bootstrap}: {error}") from None
            raise

    async def stop(self) -> None:
        """Send what is waiting and close the connections."""
        await self._producer.stop()

    async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
        """Hand messages over, in this order; the awaitable returned ends once all are acknowledged.

        Errors that may pass are retried, in order. The awaitable raises PublishRefused where the broker refuses a
        message for good, or a partition has had no leader for the request timeout: what came after it may have been
        published, so nothing after it may be committed.
        """
        grouped: dict[tuple[str, int], list[Message]] = {}
        for message in messages:
            count = await self._partitions(message.topic)
            grouped.setdefault((message.topic, partition_for(message, count)), []).append(message)
        futures: list[tuple[str, asyncio.Future[Any]]] = []
        for (topic, partition), group in grouped.items():
            batch = self._producer.create_batch()
            for message in group:
                if not _append(batch, message):
                    futures.append((topic, await self._send_batch(batch, topic, partition)))
                    batch = self._producer.create_batch()
                    _append(batch, message)  # The first of a batch always fits.
            futures.append((topic, await self._send_batch(batch, topic, partition)))
        return _Acknowledgement(futures)

    async def _partitions(self, topic: str) -> int:
        known = self._producer.client.cluster.partitions_for_topic(topic)
        if known is None:
            try:
                known = await self._producer.partitions_for(topic)
            except KafkaError as error:
                raise PublishRefused(f"topic {topic!r}: {error}") from None
        return len(known)

    async def _send_batch(self, batch: Any, topic: str, partition: int) -> asyncio.Future[Any]:
        while True:
            try:
                future: asyncio.Future[Any] = await self._producer.send_batch(batch, topic, partition=partition)
            except KafkaError as error:
                # No room in the queue within the request timeout, or no metadata: the broker is away. Wait on.
                if isinstance(error, KafkaTimeoutError) or error.retriable:
                    log.warning("topic %s: the broker takes nothing, trying again", topic)
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                raise PublishRefused(f"topic {topic!r}: {error}") from None
            else:
                return future


class _Acknowledgement:
    """Awaits a send's futures; unlike a coroutine, it may be dropped without being awaited."""

    def __init__(self, futures: Sequence[tuple[str, asyncio.Future[Any]]]) -> None:
        self._futures = futures

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        results = await asyncio.gather(*(future for _, future in self._futures), return_exceptions=True)
        for (topic, _), result in zip(self._futures, results, strict=True):
            if isinstance(result, KafkaError):
                raise PublishRefused(f"topic {topic!r}: the broker refused a message: {result}") from None
            if isinstance(result, BaseException):
                raise result


def _append(batch: Any, message: Message) -> bool:
    appended = batch.append(
        timestamp=message.timestamp, key=message.key, value=message.value, headers=list(message.headers)
    )
    return appended is not None


class AtLeastOnce:
    """Delivery that may repeat but never loses: publish, wait for the acknowledgement, then commit.

    Exactly-once delivery is another class with these two methods, where both are one Kafka transaction.
    """

    def __init__(self, publisher: Publisher, consumer: Consumer) -> None:
        self._publisher = publisher
        self._consumer = consumer

    async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
        """See Publisher.send."""
        return await self._publisher.send(messages)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        """See Consumer.commit."""
        return await self._consumer.commit(positions)
