"""The workarounds for aiokafka: each test fails when its workaround is no longer needed, or no longer works."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiokafka.conn
import aiokafka.consumer.fetcher
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import (
    ConcurrentTransactions,
    KafkaConnectionError,
    KafkaError,
    NotLeaderForPartitionError,
    SaslAuthenticationFailed,
    UnknownError,
    for_code,
)
from aiokafka.protocol import admin, commit, metadata
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from streamer.kafka import patches, protocol
from tests.brokers import Cluster, MakeTopic
from tests.reading import Item, fill


async def send_when_broken(bootstrap: str) -> None:
    """Break a connection, and send before its reader knows that the transport is closed."""
    host, port = bootstrap.split(",")[0].split(":")
    connection = await create_conn(host, int(port))
    sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send() -> None:
        assert connection._writer is not None, "it knows already"
        try:
            connection.send(metadata.MetadataRequest([]))
        except Exception as error:
            sent.set_exception(error)
        else:
            sent.set_result(None)

    connection._writer.transport.abort()
    asyncio.get_running_loop().call_soon(send)
    try:
        await sent
    finally:
        connection.close()


def test_a_request_on_a_broken_connection_fails_with_an_error_of_kafka(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On uvloop. aiokafka's clients look for another broker then; of aiokafka's own RuntimeError they die."""
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        with pytest.raises(KafkaConnectionError):
            runner.run(send_when_broken(cluster.bootstrap))
        monkeypatch.setattr(AIOKafkaConnection, "send", patches._aiokafka_send)
        with pytest.raises(RuntimeError, match="handler is closed"):
            runner.run(send_when_broken(cluster.bootstrap))


class Token:
    async def token(self) -> str:
        return "token"


# Not `aiokafka.conn.OAuthAuthenticator`: that name is patched as soon as a test has imported `streamer.kafka`.
AIOKAFKAS_OWN: type[Any] = patches.RefusableOAuthAuthenticator.__bases__[0]


@pytest.mark.parametrize("kind", [AIOKAFKAS_OWN, patches.RefusableOAuthAuthenticator])
async def test_a_refused_token_is_an_error(kind: type[Any]) -> None:
    """aiokafka ends the exchange as if the token had been accepted. Every connection uses the patched class."""
    assert aiokafka.conn.OAuthAuthenticator is patches.RefusableOAuthAuthenticator
    authenticator = kind(sasl_oauth_token_provider=Token())
    assert await authenticator.step(None) == (b"n,,\x01auth=Bearer token\x01\x01", True)
    refusal = b'{"status":"invalid_token"}'
    if kind is AIOKAFKAS_OWN:
        assert await authenticator.step(refusal) is None
    else:
        with pytest.raises(SaslAuthenticationFailed):
            await authenticator.step(refusal)


def test_groups_are_described_with_their_operations() -> None:
    """aiokafka reads the response of version 3 as version 2, which has no field for them."""
    assert admin.DescribeGroupsRequest_v3.RESPONSE_TYPE is admin.DescribeGroupsResponse_v2
    assert patches.DescribeGroupsRequest_v3.RESPONSE_TYPE is admin.DescribeGroupsResponse_v3


def test_concurrent_transactions_are_worth_a_retry() -> None:
    """aiokafka does not say so; what it says of others is kept."""
    assert not ConcurrentTransactions.retriable
    assert patches.retriable(ConcurrentTransactions())
    assert patches.retriable(NotLeaderForPartitionError())
    assert not patches.retriable(SaslAuthenticationFailed())


def test_aiokafka_lacks_the_requests_that_we_define() -> None:
    """When it has one of these versions, ours can go."""
    assert not hasattr(metadata, "MetadataRequest_v8")
    assert not any(name.startswith("OffsetFetchRequest_v7") for name in dir(commit))
    assert for_code(protocol._UNSTABLE_OFFSET_COMMIT) is UnknownError


# Consumers


class Gbk(str):
    """A header's name that a producer in Python cannot send, but others can."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xc0\xb4\xd4\xb4"


def batch_with_names(first_offset: int, *names: str, compression: int = 0) -> bytes:
    """A record for each name, as a broker sends them."""
    builder = _DefaultRecordBatchBuilderPy(2, compression, 0, -1, -1, -1, 1 << 20)
    for number, name in enumerate(names):
        builder.append(number, timestamp=1, key=b"k%d" % number, value=None, headers=[(name, b"app"), (name, None)])
    built = bytearray(builder.build())
    built[:8] = first_offset.to_bytes(8)
    return bytes(built)


@pytest.mark.parametrize("compression", [0, 1, 4])
def test_a_name_that_is_not_utf8_takes_no_other_record_along(compression: int) -> None:
    """aiokafka stops in the middle of the batch, and would for ever; here the offsets go on, each once."""
    data = batch_with_names(5, "a", Gbk(), "\u597d", compression=compression) + batch_with_names(8, "b")

    def read(records: Any) -> list[tuple[int, list[tuple[str, bytes | None]]]]:
        found = PartitionRecords(TopicPartition("t", 0), records, [], 5, None, None, True, READ_COMMITTED)
        return [(record.offset, list(record.headers)) for record in found]

    with pytest.raises(UnicodeDecodeError):
        read(MemoryRecords(data))
    assert aiokafka.consumer.fetcher.MemoryRecords is patches.RecordsWithAnyNames
    names = ["a", r"\xc0\xb4" + "\u0534", "\u597d", "b"]
    expected = [(offset, [(name, b"app"), (name, None)]) for offset, name in enumerate(names, 5)]
    assert read(patches.RecordsWithAnyNames(data)) == expected


@pytest.fixture
async def consumer(cluster: Cluster, make_topic: MakeTopic) -> AsyncIterator[AIOKafkaConsumer]:
    """One that reads all of a topic of one partition, outside of any group."""
    topic = make_topic(1)
    await asyncio.to_thread(fill, cluster.bootstrap, topic, [Item(b"%d" % number) for number in range(3)])
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.start()
    yield consumer
    await patches.stop_consumer(consumer)


async def test_the_end_of_the_fetch_task_is_noticed(consumer: AIOKafkaConsumer) -> None:
    """aiokafka's polls return nothing from then on, and raise nothing."""
    assert sum(map(len, (await consumer.getmany(timeout_ms=10_000)).values())) == 3
    assert not patches.fetch_task_ended(consumer)
    consumer._fetcher._fetch_task.cancel()
    await asyncio.wait((consumer._fetcher._fetch_task,))
    assert await consumer.getmany(timeout_ms=200) == {}
    assert patches.fetch_task_ended(consumer)


async def test_positions_are_read_without_waiting(consumer: AIOKafkaConsumer) -> None:
    """aiokafka's `position` is a coroutine, which waits while a partition has none."""
    assert inspect.iscoroutinefunction(AIOKafkaConsumer.position)
    (partition,) = consumer.assignment()
    await consumer.getmany(timeout_ms=10_000)
    assert patches.known_positions(consumer) == {partition: 3}
    consumer._subscription.subscription.assignment.state_value(partition).await_reset(-1)
    assert patches.known_positions(consumer) == {}


async def stop_with_a_pending_request(
    bootstrap: str, topic: str, stop: Callable[[AIOKafkaConsumer], Awaitable[None]]
) -> AIOKafkaConsumer:
    """Stop a consumer while one of aiokafka's tasks waits for a broker."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.start()
    await consumer.getmany(timeout_ms=100)
    consumer._fetcher._pending_tasks.add(asyncio.create_task(asyncio.sleep(60)))
    await asyncio.sleep(0)
    try:
        await stop(consumer)
    except asyncio.CancelledError:
        assert consumer._client._conns, "it has closed its connections"
        await consumer._client.close()
        raise
    return consumer


async def test_stopping_survives_the_cancellation_of_aiokafkas_own_task(
    cluster: Cluster, make_topic: MakeTopic
) -> None:
    """aiokafka cancels its pending tasks, lets the cancellation out, and leaves its connections open."""
    topic = make_topic(1)
    with pytest.raises(asyncio.CancelledError):
        await stop_with_a_pending_request(cluster.bootstrap, topic, AIOKafkaConsumer.stop)
    consumer = await stop_with_a_pending_request(cluster.bootstrap, topic, patches.stop_consumer)
    assert not any(connection.connected() for connection in consumer._client._conns.values())


async def test_a_cancellation_by_the_caller_goes_through(consumer: AIOKafkaConsumer) -> None:
    """It is not taken for one of aiokafka's own."""
    waiting = asyncio.Event()

    async def stop_slowly() -> None:
        waiting.set()
        await asyncio.sleep(60)

    class Slow:
        stop = staticmethod(stop_slowly)

    task = asyncio.create_task(patches.stop_consumer(Slow()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class SlowListener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types.
    def __init__(self) -> None:
        self.assigned, self.done = asyncio.Event(), asyncio.Event()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.assigned.set()
        await self.done.wait()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        pass


@pytest.mark.requires("rebalancing")
async def test_records_come_while_the_assignment_callback_runs(cluster: Cluster, make_topic: MakeTopic) -> None:
    """So the source holds them back. The group's generation is known by then, which aiokafka has no public name for."""
    assert not [name for name in dir(AIOKafkaConsumer) if "generation" in name and not name.startswith("_")]
    topic, listener = make_topic(1), SlowListener()
    await asyncio.to_thread(fill, cluster.bootstrap, topic, [Item(b"%d" % number) for number in range(3)])
    consumer = AIOKafkaConsumer(
        bootstrap_servers=cluster.bootstrap, group_id=f"group-{topic}", auto_offset_reset="earliest"
    )
    assert patches.group_generation(consumer) == 0
    await consumer.start()
    try:
        consumer.subscribe([topic], listener=listener)
        async with asyncio.timeout(60):
            await listener.assigned.wait()
            assert patches.group_generation(consumer) == 1
            records: list[Any] = []
            while not records:
                records = [record for found in (await consumer.getmany(timeout_ms=100)).values() for record in found]
        assert not listener.done.is_set()
    finally:
        listener.done.set()
        await patches.stop_consumer(consumer)


# Producers


async def stop_with_a_broker_that_hangs(
    bootstrap: str, topic: str, stop: Callable[[AIOKafkaProducer], Awaitable[None]]
) -> bool:
    """Whether stopping ends within two seconds while a message waits for a broker that does not answer."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"hangs-{topic}")
    await producer.start()
    await producer.begin_transaction()
    send, answers = producer.client.send, asyncio.Event()

    async def send_when_it_answers(*arguments: Any, **options: Any) -> Any:
        await answers.wait()
        return await send(*arguments, **options)

    producer.client.send = send_when_it_answers
    future = await producer.send(topic, b"value")
    task = asyncio.ensure_future(stop(producer))
    ended, _ = await asyncio.wait((task,), timeout=2)
    answers.set()
    await asyncio.wait((task, future))
    await producer._sender.close()
    await producer.client.close()
    return bool(ended)


@pytest.mark.requires("transactions")
async def test_closing_a_producer_does_not_wait_for_a_broker_that_hangs(
    cluster: Cluster, make_topic: MakeTopic
) -> None:
    """aiokafka's `stop` does."""
    topic = make_topic(1)
    assert not await stop_with_a_broker_that_hangs(cluster.bootstrap, topic, AIOKafkaProducer.stop)
    assert await stop_with_a_broker_that_hangs(cluster.bootstrap, topic, lambda p: patches.close_producer(p, 0.2))


async def complaints_after(
    bootstrap: str, topic: str, stop: Callable[[AIOKafkaProducer], Awaitable[None]]
) -> list[str]:
    """What asyncio logs about errors that nobody retrieved, once a fenced producer is stopped and gone."""
    messages: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: messages.append(context["message"]))
    first, second = (AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"fenced-{topic}") for _ in "ab")
    await first.start()
    await first.begin_transaction()
    await second.start()
    batch = first.create_batch()
    batch.append(key=None, value=b"value", timestamp=None)
    future = await first.send_batch(batch, topic, partition=0)
    with pytest.raises(KafkaError):
        await future
    await stop(first)
    await second.stop()
    del first, second, batch, future
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0)
    return messages


@pytest.mark.requires("transactions")
async def test_closing_a_producer_leaves_no_error_unretrieved(cluster: Cluster, make_topic: MakeTopic) -> None:
    """aiokafka's `stop` does, of which asyncio complains."""
    topic = make_topic(1)
    assert "Future exception was never retrieved" in await complaints_after(
        cluster.bootstrap, topic, AIOKafkaProducer.stop
    )
    assert await complaints_after(cluster.bootstrap, topic, lambda p: patches.close_producer(p, 5)) == []
