"""Every workaround for aiokafka, and every private attribute of it that we read. Written for aiokafka 0.14.0.

| aiokafka 0.14 | here | upstream |
|---|---|---|
| writes to a closed transport, at which uvloop raises RuntimeError | `_send` | #1038 |
| treats a refused OAUTHBEARER token as accepted | `RefusableOAuthAuthenticator` | not reported |
| reads the response of DescribeGroups 3 as version 2 | `DescribeGroupsRequest_v3` | not reported |
| does not treat ConcurrentTransactions as retriable | `retriable` | not reported |
| raises the cancellation of its own tasks in the caller | `cancelled_by_caller` | #647 |
| leaves connections open when such a cancellation ends `stop` | `stop_consumer` | #647 |
| returns nothing, without an error, once its fetch task has ended | `fetch_task_ended` | #983, #974 |
| has no public name for the group's generation | `group_generation` | not reported |
| has no position that can be read without waiting | `known_positions` | not reported |
| waits forever in a producer's `stop` if the broker hangs | `close_producer` | not reported |
| leaves errors in a stopped producer's futures, which asyncio logs | `close_producer` | not reported |
| cannot read a record with a header whose name is not UTF-8, nor any after it | `RecordsWithAnyNames` | not reported |

Numbers are issues of github.com/aio-libs/aiokafka; "not reported" means that we know of no issue.

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
from collections.abc import Awaitable, Iterator
from typing import Any, SupportsIndex

import aiokafka.conn
import aiokafka.consumer.fetcher
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.conn import AIOKafkaConnection, CloseReason, OAuthAuthenticator
from aiokafka.errors import ConcurrentTransactions, KafkaConnectionError, KafkaError, SaslAuthenticationFailed
from aiokafka.protocol import admin
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_aiokafka_send = AIOKafkaConnection.send


def apply() -> None:
    """Patch aiokafka for all of its clients in this process, because it has no option for these three.

    `streamer.kafka` calls this on import; no other code needs to.
    """
    AIOKafkaConnection.send = _send
    aiokafka.conn.OAuthAuthenticator = RefusableOAuthAuthenticator
    aiokafka.consumer.fetcher.MemoryRecords = RecordsWithAnyNames


def _send(connection: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Awaitable[Any]:
    """Like aiokafka's, but raises KafkaConnectionError when the transport is closed and its reader has not noticed yet.

    asyncio drops such a write, and the request fails as soon as the reader notices. uvloop raises RuntimeError,
    which aiokafka treats as a bug: its fetch task ended, and workers stopped when their broker was killed.
    """
    writer = connection._writer
    if writer is not None and writer.transport.is_closing():
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken")
    sent: Awaitable[Any] = _aiokafka_send(connection, request, expect_response)
    return sent


class RefusableOAuthAuthenticator(OAuthAuthenticator):  # type: ignore[misc]  # aiokafka ships no types.
    """Raises SaslAuthenticationFailed when the broker refuses the token.

    The broker says so in its response (RFC 7628 section 3.2.2), which aiokafka does not read: it continues as if
    it were authenticated, gets metadata without brokers, and asks for them again and again.
    """

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if payload:
            raise SaslAuthenticationFailed("the broker refuses the token")
        step: tuple[bytes, bool] | None = await super().step(payload)
        return step


class RecordsWithAnyNames(MemoryRecords):  # type: ignore[misc]
    r"""The fetched batches of a partition. A byte of a header's name that is not UTF-8 is read as `\xc0`.

    Kafka asks for UTF-8, but neither brokers nor librdkafka check it. aiokafka raises UnicodeDecodeError for such a
    record, each time that it is read.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._data = data
        self._begin = 0  # Of the next batch.

    def next_batch(self) -> Any:
        batch = super().next_batch()
        if batch is None:
            return None
        begin = self._begin
        length = int.from_bytes(self._data[begin + 8 : begin + 12])  # Of what follows it.
        self._begin = begin + 12 + length
        return _Batch(batch, self._data, begin, self._begin)


class _Batch:
    """aiokafka's batch, which it reads again by itself where aiokafka cannot."""

    __slots__ = ("_batch", "_begin", "_data", "_end")

    def __init__(self, batch: Any, data: bytes, begin: int, end: int) -> None:
        self._batch = batch
        self._data = data
        self._begin = begin
        self._end = end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        """All records; from the first again after an error, since the caller leaves out offsets that it has had."""
        try:
            yield from self._batch
        except UnicodeDecodeError:
            yield from _BatchWithAnyNames(self._data[self._begin : self._end])


class _BatchWithAnyNames(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Escaping(self._buffer)


class _Escaping(bytearray):
    """Bytes whose slices are decoded with escapes; aiokafka decodes only names."""

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        found = super().__getitem__(index)
        return _Escaping(found) if isinstance(index, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


class DescribeGroupsRequest_v3(admin.DescribeGroupsRequest_v3):  # type: ignore[misc]
    RESPONSE_TYPE = admin.DescribeGroupsResponse_v3


def retriable(error: KafkaError) -> bool:
    """Whether the same request may succeed later."""
    return bool(error.retriable) or isinstance(error, ConcurrentTransactions)


def cancelled_by_caller() -> bool:
    """Whether a CancelledError is for the current task, and not from one of aiokafka's own tasks."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer and close its connections, even when a broker is unreachable."""
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
    """The generation of this consumer's group; 0 if the consumer is not a member."""
    return max(0, getattr(consumer._coordinator, "generation", 0))


def known_positions(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """The next offset to read in each assigned partition, without waiting. Partitions without one are omitted."""
    subscription = consumer._subscription.subscription
    if subscription is None or subscription.assignment is None:
        return {}
    states = {partition: subscription.assignment.state_value(partition) for partition in subscription.assignment.tps}
    return {partition: state.position for partition, state in states.items() if state.has_valid_position}


async def close_producer(producer: AIOKafkaProducer, seconds: float) -> None:
    """Stop a producer; if that takes longer than `seconds`, close its connections. May be called twice."""
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
