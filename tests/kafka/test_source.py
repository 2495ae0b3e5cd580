"""The records that the consumer returns around a rebalance."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from streamer.events import Record, TopicPartition
from streamer.kafka import Consumer
from streamer.settings import KafkaSettings
from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.reading import Item, fill

pytestmark = [pytest.mark.requires("rebalancing"), pytest.mark.timeout(120)]


async def _first(
    cluster: Cluster,
    topic: str,
    count: int,
    start_at: dict[TopicPartition, int],
    wait: float = 0.1,
    later: Sequence[Item] = (),
) -> list[Record]:
    """The first records returned when the assignment callback takes a second, and ends with a seek.

    `later` are written only after that.
    """
    kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap, group_id=f"group-{topic}")
    consumer = Consumer(kafka, topic)
    assignment_ended = False

    async def on_assigned(_: Sequence[TopicPartition]) -> None:
        nonlocal assignment_ended
        await asyncio.sleep(1.0)
        consumer.seek(start_at)
        assignment_ended = True

    async def on_revoked(_: Sequence[TopicPartition]) -> None:
        pass

    async def write() -> None:
        while not assignment_ended:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(fill, cluster.bootstrap, topic, later)

    await consumer.start(on_assigned, on_revoked)
    writing = asyncio.create_task(write())
    try:
        records: list[Record] = []
        async with asyncio.timeout(60):
            while len(records) < count:
                for polled in (await consumer.poll(wait)).values():
                    assert assignment_ended
                    records += polled
        return records
    finally:
        await writing
        await consumer.stop()


async def test_records_are_held_back_until_the_assignment_callback_has_ended(
    cluster: Cluster, make_topic: MakeTopic
) -> None:
    """aiokafka returns them meanwhile; none is lost."""
    topic = make_topic(1)
    fill(cluster.bootstrap, topic, [Item(b"%d" % number) for number in range(500)])
    assert [record.offset for record in await _first(cluster, topic, 500, {})] == list(range(500))


@pytest.mark.parametrize("wait", [0.1, 5.0])
async def test_a_seek_drops_the_records_held_back(cluster: Cluster, make_topic: MakeTopic, wait: float) -> None:
    """With exactly-once delivery the callback finds the offset. A poll may begin before it and end after it."""
    topic = make_topic(1)
    fill(cluster.bootstrap, topic, [Item(b"%d" % number) for number in range(500)])
    records = await _first(cluster, topic, 100, {TopicPartition(topic, 0): 400}, wait)
    assert [record.offset for record in records] == list(range(400, 500))


async def test_a_poll_that_began_before_a_seek_returns_what_is_written_after_it(
    cluster: Cluster, make_topic: MakeTopic
) -> None:
    """A poll that began before the assignment and waited through the seek once lost these records."""
    topic = make_topic(1)
    written = [Item(b"%d" % number) for number in range(500)]
    records = await _first(cluster, topic, 500, {TopicPartition(topic, 0): 0}, 10.0, written)
    assert [record.offset for record in records] == list(range(500))
