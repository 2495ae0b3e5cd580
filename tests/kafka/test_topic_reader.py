"""Reading a topic outside of any group: where it begins, what it returns, and where it ends."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest
from confluent_kafka import Producer

from streamer.demo.embedded_broker import EmbeddedBroker
from streamer.events import Record, TopicPartition
from streamer.kafka import BrokerUnreachable, KafkaFault, TopicMissing, TopicReader, read_backwards
from streamer.settings import KafkaSettings
from tests.brokers import Cluster, MakeTopic
from tests.reading import Item, committed, fill


async def read(reader: TopicReader) -> list[Record]:
    """All records up to the end of the topic as it is now."""
    ends, records = await reader.ends(), []
    async with asyncio.timeout(20):
        while await reader.positions() != ends:
            records += await reader.poll(0.1)
    return records


async def values_from(bootstrap: str, topic: str, **begin: Any) -> list[bytes | None]:
    """The values that a reader returns when it begins like this."""
    async with TopicReader(KafkaSettings(bootstrap_servers=bootstrap), topic, **begin) as reader:
        return [record.value for record in await read(reader)]


def numbered(count: int) -> list[Item]:
    """Records that are a second apart, from 1 January 2024 on."""
    return [Item(b"%d" % number, timestamp_ms=1_704_067_200_000 + 1000 * number) for number in range(count)]


async def test_it_reads_all_partitions_and_all_fields_of_a_record(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Each partition's records in order."""
    topic = make_topic(3)
    items = [
        Item(b"%d" % n, b"k", n % 3, (("a", b"1"), ("none", None)), timestamp_ms=1_704_067_200_000) for n in range(9)
    ]
    await asyncio.to_thread(fill, cluster.bootstrap, topic, items)
    async with TopicReader(KafkaSettings(bootstrap_servers=cluster.bootstrap), topic, start="beginning") as reader:
        records = await read(reader)
        assert await reader.ends() == {TopicPartition(topic, partition): 3 for partition in range(3)}
    headers = (("a", b"1"), ("none", None))
    for partition in range(3):
        assert [record for record in records if record.partition == partition] == [
            Record(topic, partition, offset, 1_704_067_200_000, b"k", b"%d" % (3 * offset + partition), headers)
            for offset in range(3)
        ]


async def test_from_the_end_it_reads_only_new_records(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Those written after the block is entered."""
    topic = make_topic()
    await asyncio.to_thread(fill, cluster.bootstrap, topic, numbered(3))
    async with TopicReader(KafkaSettings(bootstrap_servers=cluster.bootstrap), topic) as reader:
        assert await reader.poll(0.2) == []
        await asyncio.to_thread(fill, cluster.bootstrap, topic, [Item(b"new")])
        assert [record.value for record in await read(reader)] == [b"new"]


@pytest.mark.requires("admin")
async def test_it_begins_at_a_time(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Older records are left out, also those that come later; after the last one there is nothing."""
    topic = make_topic()
    late = Item(b"late", timestamp_ms=1_704_067_200_000)
    await asyncio.to_thread(fill, cluster.bootstrap, topic, [*numbered(10), late])
    assert await values_from(cluster.bootstrap, topic, since_ms=1_704_067_207_000) == [b"7", b"8", b"9"]
    assert await values_from(cluster.bootstrap, topic, since_ms=1_704_067_300_000) == []
    assert len(await values_from(cluster.bootstrap, topic, since_ms=0)) == 11


async def test_without_an_index_by_time_it_reads_from_the_beginning() -> None:
    """As on the embedded broker. The result is the same."""
    with EmbeddedBroker({"reviews": 1}) as broker:
        await asyncio.to_thread(fill, broker.bootstrap, "reviews", numbered(10))
        assert await values_from(broker.bootstrap, "reviews", since_ms=1_704_067_207_000) == [b"7", b"8", b"9"]


async def test_a_group_goes_on_from_its_committed_offset(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Not from what it has read. Without one it begins at the beginning."""
    topic, group = make_topic(), f"group-{uuid.uuid4().hex}"
    await asyncio.to_thread(fill, cluster.bootstrap, topic, numbered(3))
    async with TopicReader(KafkaSettings(bootstrap_servers=cluster.bootstrap), topic, group_id=group) as reader:
        assert len(await read(reader)) == 3
        await reader.commit({TopicPartition(topic, 0): 2})
    assert await asyncio.to_thread(committed, cluster.bootstrap, group, topic) == {0: 2}
    assert await values_from(cluster.bootstrap, topic, group_id=group) == [b"2"]


@pytest.mark.requires("transactions")
async def test_positions_reach_the_end_past_aborted_records(cluster: Cluster, make_topic: MakeTopic) -> None:
    """An aborted transaction and its marker are offsets without a record."""
    topic = make_topic()

    def write() -> None:
        fill(cluster.bootstrap, topic, numbered(1))
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "transactional.id": topic, "log_level": 0})
        producer.init_transactions(10)
        producer.begin_transaction()
        producer.produce(topic, b"aborted", partition=0)
        producer.flush(10)
        producer.abort_transaction(10)

    await asyncio.to_thread(write)
    async with TopicReader(KafkaSettings(bootstrap_servers=cluster.bootstrap), topic, start="beginning") as reader:
        async with asyncio.timeout(20):  # The marker may come a little later.
            while await reader.ends() != {TopicPartition(topic, 0): 3}:
                await asyncio.sleep(0.05)
        assert [record.value for record in await read(reader)] == [b"0"]


async def test_a_missing_topic_is_not_created(cluster: Cluster) -> None:
    """However often it is read."""
    topic = f"missing-{uuid.uuid4().hex}"
    for _ in range(2):
        with pytest.raises(TopicMissing, match=topic):
            await values_from(cluster.bootstrap, topic)


async def test_an_unreachable_broker_is_an_error_at_once() -> None:
    """That names the setting."""
    begin = time.monotonic()
    with pytest.raises(BrokerUnreachable, match=r"kafka\.bootstrap_servers 127\.0\.0\.1:1"):
        await values_from("127.0.0.1:1", "reviews")
    assert time.monotonic() - begin < 5


# Backwards


def offsets(records: list[Record]) -> list[int]:
    return [record.offset for record in records]


async def test_it_reads_backwards_in_growing_chunks(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Each chunk in order and without a gap to the one read before, up to the beginning; then there is nothing more."""
    topic = make_topic(1)
    await asyncio.to_thread(fill, cluster.bootstrap, topic, numbered(300))
    async with read_backwards(KafkaSettings(bootstrap_servers=cluster.bootstrap), topic, 30) as reader:
        assert offsets((await reader.previous([0]))[0]) == list(range(284, 300))
        assert offsets((await reader.previous([0]))[0]) == list(range(28, 284))
        assert offsets((await reader.previous([0]))[0]) == list(range(28))
        assert await reader.previous([0]) == {}


async def test_backwards_it_reads_no_further_than_is_allowed(cluster: Cluster, make_topic: MakeTopic) -> None:
    """And nothing that was written after it began."""
    topic = make_topic(1)
    await asyncio.to_thread(fill, cluster.bootstrap, topic, numbered(50))
    kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap)
    async with read_backwards(kafka, topic, 30, max_offsets=20) as reader:
        await asyncio.to_thread(fill, cluster.bootstrap, topic, numbered(5))
        assert offsets((await reader.previous([0]))[0]) == list(range(34, 50))
        assert offsets((await reader.previous([0]))[0]) == list(range(30, 34))
        assert await reader.previous([0]) == {}


async def test_backwards_it_ends_in_time(cluster: Cluster, make_topic: MakeTopic) -> None:
    """With a fault that names the topic."""
    topic = make_topic(1)
    with pytest.raises(KafkaFault, match=topic):
        async with read_backwards(KafkaSettings(bootstrap_servers=cluster.bootstrap), topic, 1.0):
            await asyncio.sleep(20)
