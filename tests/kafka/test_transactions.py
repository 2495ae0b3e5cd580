"""The states that a partition's transactions go through, on a real broker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.kafka import KafkaFault
from streamer.kafka.transaction_state import Broken, Closed, Committing, Idle, Lost, Open, Recovering, State
from streamer.kafka.transactional_ids import TransactionClient
from streamer.kafka.transactions import Transactions
from streamer.settings import KafkaSettings
from tests.brokers import Cluster, MakeTopic
from tests.reading import read_all

pytestmark = pytest.mark.requires("transactions")

DONE, SKIPPED = CommitOutcome.DONE, CommitOutcome.SKIPPED


@dataclass
class Participant:
    """Publishes one message in each transaction, and notes up to which offset it was published."""

    topic: str
    published: list[int] = field(default_factory=list)

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        pass

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        pass

    def pending_messages(self, partition: TopicPartition, next_offset: int) -> Sequence[Message]:
        return [Message(self.topic, None, b"up to %d" % next_offset, (), 0, 0)]

    def mark_published(self, partition: TopicPartition, next_offset: int) -> None:
        self.published.append(next_offset)


class Partition:
    """The transactions of one partition, and the states that they have entered."""

    def __init__(self, cluster: Cluster, make_topic: MakeTopic) -> None:
        self.bootstrap = cluster.bootstrap
        self.source, self.output = TopicPartition(make_topic(1), 0), make_topic(1)
        kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap, group_id=f"group-{self.source.topic}")
        self.client = TransactionClient(kafka, "none", 60_000, "streamer")
        self.participant = Participant(self.output)
        self.entered: list[type[State]] = []
        self.transactions: Transactions

    async def start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        enter = Transactions._enter

        def noted(transactions: Transactions, state: State) -> None:
            enter(transactions, state)
            self.entered.append(type(state))

        monkeypatch.setattr(Transactions, "_enter", noted)
        producer = await self.client.init_transactional_id(self.source)
        self.transactions = Transactions(self.client, self.source, producer, -1, self.participant)

    async def send(self, *offsets: int) -> None:
        messages = [Message(self.output, b"k", b"%d" % offset, (), 0, 0) for offset in offsets]
        await (await self.transactions.send(offsets[-1] + 1, messages))

    async def commit(self) -> CommitOutcome:
        return await self.transactions.start_commit()

    async def visible(self, expected: int) -> list[bytes | None]:
        records = await asyncio.to_thread(read_all, self.bootstrap, self.output, expected, timeout_s=10)
        return [record.value for record in records]

    async def committed(self) -> int:
        return (await self.client.committed([self.source]))[self.source]

    @contextlib.asynccontextmanager
    async def next_owner(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = await self.client.init_transactional_id(self.source)
        try:
            yield producer
        finally:
            await producer.stop()


@pytest.fixture
async def partition(
    cluster: Cluster, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Partition]:
    partition = Partition(cluster, make_topic)
    await partition.start(monkeypatch)
    yield partition
    if not isinstance(partition.transactions.state, Closed):
        await partition.transactions.close()


def fail_once(monkeypatch: pytest.MonkeyPatch, method: str, *, after: bool) -> None:
    """Let a producer's method raise once, before it does something or after it has: the response is lost then."""
    real = getattr(AIOKafkaProducer, method)

    async def failing(producer: AIOKafkaProducer, *arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(AIOKafkaProducer, method, real)
        if after:
            await real(producer, *arguments, **options)
        raise KafkaError("failed")

    monkeypatch.setattr(AIOKafkaProducer, method, failing)


async def test_idle_open_committing_idle(partition: Partition) -> None:
    """A send opens a transaction, later sends join it, and a commit ends it with what the participant publishes."""
    assert isinstance(partition.transactions.state, Idle)
    await partition.send(0)
    await partition.send(1)
    assert isinstance(partition.transactions.state, Open)
    assert await partition.commit() is DONE
    assert partition.entered == [Open, Committing, Idle]
    assert await partition.visible(3) == [b"0", b"1", b"up to 2"]
    assert partition.participant.published == [await partition.committed()] == [2]


async def test_idle_commits_nothing(partition: Partition) -> None:
    """It stays idle, and the participant is not asked."""
    assert await partition.commit() is DONE
    assert partition.entered == []
    assert await partition.committed() == -1


async def test_a_send_that_fails_breaks_the_transaction(partition: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent while it is broken is kept; the commit recovers, and sends everything again in a new transaction."""
    await partition.send(0)
    fail_once(monkeypatch, "send_batch", after=False)
    await partition.send(1)
    assert isinstance(partition.transactions.state, Broken)
    await partition.send(2)
    assert await partition.commit() is DONE
    assert partition.entered == [Open, Broken, Recovering, Open, Committing, Idle]
    assert await partition.visible(4) == [b"0", b"1", b"2", b"up to 3"]


async def test_a_commit_that_fails_is_recovered_by_sending_again(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committed offset has not moved."""
    await partition.send(0)
    fail_once(monkeypatch, "send_offsets_to_transaction", after=False)
    assert await partition.commit() is DONE
    assert partition.entered == [Open, Committing, Broken, Recovering, Open, Committing, Idle]
    assert await partition.visible(2) == [b"0", b"up to 1"]
    assert partition.participant.published == [1]


async def test_a_commit_whose_response_is_lost_is_recovered_as_done(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committed offset says so; nothing is sent again."""
    await partition.send(0)
    fail_once(monkeypatch, "commit_transaction", after=True)
    assert await partition.commit() is DONE
    assert partition.entered == [Open, Committing, Broken, Recovering, Idle]
    assert await partition.visible(2) == [b"0", b"up to 1"]
    assert partition.participant.published == [1]


async def test_a_recovery_that_fails_is_tried_again(partition: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    """From Broken, like the first."""
    await partition.send(0)
    fail_once(monkeypatch, "send_offsets_to_transaction", after=False)
    fail_once(monkeypatch, "begin_transaction", after=False)
    assert await partition.commit() is DONE
    assert partition.entered[:7] == [Open, Committing, Broken, Recovering, Open, Broken, Recovering]
    assert partition.entered[-3:] == [Open, Committing, Idle]
    assert await partition.visible(2) == [b"0", b"up to 1"]


async def test_a_new_owner_makes_it_lost(partition: Partition) -> None:
    """Commits are skipped and sends dropped until the group says so; if it never does, that is a fault."""
    await partition.send(0)
    async with partition.next_owner():
        assert await partition.commit() is SKIPPED
        assert partition.entered == [Open, Committing, Broken, Recovering, Lost]
        await partition.send(1)
        assert await partition.commit() is SKIPPED
        partition.client.rebalance_seconds = 0.0
        with pytest.raises(KafkaFault, match="another worker's"):
            await partition.commit()
    assert partition.participant.published == []


@pytest.mark.parametrize("kind", [Idle, Open, Broken, Lost], ids=lambda kind: kind.__name__)
async def test_every_state_can_be_closed(
    partition: Partition, monkeypatch: pytest.MonkeyPatch, kind: type[State]
) -> None:
    """Then nothing is committed, and readers of the output have nothing to wait for."""
    async with contextlib.AsyncExitStack() as stack:
        if kind is not Idle:
            await partition.send(0)
        if kind is Broken:
            monkeypatch.setattr("streamer.kafka.transactions._MAX_ATTEMPTS", 1)
            fail_once(monkeypatch, "send_offsets_to_transaction", after=False)
            with pytest.raises(KafkaFault):
                await partition.commit()
        if kind is Lost:
            await stack.enter_async_context(partition.next_owner())
            await partition.commit()
        assert isinstance(partition.transactions.state, kind)
        await partition.transactions.close()
        assert isinstance(partition.transactions.state, Closed)
        await partition.send(1)
        assert await partition.commit() is SKIPPED
    assert await partition.visible(0) == []
    assert await partition.committed() == -1
