"""Requests to the cluster: its topics, their configuration, this client's permissions. Also creates topics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    InvalidTransactionTimeout,
    KafkaError,
    LeaderNotAvailableError,
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from streamer.kafka.errors import KafkaFault, unreachable
from streamer.kafka.patches import retriable
from streamer.kafka.protocol import DescribeGroupRequest, Operation, TopicMetadataRequest, authorized_operations
from streamer.kafka.security import client_options
from streamer.settings import KafkaSettings

_TOPIC_RESOURCE = 2  # The resource type in DescribeConfigs.
_TOPIC_CONFIGS = ["max.message.bytes", "min.insync.replicas"]
_TRANSACTION_TIMEOUT_MS = 60_000  # InitProducerId requires one; an idempotent producer does not use it.
_RETRY_SECONDS = 0.1
# The broker and aiokafka have no version of the request in common.
_UNSUPPORTED = (IncompatibleBrokerVersion, NotImplementedError)

Response = TypeVar("Response")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the cluster describes it. A field is None if the cluster does not report it.

    replicas: of the partition with the fewest. leaderless: the partitions without a leader.
    """

    name: str
    partitions: int
    replicas: int
    leaderless: tuple[int, ...] = ()
    authorized_operations: frozenset[Operation] | None = None
    max_message_bytes: int | None = None
    min_insync_replicas: int | None = None


class TopicNotAuthorized(KafkaFault):
    """This client may not describe the topic, so it cannot know whether the topic exists."""


class TopicCreationRefused(KafkaFault):
    """The cluster refused to create the topic. The message gives the reason."""


class InitProducerIdOutcome(StrEnum):
    """How the broker answered a request to use a transactional id."""

    GRANTED = "granted"
    NOT_AUTHORIZED = "not authorized"
    TIMEOUT_TOO_LONG = "timeout too long"
    UNSUPPORTED = "unsupported"


@contextlib.asynccontextmanager
async def connected(kafka: KafkaSettings) -> AsyncIterator[Cluster]:
    """A connection to the cluster, closed at the end of the block.

    Raises BrokerUnreachable if no broker accepts this client, or if a request within the block gets no answer.
    """
    client = AIOKafkaClient(**client_options(kafka))
    try:
        await client.bootstrap()
        yield Cluster(client, kafka.request_timeout_ms)
    except (KafkaError, OSError) as error:
        raise unreachable(kafka.bootstrap_servers, error) from None
    finally:
        await client.close()


class Cluster:
    """Sends requests. Retries a request until the request timeout if the error is retriable."""

    def __init__(self, client: AIOKafkaClient, timeout_ms: int) -> None:
        self._client = client
        self._timeout_ms = timeout_ms

    def brokers(self) -> dict[int, tuple[str, int]]:
        """The host and port that each broker advertises, by broker id."""
        return {broker.nodeId: (broker.host, broker.port) for broker in self._client.cluster.brokers()}

    async def topic(self, name: str) -> Topic | None:
        """A topic; None if it does not exist. Raises TopicNotAuthorized."""
        metadata = await self._retried(lambda: self._topic_metadata(name))
        if metadata is None:
            return None
        config = await self._topic_config(name)
        _, _, _, partitions, *operations = metadata
        return Topic(
            name,
            partitions=len(partitions),
            replicas=min(len(replicas) for _, _, _, *_, replicas, _, _ in partitions),
            leaderless=tuple(sorted(partition for _, partition, leader, *_ in partitions if leader < 0)),
            authorized_operations=authorized_operations(operations[0]) if operations else None,
            max_message_bytes=config.get("max.message.bytes"),
            min_insync_replicas=config.get("min.insync.replicas"),
        )

    async def group_operations(self, name: str) -> frozenset[Operation] | None:
        """What this client may do with a consumer group; None if the broker does not report it."""
        try:
            return await self._retried(lambda: self._describe_group(name))
        except _UNSUPPORTED:
            return None
        except GroupAuthorizationFailedError:
            return frozenset()

    async def idempotent_writes(self) -> bool:
        """Whether this client may have a producer id. Requests one: since Kafka 2.8 no single ACL grants it."""
        try:
            await self._retried(self._init_producer_id)
        except ClusterAuthorizationFailedError:
            return False
        return True

    async def init_transactional_id(self, transactional_id: str, timeout_ms: int) -> InitProducerIdOutcome:
        """Initialise a transactional id with a transaction timeout. This fences its former owner.

        Finding its coordinator needs DESCRIBE on the id; initialising it needs WRITE.
        """
        try:
            await self._retried(lambda: self._init_transactional_id(transactional_id, timeout_ms))
        except TransactionalIdAuthorizationFailed:
            return InitProducerIdOutcome.NOT_AUTHORIZED
        except InvalidTransactionTimeout:
            return InitProducerIdOutcome.TIMEOUT_TOO_LONG
        except _UNSUPPORTED:
            return InitProducerIdOutcome.UNSUPPORTED
        return InitProducerIdOutcome.GRANTED

    async def create_topic(
        self, name: str, partitions: int, replication_factor: int, config: Mapping[str, str]
    ) -> None:
        """Create a topic and wait until its partitions have leaders. An existing topic is not changed.

        A replication factor of -1 means the cluster's default. Raises TopicCreationRefused.
        """
        topic: tuple[Any, ...] = (name, partitions, replication_factor, [], list(config.items()))
        try:
            await self._retried(lambda: self._create_topic(topic))
        except _UNSUPPORTED:
            raise TopicCreationRefused("this broker makes no topics on request") from None
        await self._retried(lambda: self._require_leaders(name))

    async def _topic_metadata(self, name: str) -> Any:
        response = await self._send(TopicMetadataRequest([name]))
        error = for_code(response.topics[0][0])
        if error is TopicAuthorizationFailedError:
            raise TopicNotAuthorized(f"topic {name!r} may not be seen")
        if error is not NoError and error is not UnknownTopicOrPartitionError:
            raise error(name)
        return response.topics[0] if error is NoError else None

    async def _topic_config(self, name: str) -> dict[str, int]:
        """The settings of the topic that we use; empty if the broker does not report them."""
        try:
            response = await self._send(DescribeConfigsRequest([(_TOPIC_RESOURCE, name, _TOPIC_CONFIGS)]))
        except _UNSUPPORTED:
            return {}
        *_, entries = response.resources[0]
        return {key: int(value) for key, value, *_ in entries}

    async def _describe_group(self, name: str) -> frozenset[Operation] | None:
        coordinator = await self._client.coordinator_lookup(CoordinationType.GROUP, name)
        response = await self._send(DescribeGroupRequest(name), coordinator)
        error_code, *_, operations = response.groups[0]
        if error_code:
            raise for_code(error_code)(name)
        return authorized_operations(operations) if response.API_VERSION >= 3 else None

    async def _init_producer_id(self) -> None:
        response = await self._send(InitProducerIdRequest(None, _TRANSACTION_TIMEOUT_MS))
        if response.error_code:
            raise for_code(response.error_code)

    async def _init_transactional_id(self, transactional_id: str, timeout_ms: int) -> None:
        coordinator = await self._client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
        response = await self._send(InitProducerIdRequest(transactional_id, timeout_ms), coordinator)
        error = for_code(response.error_code)
        if error is not NoError:
            raise error(transactional_id)

    async def _create_topic(self, topic: tuple[Any, ...]) -> None:
        controller = self._client.cluster.controller
        request = CreateTopicsRequest([topic], self._timeout_ms, False)
        response = await self._send(request, controller.nodeId if controller else None)
        _, error_code, message = response.topic_errors[0]
        error = for_code(error_code)
        if error in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
            raise TopicCreationRefused("this client may not make topics: grant it CREATE on the cluster or the topic")
        if error.retriable:
            await self._client.force_metadata_update()  # The controller may have changed.
            raise error(message)
        if error is not NoError and error is not TopicAlreadyExistsError:
            raise TopicCreationRefused(message or error.description)

    async def _require_leaders(self, name: str) -> None:
        metadata = await self._topic_metadata(name)
        if metadata is None or any(leader < 0 for _, _, leader, *_ in metadata[3]):
            raise LeaderNotAvailableError(name)

    async def _send(self, request: Any, node: int | None = None) -> Any:
        return await self._client.send(self._client.get_random_node() if node is None else node, request)

    async def _retried(self, request: Callable[[], Awaitable[Response]]) -> Response:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_ms / 1000
        while True:
            try:
                return await request()
            except KafkaError as error:
                if not retriable(error) or loop.time() > deadline:
                    raise
            await asyncio.sleep(_RETRY_SECONDS)
