"""Every workaround for aiokafka, and every private attribute of it that we read. Written for aiokafka 0.14.0.

| aiokafka 0.14 | here | upstream |
|---|---|---|
| writes to a closed transport, at which uvloop raises RuntimeError | `_send` | #1038 |
| takes a refused OAUTHBEARER token for an accepted one | `RefusableOAuthAuthenticator` | not reported |
| reads the response of DescribeGroups 3 as version 2 | `DescribeGroupsRequest_v3` | not reported |
| does not count ConcurrentTransactions among the retriable errors | `retriable` | not reported |
| lets the cancellation of its own tasks out to the caller | `cancelled_by_caller` | #647 |
| leaves connections open when such a cancellation ends `stop` | `stop_consumer` | #647 |
| returns nothing, without an error, once its fetch task has ended | `fetch_task_ended` | #983, #974 |
| has no public name for the group's generation | `group_generation` | not reported |
| has no position that can be read without waiting | `known_positions` | not reported |
| waits in a producer's `stop` for a broker that hangs | `close_producer` | not reported |
| leaves errors in a stopped producer's futures, which asyncio logs | `close_producer` | not reported |

Numbers are issues of github.com/aio-libs/aiokafka; "not reported" is as far as we know.

Some shape the modules that they are in, and stay there:

- records come while the assignment callback still runs (#738): `streamer.kafka.source`
- some versions of requests are missing: `streamer.kafka.protocol`
- connecting and committing retry without an end while a broker is away: a timeout around each, in `source`, `producer`
  and `topic_reader`
- a transaction's state is asserted, which a concurrent failure may have changed: `transactions._BREAKING`
- while a broker is away the same line is logged many times a second: `streamer.observe.logs.RateLimitFilter`

tests/kafka/test_patches.py has a test for each that fails when aiokafka no longer needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import aiokafka.conn
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.conn import AIOKafkaConnection, CloseReason, OAuthAuthenticator
from aiokafka.errors import ConcurrentTransactions, KafkaConnectionError, KafkaError, SaslAuthenticationFailed
from aiokafka.protocol import admin

_aiokafka_send = AIOKafkaConnection.send


def apply() -> None:
    """Patch aiokafka, for all of its clients in this process: it has no option for these two.

    `streamer.kafka` does so when it is imported; nothing else needs to.
    """
    AIOKafkaConnection.send = _send
    aiokafka.conn.OAuthAuthenticator = RefusableOAuthAuthenticator


def _send(connection: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Awaitable[Any]:
    """Like aiokafka's, but raises KafkaConnectionError when the transport is closed and its reader does not know yet.

    asyncio drops what is written then, and the request fails as soon as the reader knows. uvloop raises RuntimeError,
    which aiokafka takes for a bug: its fetch task ended, and so did workers whose broker was killed.
    """
    writer = connection._writer
    if writer is not None and writer.transport.is_closing():
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken")
    sent: Awaitable[Any] = _aiokafka_send(connection, request, expect_response)
    return sent


class RefusableOAuthAuthenticator(OAuthAuthenticator):  # type: ignore[misc]  # aiokafka ships no types.
    """Raises SaslAuthenticationFailed when the broker refuses the token.

    The broker says so in its response (RFC 7628 section 3.2.2), which aiokafka does not read: it goes on as if it were
    authenticated, gets metadata without brokers, and asks for them again and again.
    """

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if payload:
            raise SaslAuthenticationFailed("the broker refuses the token")
        step: tuple[bytes, bool] | None = await super().step(payload)
        return step


class DescribeGroupsRequest_v3(admin.DescribeGroupsRequest_v3):  # type: ignore[misc]
    RESPONSE_TYPE = admin.DescribeGroupsResponse_v3


def retriable(error: KafkaError) -> bool:
    """Whether the same request may succeed later."""
    return bool(error.retriable) or isinstance(error, ConcurrentTransactions)


def cancelled_by_caller() -> bool:
    """Whether a CancelledError is for the current task, and not that of one of aiokafka's own tasks."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer and close its connections, also when a broker is unreachable."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        if cancelled_by_caller():
            raise
        await consumer._client.close()


def fetch_task_ended(consumer: AIOKafkaConsumer) -> bool:
    """Whether polls will return nothing from now on, while heartbeats keep the partitions with this member."""
    return bool(consumer._fetcher.error_future.done())


def group_generation(consumer: AIOKafkaConsumer) -> int:
    """The generation of the group that this consumer is a member of; 0 when it is no member."""
    return max(0, getattr(consumer._coordinator, "generation", 0))


def known_positions(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """The next offset that each assigned partition returns, without waiting: partitions without one are left out."""
    subscription = consumer._subscription.subscription
    if subscription is None or subscription.assignment is None:
        return {}
    states = {partition: subscription.assignment.state_value(partition) for partition in subscription.assignment.tps}
    return {partition: state.position for partition, state in states.items() if state.has_valid_position}


async def close_producer(producer: AIOKafkaProducer, seconds: float) -> None:
    """Stop a producer, and after so many seconds just close its connections. Calling it twice does no harm."""
    try:
        async with asyncio.timeout(seconds):
            await producer.stop()
    except TimeoutError:
        await producer.client.close()
    batches = [batch for batches in producer._message_accumulator._batches.values() for batch in batches]
    transaction_end = producer._txn_manager.wait_for_transaction_end()
    for future in (transaction_end, *(batch._drain_waiter for batch in batches)):
        if future is not None and future.done():
            mark_retrieved(future)


def mark_retrieved(future: asyncio.Future[Any]) -> None:
    """Keep asyncio from logging an error that nobody awaits."""
    if not future.cancelled():
        future.exception()
