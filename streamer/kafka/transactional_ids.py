"""Initialises transactional ids and fetches committed offsets, outside of any transaction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

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
from streamer.kafka.errors import KafkaFault, describe
from streamer.kafka.producer import BATCH_BYTES
from streamer.kafka.protocol import OffsetFetchRequest, committed_offsets
from streamer.kafka.security import client_options
from streamer.settings import KafkaSettings

log = logging.getLogger(__name__)

Response = TypeVar("Response")

# Trying again would not help.
PERMANENT_ERRORS = (
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
_UNSTABLE_RETRY_SECONDS = 0.02


class TransactionClient:
    """Requests outside of a transaction. Each is retried until it succeeds or fails permanently."""

    def __init__(self, kafka: KafkaSettings, compression: str, transaction_timeout_ms: int, prefix: str) -> None:
        """prefix: of the transactional ids, `<prefix>/<group>/<topic>/<partition>`."""
        self.kafka = kafka
        self.transaction_timeout_ms = transaction_timeout_ms
        # A partition that was lost this long ago must have been revoked: its session and the rebalance have timed out.
        self.rebalance_seconds = (kafka.session_timeout_ms + kafka.rebalance_timeout_ms) / 1000
        self._options = client_options(kafka)
        self._compression = None if compression == "none" else compression
        self._prefix = prefix

    async def init_transactional_id(self, partition: TopicPartition) -> AIOKafkaProducer:
        """A producer with the partition's transactional id. Raises KafkaFault if this client may not use it.

        Any former owner of the id is fenced, and its transaction has ended: committed if the owner had requested that,
        otherwise aborted.
        """
        return await _retry(lambda: self._start_producer(partition), f"transactional id of {partition}")

    async def committed(
        self, partitions: Sequence[TopicPartition], require_stable: bool = True
    ) -> dict[TopicPartition, int]:
        """The group's committed offsets, -1 where there is none. Raises KafkaFault if this client may not fetch them.

        require_stable: wait for ending transactions that commit these offsets (KIP-447; brokers from 2.5 on).
        """
        what = f"offsets of group {self.kafka.group_id!r}"
        return await _retry(lambda: self._fetch_offsets(partitions, require_stable), what)

    async def _start_producer(self, partition: TopicPartition) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._options,
            acks="all",
            # A topic's name has no slash, so no two partitions share an id, whatever their groups.
            transactional_id=f"{self._prefix}/{self.kafka.group_id}/{partition}",
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

    async def _fetch_offsets(
        self, partitions: Sequence[TopicPartition], require_stable: bool
    ) -> dict[TopicPartition, int]:
        client = AIOKafkaClient(**self._options)
        try:
            await client.bootstrap()
            coordinator = await client.coordinator_lookup(CoordinationType.GROUP, self.kafka.group_id)
            request = OffsetFetchRequest(self.kafka.group_id, partitions, require_stable)
            while True:
                offsets = committed_offsets(await client.send(coordinator, request))
                if offsets is not None:
                    return offsets
                await asyncio.sleep(_UNSTABLE_RETRY_SECONDS)
        finally:
            await client.close()


async def _retry(request: Callable[[], Awaitable[Response]], what: str) -> Response:
    """The response, however long it takes. Raises KafkaFault for a permanent error."""
    while True:
        try:
            return await request()
        except NotImplementedError:
            raise KafkaFault("exactly-once delivery needs brokers of Kafka 2.5 or later") from None
        except (KafkaError, OSError) as error:
            if isinstance(error, PERMANENT_ERRORS):
                raise KafkaFault(f"{what}: {describe(error)}") from None
            log.warning("%s: %s; trying again", what, describe(error))
            await asyncio.sleep(RETRY_SECONDS)
