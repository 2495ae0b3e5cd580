"""Counts on a real broker: published with the commit, each offset once, with either delivery."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import cast

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streamer.events import CommitOutcome, Message, TopicPartition, TrendSample
from streamer.kafka import (
    AtLeastOnce,
    Consumer,
    ExactlyOnce,
    Publisher,
    read_backwards,
)
from streamer.labels import UNNAMED_COLUMNS
from streamer.settings import KafkaSettings
from streamer.trends import SECOND, CountBuffer, Trends
from streamer.trends.publisher import TrendDelivery, TrendPublisher
from tests.brokers import Cluster, MakeTopic
from tests.reading import read_all

BEGIN = 1_763_712_900
DONE, FAILED = CommitOutcome.DONE, CommitOutcome.FAILED


class Offsets:
    """The committed offsets of a group, and whether commits get through."""

    def __init__(self) -> None:
        self.committed: dict[TopicPartition, int] = {}
        self.outcome = DONE

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        if self.outcome is DONE:
            self.committed |= positions
        return self.outcome


class Stream:
    """One partition, of which only the offsets matter, with topics for its results and their counts.

    Each offset has a second of its own; every fourth is a dead letter.
    """

    def __init__(self, bootstrap: str, make_topic: MakeTopic, exactly_once: bool) -> None:
        self.source = TopicPartition(make_topic(2), 1)
        self.output, self.trends = make_topic(2), make_topic(2)
        self.kafka = KafkaSettings(
            bootstrap_servers=bootstrap, group_id=f"group-{self.source.topic}", session_timeout_ms=40_000
        )
        self.exactly_once = exactly_once
        self.offsets = Offsets()
        self.generation = 0
        self.resources = contextlib.AsyncExitStack()

    async def owner(self) -> Owner:
        """The next owner of the partition; former owners go on as long as the test lets them."""
        self.generation += 1
        count_buffer, generation = CountBuffer(UNNAMED_COLUMNS), self.generation
        trends = TrendPublisher(
            self.trends,
            count_buffer,
            open_reader=lambda: read_backwards(self.kafka, self.trends, 20),
            generation=lambda: generation,
        )
        delivery: TrendDelivery | ExactlyOnce
        if self.exactly_once:
            delivery = ExactlyOnce(self.kafka, "none", participant=trends)
        else:
            publisher = Publisher(self.kafka, "none")
            delivery = TrendDelivery(AtLeastOnce(publisher, cast(Consumer, self.offsets)), publisher, trends, 20.0)
        await delivery.start(self.output)
        self.resources.push_async_callback(delivery.stop)
        begin = (await delivery.assigned([self.source])).get(self.source, self.offsets.committed.get(self.source, 0))
        return Owner(self, delivery, count_buffer, begin)

    async def counts(self) -> dict[int, int]:
        """How often each offset counts, for a reader of everything that is committed."""
        trends = Trends()
        for record in await asyncio.to_thread(read_all, self.kafka.bootstrap_servers, self.trends):
            assert record.position.partition == self.source.partition
            trends.merge(record.value, BEGIN + 800)
        return {window.start - BEGIN: window.reviews for window in trends.series(SECOND, 0, 1 << 40) if window.reviews}


class Owner:
    """What a pipeline does with a partition, as far as counts are concerned."""

    def __init__(
        self, stream: Stream, delivery: TrendDelivery | ExactlyOnce, count_buffer: CountBuffer, begin: int
    ) -> None:
        self.stream, self.delivery, self.count_buffer, self.position = stream, delivery, count_buffer, begin

    async def work(self, count: int) -> None:
        """Publish the next records' results, and count them."""
        offsets = range(self.position, self.position + count)
        self.position += count
        self.count_buffer.add(self.stream.source, self.position, [(offset, sample(offset)) for offset in offsets])
        messages = [Message(self.stream.output, None, b"%d" % offset, (), 0, 1) for offset in offsets]
        await (await self.delivery.send(self.stream.source, self.position, messages))

    async def commit(self) -> CommitOutcome:
        return await self.delivery.commit({self.stream.source: self.position})


def sample(offset: int) -> TrendSample | None:
    return None if offset % 4 == 3 else TrendSample(BEGIN + offset, "g", "positive", 1)


def once(offsets: Iterable[int]) -> dict[int, int]:
    return {offset: 1 for offset in offsets if sample(offset) is not None}


@pytest.fixture(params=[False, True], ids=["at_least_once", "exactly_once"])
async def stream(request: pytest.FixtureRequest, cluster: Cluster, make_topic: MakeTopic) -> AsyncIterator[Stream]:
    stream = Stream(cluster.bootstrap, make_topic, request.param)
    async with stream.resources:
        yield stream


pytestmark = [pytest.mark.requires("transactions"), pytest.mark.timeout(300)]


async def test_counts_come_with_the_commit_and_not_before(stream: Stream) -> None:
    """Each offset once. A commit without new records publishes nothing."""
    owner = await stream.owner()
    await owner.work(10)
    assert await stream.counts() == {}
    assert await owner.commit() is DONE
    assert await stream.counts() == once(range(10))
    await owner.work(5)
    assert (await owner.commit(), await owner.commit()) == (DONE, DONE)
    assert await stream.counts() == once(range(15))
    records = await asyncio.to_thread(read_all, stream.kafka.bootstrap_servers, stream.trends)
    topic, partition = stream.source
    assert [record.header("ce_id") for record in records] == [
        f"{topic}/{partition}/0-10".encode(),
        f"{topic}/{partition}/10-15".encode(),
    ]
    assert {(record.key, record.header("ce_type")) for record in records} == {
        (f"{topic}/{partition}".encode(), b"review.sentiment.trend.v1")
    }


async def test_an_owner_that_crashes_before_its_commit_counts_nothing_twice(stream: Stream) -> None:
    """Whether its counts were published or not: the next owner reads the trends topic."""
    first = await stream.owner()
    await first.work(6)
    assert await first.commit() is DONE
    await first.work(4)
    if not stream.exactly_once:
        stream.offsets.outcome = FAILED  # Published, not committed.
        await first.commit()
        stream.offsets.outcome = DONE
    second = await stream.owner()
    assert second.position == 6
    await second.work(9)
    assert await second.commit() is DONE
    assert await stream.counts() == once(range(15))


@pytest.mark.parametrize("seed", range(3))
async def test_each_offset_counts_once_whatever_happens(stream: Stream, seed: int) -> None:
    """With owners that are replaced and go on, commits that fail or are cancelled, and offsets that are set back."""
    chance = random.Random(seed)
    owners = [await stream.owner()]
    for _ in range(40):
        owner = owners[-1] if chance.random() < 0.8 else chance.choice(owners)
        what = chance.random()
        if what < 0.45:
            await owner.work(chance.randrange(1, 9))
        elif what < 0.85:
            if owner is owners[-1] and chance.random() < 0.3:
                committing = asyncio.ensure_future(owner.commit())
                await asyncio.sleep(chance.uniform(0, 0.01))
                committing.cancel()
                await asyncio.wait((committing,))
            else:
                stream.offsets.outcome = DONE if owner is owners[-1] and chance.random() < 0.8 else FAILED
                await owner.commit()
        else:
            if not stream.exactly_once and chance.random() < 0.3:
                stream.offsets.committed[stream.source] = chance.randrange(0, owners[-1].position + 1)
            owners.append(await stream.owner())
    stream.offsets.outcome = DONE
    most = max(owner.position for owner in owners)
    last = await stream.owner()
    await last.work(max(1, most - last.position))
    assert await last.commit() is DONE
    assert await stream.counts() == once(range(last.position))


@pytest.mark.parametrize("fails", ["send_offsets_to_transaction", "commit_transaction"])
async def test_a_transaction_that_broke_counts_once(
    cluster: Cluster, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """It is sent again as a whole, or turns out to have been committed."""
    stream = Stream(cluster.bootstrap, make_topic, True)
    method, left = getattr(AIOKafkaProducer, fails), 1

    async def lost(producer: AIOKafkaProducer, *arguments: object) -> None:
        nonlocal left
        await method(producer, *arguments)
        if left:
            left -= 1
            raise KafkaError("the answer was lost")

    monkeypatch.setattr(AIOKafkaProducer, fails, lost)
    async with stream.resources:
        owner = await stream.owner()
        await owner.work(6)
        assert await owner.commit() is DONE
        await owner.work(3)
        assert await owner.commit() is DONE
        assert left == 0
        assert await stream.counts() == once(range(9))


async def test_a_cancelled_commit_of_counts_goes_on(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Otherwise the next one would publish an overlapping range, and readers would count a part of it."""
    stream = Stream(cluster.bootstrap, make_topic, False)
    async with stream.resources:
        owner = await stream.owner()
        await owner.work(6)
        committing = asyncio.ensure_future(owner.commit())
        for _ in range(3):
            await asyncio.sleep(0)
        committing.cancel()
        await asyncio.wait((committing,))
        await owner.work(3)
        assert await owner.commit() is DONE
        assert await stream.counts() == once(range(9))
        assert stream.offsets.committed == {stream.source: 9}
