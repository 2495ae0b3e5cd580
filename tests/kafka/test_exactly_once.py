"""Exactly-once delivery on a real broker: what becomes visible, when, and what does not."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.kafka import KafkaFault, PublishRefused, TopicMissing, TopicReader
from streamer.kafka.exactly_once import ExactlyOnce
from streamer.settings import KafkaSettings
from tests.brokers import Cluster, MakeTopic, StartCluster, new_topic
from tests.reading import committed, read_all

pytestmark = pytest.mark.requires("transactions")

DONE, SKIPPED, FAILED = CommitOutcome.DONE, CommitOutcome.SKIPPED, CommitOutcome.FAILED


class Stream:
    """An input topic, of which only the offsets matter, with topics for its results and dead letters.

    Result n belongs to offset n, has it as its value, and goes to the output partition of the same number.
    """

    def __init__(self, bootstrap: str, topics: Callable[[], str]) -> None:
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap, group_id="group")
        self.input, self.output, self.dead = topics(), topics(), topics()
        self.kafka = self.kafka.model_copy(update={"group_id": f"group-{self.input}"})
        self.first = TopicPartition(self.input, 0)
        self._resources = contextlib.AsyncExitStack()

    def worker(self, transaction_timeout_ms: int = 60_000, **settings: int) -> ExactlyOnce:
        """A delivery that has no partitions yet; closed at the end of the test."""
        worker = ExactlyOnce(
            self.kafka.model_copy(update=settings), "none", transaction_timeout_ms=transaction_timeout_ms
        )
        self._resources.push_async_callback(worker.stop)
        return worker

    async def owner(self, transaction_timeout_ms: int = 60_000, **settings: int) -> ExactlyOnce:
        """A delivery that has taken over the first partition."""
        worker = self.worker(transaction_timeout_ms, **settings)
        await worker.assigned([self.first])
        return worker

    def results(self, offsets: Iterable[int], topic: str = "", partition: int = 0) -> list[Message]:
        return [
            Message(topic or self.output, b"k", b"%d" % offset, (), 1_704_067_200_000, partition, partition)
            for offset in offsets
        ]

    async def send(self, worker: ExactlyOnce, *offsets: int, partition: int = 0) -> None:
        """Send the results of these offsets together, and wait until the broker has acknowledged them."""
        source = TopicPartition(self.input, partition)
        await (await worker.send(source, offsets[-1] + 1, self.results(offsets, partition=partition)))

    async def visible(self, expected: int, topic: str = "", **options: Any) -> list[int]:
        """The offsets whose results confluent-kafka reads, waiting for `expected`, by default committed ones."""
        records = await asyncio.to_thread(
            read_all, self.kafka.bootstrap_servers, topic or self.output, expected, timeout_s=10, **options
        )
        return [int(record.value or b"-1") for record in records]

    async def offsets(self, expected: dict[int, int]) -> dict[int, int]:
        """The committed offsets, waiting for these: they become visible a moment after the commit."""
        for _ in range(50):
            found = await asyncio.to_thread(committed, self.kafka.bootstrap_servers, self.kafka.group_id, self.input)
            if found == expected:
                break
            await asyncio.sleep(0.02)
        return found

    async def close(self) -> None:
        await self._resources.aclose()


@pytest.fixture
async def stream(cluster: Cluster, make_topic: MakeTopic) -> AsyncIterator[Stream]:
    stream = Stream(cluster.bootstrap, lambda: make_topic(8))
    yield stream
    await stream.close()


@contextlib.asynccontextmanager
async def on_a_cluster_of_its_own(start_cluster: StartCluster, **properties: str) -> AsyncIterator[tuple[Stream, Any]]:
    cluster = await asyncio.to_thread(start_cluster, properties={k.replace("_", "."): v for k, v in properties.items()})
    stream = Stream(cluster.bootstrap, lambda: new_topic(cluster, 1))
    try:
        yield stream, cluster
    finally:
        await stream.close()


async def read_by_aiokafka(stream: Stream) -> list[int]:
    """The offsets whose results aiokafka reads, of committed transactions only."""
    found = []
    async with TopicReader(stream.kafka, stream.output, start="beginning") as reader, asyncio.timeout(20):
        ends = await reader.ends()
        while await reader.positions() != ends:
            found += [int(record.value or b"-1") for record in await reader.poll(0.1)]
    return found


@contextlib.asynccontextmanager
async def next_owner(stream: Stream) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that initialises the first partition's transactional id as a new owner would, and no more."""
    producer = AIOKafkaProducer(
        bootstrap_servers=stream.kafka.bootstrap_servers,
        transactional_id=f"streamer/{stream.kafka.group_id}/{stream.input}/0",
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def failing(times: int, method: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Calls the method, then fails as if the broker's response had been lost, this many times."""
    left = times

    async def call_and_fail(producer: AIOKafkaProducer) -> None:
        nonlocal left
        await method(producer)
        if left:
            left -= 1
            raise KafkaError("the response was lost")

    return call_and_fail


# What becomes visible, and when


async def test_results_and_their_offset_become_visible_together(stream: Stream) -> None:
    """To confluent-kafka and to aiokafka. The offset is that of the last send, whatever the positions are."""
    worker = await stream.owner()
    await stream.send(worker, 0, 1, 2)
    await stream.send(worker, 3, 4)
    assert await worker.commit({stream.first: 3}) is DONE
    assert await stream.visible(5) == await read_by_aiokafka(stream) == [0, 1, 2, 3, 4]
    assert await stream.offsets({0: 5}) == {0: 5}


async def test_nothing_is_visible_before_the_commit(stream: Stream) -> None:
    """Although everything is acknowledged, and readers of uncommitted records see it."""
    worker = await stream.owner()
    await stream.send(worker, 0, 1, 2)
    assert await stream.visible(3, committed_only=False) == [0, 1, 2]
    assert await stream.visible(0) == await read_by_aiokafka(stream) == []
    assert await stream.offsets({}) == {}


async def test_dead_letters_and_results_are_one_transaction(stream: Stream) -> None:
    """Neither topic shows anything before the commit; then both do."""
    worker = await stream.owner()
    messages = [*stream.results([0, 2]), *stream.results([1], stream.dead, 5)]
    await (await worker.send(stream.first, 3, messages))
    assert await stream.visible(0) == await stream.visible(0, stream.dead) == []
    assert await worker.commit({stream.first: 3}) is DONE
    assert await stream.visible(2) == [0, 2]
    assert await stream.visible(1, stream.dead) == [1]
    assert await stream.offsets({0: 3}) == {0: 3}


async def test_what_is_sent_while_a_commit_runs_is_in_the_next_transaction(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own offset."""
    worker = await stream.owner()
    await stream.send(worker, 0, 1)
    real, begun = AIOKafkaProducer.commit_transaction, asyncio.Event()

    async def noted(producer: AIOKafkaProducer) -> None:
        begun.set()
        await real(producer)

    monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", noted)
    running = asyncio.create_task(worker.commit({stream.first: 2}))
    await begun.wait()
    await stream.send(worker, 2)
    assert await running is DONE
    assert await stream.visible(2) == [0, 1]
    assert await stream.offsets({0: 2}) == {0: 2}
    assert await worker.commit({stream.first: 3}) is DONE
    assert await stream.visible(3) == [0, 1, 2]
    assert await stream.offsets({0: 3}) == {0: 3}


async def test_an_empty_commit_does_nothing(stream: Stream) -> None:
    """Whatever the positions say, and even without any."""
    worker = await stream.owner()
    assert await worker.commit({}) is DONE
    assert await worker.commit({stream.first: 7}) is DONE
    assert await stream.offsets({}) == {}


async def test_partitions_are_transactions_of_their_own(stream: Stream) -> None:
    """Those in the positions are committed; the others stay invisible."""
    worker = stream.worker()
    partitions = [TopicPartition(stream.input, number) for number in range(8)]
    await worker.assigned(partitions)
    for partition in range(8):
        await stream.send(worker, 0, 1, partition=partition)
    assert await worker.commit(dict.fromkeys(partitions[:7], 2)) is DONE
    assert sorted(await stream.visible(14)) == sorted([0, 1] * 7)
    assert await stream.offsets(dict.fromkeys(range(7), 2)) == dict.fromkeys(range(7), 2)


# Owners


async def test_a_crash_before_the_commit_leaves_nothing(stream: Stream) -> None:
    """The next owner aborts the transaction, and begins at the last commit."""
    crashed = await stream.owner()
    await stream.send(crashed, 0, 1)
    assert await crashed.commit({stream.first: 2}) is DONE
    await stream.send(crashed, 2, 3)
    assert await stream.worker().assigned([stream.first]) == {stream.first: 2}
    assert await stream.visible(2) == await read_by_aiokafka(stream) == [0, 1]
    assert await stream.offsets({0: 2}) == {0: 2}


async def test_the_former_owner_can_commit_nothing(stream: Stream) -> None:
    """Its commits are skipped, now and later, and what it sends is dropped; the new owner goes on."""
    former = await stream.owner()
    await stream.send(former, 0, 1)
    owner = await stream.owner()
    assert await former.commit({stream.first: 2}) is SKIPPED
    await stream.send(former, 2)
    assert await former.commit({stream.first: 3}) is SKIPPED
    await stream.send(owner, 0)
    assert await owner.commit({stream.first: 1}) is DONE
    assert await stream.visible(1) == [0]
    assert await stream.offsets({0: 1}) == {0: 1}


async def test_a_former_owner_that_was_idle_can_commit_nothing_either(stream: Stream) -> None:
    """It notices the new owner with what it sends next."""
    former = await stream.owner()
    await stream.owner()
    await stream.send(former, 0)
    assert await former.commit({stream.first: 1}) is SKIPPED
    assert await stream.visible(0) == []


async def test_a_partition_may_come_back(stream: Stream) -> None:
    """Assigned again, it is committed again."""
    former, other = await stream.owner(), stream.worker()
    await other.assigned([stream.first])
    await stream.send(former, 0)
    assert await former.commit({stream.first: 1}) is SKIPPED
    assert await former.assigned([stream.first]) == {}
    await stream.send(former, 0)
    assert await former.commit({stream.first: 1}) is DONE
    assert await stream.visible(1) == [0]


async def test_a_revoked_partition_holds_no_reader_back(stream: Stream) -> None:
    """Its open transaction is aborted: readers pass over it without waiting for a next owner or a timeout."""
    worker = await stream.owner()
    await stream.send(worker, 0)
    await worker.revoked([stream.first])
    async with TopicReader(stream.kafka, stream.output, start="beginning") as reader, asyncio.timeout(10):
        # The result and the marker that aborts it, which the broker writes just after it has answered.
        while (await reader.ends())[TopicPartition(stream.output, 0)] < 2:
            await asyncio.sleep(0.05)
    await stream.send(worker, 1)
    assert await worker.commit({stream.first: 2}) is SKIPPED
    assert await stream.visible(0) == []


async def test_a_lost_partition_that_the_group_does_not_revoke_ends_the_worker(stream: Stream) -> None:
    """Otherwise it would be read on and on, and nothing of it committed."""
    former = await stream.owner(session_timeout_ms=1000, rebalance_timeout_ms=0)
    await stream.send(former, 0)
    await stream.owner()
    assert await former.commit({stream.first: 1}) is SKIPPED
    await asyncio.sleep(1)
    with pytest.raises(KafkaFault, match=f"{stream.input}/0 is another worker's"):
        await former.commit({stream.first: 1})


async def test_assignment_waits_for_an_offset_that_is_being_committed(stream: Stream) -> None:
    """Reading goes on from where the transaction that holds it puts the offset."""
    async with AIOKafkaProducer(bootstrap_servers=stream.kafka.bootstrap_servers, transactional_id="other") as other:
        await other.begin_transaction()
        await other.send_offsets_to_transaction({KafkaPartition(*stream.first): 7}, stream.kafka.group_id)
        assigned = asyncio.create_task(stream.worker().assigned([stream.first]))
        await asyncio.sleep(0.5)
        assert not assigned.done()
        await other.commit_transaction()
        assert await assigned == {stream.first: 7}


# Failures


async def test_a_transaction_that_broke_is_sent_again(stream: Stream) -> None:
    """Everything, once, in order, if the broker may have aborted it by itself and no other owner went on."""
    worker = await stream.owner(transaction_timeout_ms=200)
    await stream.send(worker, 0, 1)
    await stream.send(worker, 2)
    async with next_owner(stream):
        await asyncio.sleep(0.3)
    await stream.send(worker, 3)
    assert await worker.commit({stream.first: 4}) is DONE
    assert await stream.visible(4) == await read_by_aiokafka(stream) == [0, 1, 2, 3]
    assert await stream.offsets({0: 4}) == {0: 4}
    await stream.send(worker, 4)
    assert await worker.commit({stream.first: 5}) is DONE
    assert await stream.visible(5) == [0, 1, 2, 3, 4]


async def test_a_fenced_owner_loses_the_partition_even_if_a_consequence_is_reported_first(stream: Stream) -> None:
    """Later sends fail because there is no transaction. Even so the id is not initialised again."""
    worker = await stream.owner()
    async with next_owner(stream) as other:
        await stream.send(worker, 0)
        await stream.send(worker, 1)
        assert await worker.commit({stream.first: 2}) is SKIPPED
        await other.begin_transaction()  # It was not fenced in turn.
        await other.send_offsets_to_transaction({KafkaPartition(*stream.first): 7}, stream.kafka.group_id)
        await other.commit_transaction()
    assert await stream.offsets({0: 7}) == {0: 7}
    assert await stream.visible(0) == []


async def test_a_broken_transaction_is_dropped_if_another_owner_went_on(stream: Stream) -> None:
    """However old it is: the committed offset is not where the transaction began."""
    worker = await stream.owner(transaction_timeout_ms=200)
    await stream.send(worker, 0, 1)
    async with next_owner(stream) as other:
        await other.begin_transaction()
        await other.send_offsets_to_transaction({KafkaPartition(*stream.first): 1}, stream.kafka.group_id)
        await other.commit_transaction()
        await asyncio.sleep(0.3)
        assert await worker.commit({stream.first: 2}) is SKIPPED
        await other.begin_transaction()  # It was not fenced in turn.
        await other.send_offsets_to_transaction({KafkaPartition(*stream.first): 3}, stream.kafka.group_id)
        await other.commit_transaction()
    assert await stream.visible(0) == []
    assert await stream.offsets({0: 3}) == {0: 3}


async def test_a_broken_transaction_is_dropped_if_another_owner_goes_on_at_the_last_moment(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the offset is read and before the id is initialised again: so the offset is read again."""
    worker = await stream.owner()
    await stream.send(worker, 0, 1)
    start = AIOKafkaProducer.start

    async def overtaken(producer: AIOKafkaProducer) -> None:
        monkeypatch.setattr(AIOKafkaProducer, "start", start)
        async with next_owner(stream) as other:
            await other.begin_transaction()
            await other.send_offsets_to_transaction({KafkaPartition(*stream.first): 1}, stream.kafka.group_id)
            await real(other)
        await start(producer)

    real = AIOKafkaProducer.commit_transaction
    monkeypatch.setattr(AIOKafkaProducer, "start", overtaken)
    monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", failing(1, AIOKafkaProducer.flush))
    assert await worker.commit({stream.first: 2}) is SKIPPED
    assert await stream.visible(0) == []
    assert await stream.offsets({0: 1}) == {0: 1}


async def test_a_commit_whose_response_was_lost_is_not_repeated(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committed offset shows that it was done."""
    worker = await stream.owner()
    await stream.send(worker, 0, 1)
    monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", failing(1, AIOKafkaProducer.commit_transaction))
    assert await worker.commit({stream.first: 2}) is DONE
    assert await stream.visible(2) == [0, 1]
    await stream.send(worker, 2)
    assert await worker.commit({stream.first: 3}) is DONE
    assert await stream.visible(3) == [0, 1, 2]
    assert await stream.offsets({0: 3}) == {0: 3}


async def test_a_transaction_that_keeps_breaking_ends_the_worker(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With KafkaFault, and nothing of it is committed; the other partition is."""
    worker = stream.worker()
    other = TopicPartition(stream.input, 1)
    await worker.assigned([stream.first, other])
    await stream.send(worker, 0)
    await stream.send(worker, 0, partition=1)
    real = AIOKafkaProducer.send_offsets_to_transaction

    async def broken(producer: AIOKafkaProducer, offsets: dict[Any, Any], group: str) -> None:
        if KafkaPartition(*stream.first) in offsets:
            raise KafkaError("broken")
        await real(producer, offsets, group)

    monkeypatch.setattr(AIOKafkaProducer, "send_offsets_to_transaction", broken)
    with pytest.raises(KafkaFault, match=f"transaction of {stream.input}/0: KafkaError: broken"):
        await worker.commit({stream.first: 1, other: 1})
    await worker.stop()
    assert await stream.offsets({1: 1}) == {1: 1}
    assert len(await stream.visible(1)) == 1


async def test_a_message_too_large_is_refused(stream: Stream) -> None:
    """By the acknowledgement and by the commit, which commits nothing."""
    worker = await stream.owner()
    await stream.send(worker, 0)
    large = stream.results([1])[0]._replace(value=b"x" * 1_500_000)
    acknowledgement = await worker.send(stream.first, 2, [large])
    with pytest.raises(PublishRefused, match=stream.output):
        await acknowledgement
    with pytest.raises(PublishRefused, match=stream.output):
        await worker.commit({stream.first: 2})
    await worker.stop()
    assert await stream.visible(0) == []
    assert await stream.offsets({}) == {}


async def test_a_cancelled_commit_goes_on_and_the_next_one_waits_for_it(stream: Stream) -> None:
    """The next one finds nothing left to do."""
    worker = await stream.owner()
    await stream.send(worker, 0, 1)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await worker.commit({stream.first: 2})
    assert await worker.commit({stream.first: 2}) is DONE
    assert await stream.visible(2) == [0, 1]
    assert await stream.offsets({0: 2}) == {0: 2}


async def test_a_cancelled_send_is_not_committed(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the part that had been sent already."""
    worker = await stream.owner()
    await stream.send(worker, 0)
    real = AIOKafkaProducer.send_batch

    async def slow(producer: AIOKafkaProducer, batch: Any, topic: str, *, partition: int) -> Any:
        if topic == stream.dead:
            await asyncio.sleep(10)
        return await real(producer, batch, topic, partition=partition)

    monkeypatch.setattr(AIOKafkaProducer, "send_batch", slow)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await worker.send(stream.first, 3, [*stream.results([1]), *stream.results([2], stream.dead)])
    assert await stream.visible(2, committed_only=False) == [0, 1]
    assert await worker.commit({stream.first: 1}) is DONE
    assert await stream.visible(1) == [0]
    assert await stream.offsets({0: 1}) == {0: 1}


async def test_the_acknowledgement_of_a_send_may_be_cancelled(stream: Stream) -> None:
    """The commit still knows whether everything was acknowledged."""
    worker = await stream.owner()
    acknowledgement = await worker.send(stream.first, 1, stream.results([0]))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await acknowledgement
    assert await worker.commit({stream.first: 1}) is DONE
    assert await stream.visible(1) == [0]


@pytest.mark.requires("properties")
async def test_a_transaction_that_the_broker_aborted_is_recovered(start_cluster: StartCluster) -> None:
    """Because it was open for too long: everything is sent again, once."""
    quick = {"transaction_abort_timed_out_transaction_cleanup_interval_ms": "100"}
    async with on_a_cluster_of_its_own(start_cluster, **quick) as (stream, _):
        worker = await stream.owner(transaction_timeout_ms=500)
        await stream.send(worker, 0, 1)
        await asyncio.sleep(1.5)
        await stream.send(worker, 2)
        assert await worker.commit({stream.first: 3}) is DONE
        assert await stream.visible(3) == [0, 1, 2]
        assert await stream.offsets({0: 3}) == {0: 3}


@pytest.mark.requires("faults")
async def test_commits_wait_for_a_broker_that_hangs_or_dies(start_cluster: StartCluster) -> None:
    """They fail meanwhile; in the end every result is there once."""
    async with on_a_cluster_of_its_own(start_cluster) as (stream, cluster):
        worker = await stream.owner(request_timeout_ms=1000)
        await stream.send(worker, 0, 1)
        cluster.pause(1)
        assert await worker.commit({stream.first: 2}) is FAILED
        cluster.resume(1)
        assert await until_done(worker, stream.first) is DONE
        await stream.send(worker, 2)
        cluster.kill(1)
        assert await worker.commit({stream.first: 3}) is FAILED
        await asyncio.to_thread(cluster.start, 1)
        assert await until_done(worker, stream.first) is DONE
        assert await stream.visible(3) == await read_by_aiokafka(stream) == [0, 1, 2]
        assert await stream.offsets({0: 3}) == {0: 3}


async def until_done(worker: ExactlyOnce, partition: TopicPartition) -> CommitOutcome:
    outcome = FAILED
    async with asyncio.timeout(60):
        while outcome is FAILED:
            outcome = await worker.commit({partition: 0})
    return outcome


@pytest.mark.parametrize("seed", range(4))
async def test_offset_and_results_always_agree(stream: Stream, seed: int) -> None:
    """After sends, commits, cancelled commits and crashes in any order, each next owner finds as many results as the
    offset says. In the end each result is there once, in order."""
    choices = random.Random(seed)
    worker = await stream.owner()
    offset = 0
    for _ in range(40):
        match choices.choice(("send", "send", "send", "commit", "cancelled", "crash")):
            case "send":
                count = choices.randint(1, 5)
                task = worker.send(stream.first, offset + count, stream.results(range(offset, offset + count)))
                acknowledgement = await task
                offset += count
                if choices.random() < 0.5:
                    await acknowledgement
            case "commit":
                assert await worker.commit({stream.first: offset}) is DONE
            case "cancelled":
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(choices.random() * 0.02):
                        await worker.commit({stream.first: offset})
            case "crash":
                worker = stream.worker()
                offset = (await worker.assigned([stream.first])).get(stream.first, 0)
                assert await stream.visible(0) == list(range(offset))
    assert await worker.commit({stream.first: offset}) is DONE
    assert await stream.visible(offset) == list(range(offset))
    assert await stream.offsets({0: offset} if offset else {}) == ({0: offset} if offset else {})


# Settings


async def test_a_missing_topic_is_named(stream: Stream) -> None:
    """Before anything is read."""
    with pytest.raises(TopicMissing, match="no-such-topic"):
        await stream.worker().start(stream.output, "no-such-topic")
    await stream.worker().start(stream.output, stream.dead)


async def test_a_transaction_timeout_that_the_broker_does_not_allow_is_refused(stream: Stream) -> None:
    """At once, with the reason."""
    with pytest.raises(KafkaFault, match=f"transactional id of {stream.input}/0.*InvalidTransactionTimeout"):
        await stream.worker(transaction_timeout_ms=3_600_000).assigned([stream.first])
