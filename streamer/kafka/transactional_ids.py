"""Taking transactional ids, and asking for committed offsets: what exactly-once delivery does between transactions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    InvalidTopicError,
    InvalidTransactionTimeout,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from streamer.events import TopicPartition
from streamer.kafka.errors import KafkaFault
from streamer.kafka.producer import BATCH_BYTES, mark_retrieved
from streamer.kafka.protocol import OffsetsRequest, offsets_of
from streamer.settings import KafkaSettings

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# No use in trying again.
REFUSED = (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    InvalidTopicError,
    InvalidTransactionTimeout,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
RETRY_SECONDS = 0.5
CLOSE_SECONDS = 1.5  # For each of the three steps of closing: each may hang where a broker does.
_UNSTABLE_SECONDS = 0.02


class TransactionClient:
    """What is asked of them outside of a transaction, again and again until there is an answer or a refusal."""

    def __init__(
        self, kafka: KafkaSettings, options: dict[str, Any], compression: str, transaction_timeout_ms: int, prefix: str
    ) -> None:
        self.kafka = kafka
        self.transaction_timeout_ms = transaction_timeout_ms
        # After so long without us, the group has given our partitions to others, and has told us.
        self.patience = (kafka.session_timeout_ms + kafka.rebalance_timeout_ms) / 1000
        self._options = options
        self._compression = None if compression == "none" else compression
        self._prefix = prefix

    async def init_transactional_id(self, partition: TopicPartition) -> AIOKafkaProducer:
        """A producer that has the partition's transactional id. Raises KafkaFault where it may not.

        Whoever had the id is fenced, and his transaction has ended: committed if he had said so, else aborted.
        """
        return await _answered(lambda: self._start(partition), f"transactional id of {name_of(partition)}")

    async def committed(self, partitions: Sequence[TopicPartition], stable: bool = True) -> dict[TopicPartition, int]:
        """The next offset committed in the group, -1 where none is. Raises KafkaFault where we may not ask.

        stable: wait for transactions over these offsets that are just being ended (KIP-447; brokers from 2.5 on).
        """
        return await _answered(lambda: self._fetch(partitions, stable), f"offsets of group {self.kafka.group_id!r}")

    async def _start(self, partition: TopicPartition) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._options,
            acks="all",
            # A topic's name has no slash, hence no two partitions of whatever groups have the same id.
            transactional_id=f"{self._prefix}/{self.kafka.group_id}/{partition.topic}/{partition.partition}",
            transaction_timeout_ms=self.transaction_timeout_ms,
            compression_type=self._compression,
            max_batch_size=BATCH_BYTES,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def _fetch(self, partitions: Sequence[TopicPartition], stable: bool) -> dict[TopicPartition, int]:
        client = AIOKafkaClient(**self._options)
        try:
            await client.bootstrap()
            coordinator = await client.coordinator_lookup(CoordinationType.GROUP, self.kafka.group_id)
            request = OffsetsRequest(self.kafka.group_id, partitions, stable)
            while True:
                offsets = offsets_of(await client.send(coordinator, request))
                if offsets is not None:
                    return offsets
                await asyncio.sleep(_UNSTABLE_SECONDS)
        finally:
            await client.close()


async def _answered(ask: Callable[[], Awaitable[Answer]], what: str) -> Answer:
    """What is asked for, however long it takes. Raises KafkaFault where it is refused."""
    while True:
        try:
            return await ask()
        except NotImplementedError:
            raise KafkaFault("exactly-once delivery needs brokers of Kafka 2.5 or later") from None
        except (KafkaError, OSError) as error:
            if isinstance(error, REFUSED):
                raise KafkaFault(f"{what}: {words(error)}") from None
            log.warning("%s: %s; asking again", what, words(error))
            await asyncio.sleep(RETRY_SECONDS)


async def close(producer: AIOKafkaProducer) -> None:
    """Close its connections, even where it would wait for a broker first. Twice does no harm."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await producer.stop()
    except TimeoutError:
        await producer.client.close()
    # aiokafka leaves errors in futures that nobody awaits, of which asyncio would complain.
    batches = [batch for batches in producer._message_accumulator._batches.values() for batch in batches]
    for future in (producer._txn_manager.wait_for_transaction_end(), *(batch._drain_waiter for batch in batches)):
        if future is not None and future.done():
            mark_retrieved(future)


def words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def name_of(partition: TopicPartition) -> str:
    return f"{partition.topic}/{partition.partition}"
