"""Publishes messages in batches, in order within a partition: one future per batch instead of one per message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Generator, Sequence
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.partitioner import murmur2

from streamer.events import Message
from streamer.kafka.errors import PublishRefused, TopicMissing, unreachable
from streamer.kafka.patches import mark_retrieved
from streamer.kafka.security import client_options
from streamer.settings import KafkaSettings

log = logging.getLogger(__name__)

# Well below the broker's default limit of 1 MiB for a batch. A single message may be larger.
BATCH_BYTES = 512 * 1024
_RETRY_SECONDS = 0.5


@lru_cache(maxsize=65_536)  # aiokafka's murmur2 is pure Python, and keys repeat.
def _hash(key: bytes) -> int:
    hashed: int = murmur2(key)
    return hashed & 0x7FFFFFFF


def partition_for(message: Message, partitions: int) -> int:
    """Kafka's default partitioner: murmur2 of the key. Without a key, the source partition is used instead."""
    if message.partition is not None and message.partition < partitions:
        return message.partition
    return (message.source_partition if message.key is None else _hash(message.key)) % partitions


class Publisher:
    """An idempotent producer with acks=all: acknowledged messages are replicated, once and in order."""

    def __init__(self, kafka: KafkaSettings, compression: str) -> None:
        self._bootstrap = kafka.bootstrap_servers
        self._request_timeout = kafka.request_timeout_ms / 1000
        self._producer = AIOKafkaProducer(
            **client_options(kafka),
            acks="all",
            enable_idempotence=True,
            compression_type=None if compression == "none" else compression,
            max_batch_size=BATCH_BYTES,
        )

    async def start(self, *topics: str) -> None:
        """Connect. Raises BrokerUnreachable, or TopicMissing if one of `topics` does not exist."""
        try:
            # aiokafka itself never stops trying when a broker cannot be reached at the address that it advertises.
            async with asyncio.timeout(self._request_timeout):
                await self._producer.start()
                existing = (await self._producer.client.fetch_all_metadata()).topics()
            if missing := [topic for topic in topics if topic not in existing]:
                raise TopicMissing(missing[0])
        except BaseException as error:
            await self._producer.stop()
            if isinstance(error, KafkaError | OSError):
                raise unreachable(self._bootstrap, error) from None
            raise

    async def stop(self) -> None:
        """Send the queued messages and close the connections."""
        await self._producer.stop()

    async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
        """Hand messages to the producer, in this order. The returned awaitable ends once all are acknowledged.

        Transient errors are retried, in order. The awaitable raises PublishRefused if the broker refuses a
        message for good, or a partition has had no leader for the request timeout. Later messages may have been
        published then, so nothing after the refused one may be committed.
        """
        return await send_batches(self._producer, messages)


async def send_batches(producer: AIOKafkaProducer, messages: Sequence[Message]) -> Acknowledgement:
    """Hand messages to a producer, in this order, and wait as long as the broker accepts nothing.

    Raises PublishRefused with Kafka's error as its cause; some of the messages may have been sent by then.
    """
    grouped: dict[tuple[str, int], list[Message]] = {}
    for message in messages:
        count = await _partition_count(producer, message.topic)
        grouped.setdefault((message.topic, partition_for(message, count)), []).append(message)
    futures: list[tuple[str, asyncio.Future[Any]]] = []
    for (topic, partition), group in grouped.items():
        batch = producer.create_batch()
        for message in group:
            if not _append(batch, message):
                futures.append((topic, await _send_batch(producer, batch, topic, partition)))
                batch = producer.create_batch()
                _append(batch, message)  # The first message of a batch always fits.
        futures.append((topic, await _send_batch(producer, batch, topic, partition)))
    return Acknowledgement(futures)


async def _partition_count(producer: AIOKafkaProducer, topic: str) -> int:
    partitions = producer.client.cluster.partitions_for_topic(topic)
    if partitions is None:
        try:
            partitions = await producer.partitions_for(topic)
        except KafkaError as error:
            raise PublishRefused(f"topic {topic!r}: {error}") from error
    return len(partitions)


async def _send_batch(producer: AIOKafkaProducer, batch: Any, topic: str, partition: int) -> asyncio.Future[Any]:
    while True:
        try:
            future: asyncio.Future[Any] = await producer.send_batch(batch, topic, partition=partition)
        except KafkaError as error:
            # The queue was full for the request timeout, or there is no metadata: the broker is down. Wait for it.
            if isinstance(error, KafkaTimeoutError) or error.retriable:
                log.warning("topic %s: the broker accepts nothing, trying again", topic)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            raise PublishRefused(f"topic {topic!r}: {error}") from error
        else:
            return future


class Acknowledgement:
    """Awaits the futures of a send. Unlike a coroutine, it may be dropped unawaited, or awaited twice.

    Raises PublishRefused with Kafka's error as its cause.
    """

    def __init__(self, futures: Sequence[tuple[str, asyncio.Future[Any]]] = ()) -> None:
        self._futures = futures
        for _, future in futures:
            future.add_done_callback(mark_retrieved)

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    def errors(self) -> list[BaseException]:
        """The errors that have come back so far."""
        done = (future for _, future in self._futures if future.done() and not future.cancelled())
        return [error for future in done if (error := future.exception()) is not None]

    async def _wait(self) -> None:
        if self._futures:
            # Not gather, which would cancel the futures with this call: an acknowledgement may be awaited again.
            await asyncio.wait([future for _, future in self._futures])
        for topic, future in self._futures:
            error = future.exception()
            if isinstance(error, KafkaError):
                raise PublishRefused(f"topic {topic!r}: the broker refused a message: {error}") from error
            if error is not None:
                raise error


def _append(batch: Any, message: Message) -> bool:
    """False if the batch is full."""
    appended = batch.append(
        timestamp=message.timestamp, key=message.key, value=message.value, headers=list(message.headers)
    )
    return appended is not None
