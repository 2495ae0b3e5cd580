"""What the cluster says of itself: topics, their settings, what this client may do; and how to make a topic."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
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
from streamer.kafka.protocol import GroupRequest, Operation, TopicsRequest, operations
from streamer.kafka.security import client_options
from streamer.settings import KafkaSettings

_TOPIC = 2  # The resource type in DescribeConfigs.
_SETTINGS = ["max.message.bytes", "min.insync.replicas"]
_TRANSACTION_TIMEOUT_MS = 60_000  # Asked for with every producer id, and without a meaning for an idempotent one.
_RETRY_SECONDS = 0.1
# The broker does not speak any version of the request that we do.
_UNSPOKEN = (IncompatibleBrokerVersion, NotImplementedError)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the cluster tells of it; None where it does not tell.

    replicas: of the partition with the fewest. leaderless: the partitions that nobody serves right now.
    """

    name: str
    partitions: int
    replicas: int
    leaderless: tuple[int, ...] = ()
    allowed: frozenset[Operation] | None = None
    max_message_bytes: int | None = None
    min_insync_replicas: int | None = None


class TopicHidden(KafkaFault):
    """This client may not see a topic, nor whether it is there."""


class TopicRefused(KafkaFault):
    """The cluster does not make this topic; the message says why."""


# What comes of asking for a transactional id.
InitOutcome = Literal["taken", "not allowed", "timeout too long", "no transactions"]


@contextlib.asynccontextmanager
async def connected(kafka: KafkaSettings) -> AsyncIterator[Cluster]:
    """A connection for questions; closed at the end of the block.

    Raises BrokerUnreachable where no broker lets us in, or one does not answer a question within the block.
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
    """Questions to a cluster. Those that it is not ready to answer are asked again, up to the request timeout."""

    def __init__(self, client: AIOKafkaClient, timeout_ms: int) -> None:
        self._client = client
        self._timeout_ms = timeout_ms

    def brokers(self) -> dict[int, tuple[str, int]]:
        """Where the brokers say that they are reached, by their ids."""
        return {broker.nodeId: (broker.host, broker.port) for broker in self._client.cluster.brokers()}

    async def topic(self, name: str) -> Topic | None:
        """A topic, None where it does not exist. Raises TopicHidden."""
        found = await self._retried(lambda: self._metadata(name))
        if found is None:
            return None
        settings = await self._settings(name)
        _, _, _, partitions, *allowed = found
        return Topic(
            name,
            len(partitions),
            min(len(replicas) for _, _, _, *_, replicas, _, _ in partitions),
            tuple(sorted(number for _, number, leader, *_ in partitions if leader < 0)),
            operations(allowed[0]) if allowed else None,
            settings.get("max.message.bytes"),
            settings.get("min.insync.replicas"),
        )

    async def group(self, name: str) -> frozenset[Operation] | None:
        """What this client may do in a consumer group; None where the broker does not tell."""
        try:
            return await self._retried(lambda: self._group(name))
        except _UNSPOKEN:
            return None
        except GroupAuthorizationFailedError:
            return frozenset()

    async def idempotent_writes(self) -> bool:
        """Whether this client may have a producer id. It takes one: since Kafka 2.8 no single ACL says so."""
        try:
            await self._retried(self._producer_id)
        except ClusterAuthorizationFailedError:
            return False
        return True

    async def init_transactional_id(self, transactional_id: str, timeout_ms: int) -> InitOutcome:
        """Take a transactional id, with the timeout of its transactions; whoever had it is fenced.

        Asking where its coordinator is takes DESCRIBE on the id, taking it WRITE.
        """
        try:
            await self._retried(lambda: self._init_transactional_ids(transactional_id, timeout_ms))
        except TransactionalIdAuthorizationFailed:
            return "not allowed"
        except InvalidTransactionTimeout:
            return "timeout too long"
        except _UNSPOKEN:
            return "no transactions"
        return "taken"

    async def create(self, name: str, partitions: int, replication: int, settings: Mapping[str, str]) -> None:
        """Make a topic and wait until it has its leaders; one that is there already is left as it is.

        A replication of -1 is the cluster's default. Raises TopicRefused.
        """
        wanted: tuple[Any, ...] = (name, partitions, replication, [], list(settings.items()))
        try:
            await self._retried(lambda: self._create(wanted))
        except _UNSPOKEN:
            raise TopicRefused("this broker makes no topics on request") from None
        await self._retried(lambda: self._led(name))

    async def _metadata(self, name: str) -> Any:
        answer = await self._send(TopicsRequest([name]))
        error = for_code(answer.topics[0][0])
        if error is TopicAuthorizationFailedError:
            raise TopicHidden(f"topic {name!r} may not be seen")
        if error is not NoError and error is not UnknownTopicOrPartitionError:
            raise error(name)
        return answer.topics[0] if error is NoError else None

    async def _settings(self, name: str) -> dict[str, int]:
        """The topic's settings that matter to us; none where the broker does not tell."""
        try:
            answer = await self._send(DescribeConfigsRequest([(_TOPIC, name, _SETTINGS)]))
        except _UNSPOKEN:
            return {}
        *_, entries = answer.resources[0]
        return {key: int(value) for key, value, *_ in entries}

    async def _group(self, name: str) -> frozenset[Operation] | None:
        coordinator = await self._client.coordinator_lookup(CoordinationType.GROUP, name)
        answer = await self._send(GroupRequest(name), coordinator)
        error_code, *_, last = answer.groups[0]
        if error_code:
            raise for_code(error_code)(name)
        return operations(last) if answer.API_VERSION >= 3 else None

    async def _producer_id(self) -> None:
        answer = await self._send(InitProducerIdRequest(None, _TRANSACTION_TIMEOUT_MS))
        if answer.error_code:
            raise for_code(answer.error_code)

    async def _init_transactional_ids(self, transactional_id: str, timeout_ms: int) -> None:
        coordinator = await self._client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
        answer = await self._send(InitProducerIdRequest(transactional_id, timeout_ms), coordinator)
        error = for_code(answer.error_code)
        if (
            error is ConcurrentTransactions
        ):  # Somebody else is just taking it: to be asked again, which it does not say.
            raise CoordinatorLoadInProgressError(transactional_id)
        if error is not NoError:
            raise error(transactional_id)

    async def _create(self, wanted: tuple[Any, ...]) -> None:
        controller = self._client.cluster.controller
        request = CreateTopicsRequest([wanted], self._timeout_ms, False)
        answer = await self._send(request, controller.nodeId if controller else None)
        _, error_code, message = answer.topic_errors[0]
        error = for_code(error_code)
        if error in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
            raise TopicRefused("this client may not make topics: grant it CREATE on the cluster or the topic")
        if error.retriable:
            await self._client.force_metadata_update()  # Another controller, perhaps.
            raise error(message)
        if error is not NoError and error is not TopicAlreadyExistsError:
            raise TopicRefused(message or error.description)

    async def _led(self, name: str) -> None:
        found = await self._metadata(name)
        if found is None or any(leader < 0 for _, _, leader, *_ in found[3]):
            raise LeaderNotAvailableError(name)

    async def _send(self, request: Any, node: int | None = None) -> Any:
        return await self._client.send(self._client.get_random_node() if node is None else node, request)

    async def _retried(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_ms / 1000
        while True:
            try:
                return await ask()
            except KafkaError as error:
                if not error.retriable or loop.time() > deadline:
                    raise
            await asyncio.sleep(_RETRY_SECONDS)
