"""Where a new owner of a partition goes on counting: what it finds at the end of the trends topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import Producer

from streamer.events import Message, Record, TopicPartition
from streamer.kafka import KafkaFault, TopicMissing, read_backwards
from streamer.labels import UNNAMED_COLUMNS
from streamer.settings import KafkaSettings
from streamer.trends import CountDelta, encode, source_key
from streamer.trends.recovery import EndReader, last_counts
from tests.brokers import Cluster, MakeTopic
from tests.reading import Item, fill

BEGIN = 1_763_712_900
SOURCES = [TopicPartition("reviews", number) for number in range(3)]


def counts(source: TopicPartition, begin: int, end: int, epoch: int = 1) -> bytes:
    return encode(CountDelta(source, begin, end, (epoch, 0), [[BEGIN, "g", 1, 0, 0, 1]], UNNAMED_COLUMNS))


def item(source: TopicPartition, begin: int, end: int, epoch: int = 1) -> Item:
    return Item(counts(source, begin, end, epoch), source_key(source), 0)


class Chunks:
    """A topic of one partition in memory, as an EndReader: the last chunk of values first."""

    def __init__(self, *chunks: Sequence[bytes]) -> None:
        self.chunks = list(chunks)

    def partition_for(self, message: Message) -> int:
        return 0

    async def previous(self, partitions: Collection[int]) -> Mapping[int, Sequence[Record]]:
        if not self.chunks:
            return {}
        return {0: [Record("trends", 0, 0, 0, None, value) for value in self.chunks.pop()]}


def found_in(reader: Chunks, *sources: TopicPartition) -> dict[TopicPartition, tuple[int, int]]:
    @asynccontextmanager
    async def open_reader() -> AsyncIterator[EndReader]:
        yield reader

    found = asyncio.run(last_counts(open_reader, "trends", sources))
    return {source: (delta.begin, delta.end) for source, delta in found.items()}


def test_the_last_counts_of_a_source_win() -> None:
    """Within a chunk, and over those before it."""
    reader = Chunks(
        [counts(SOURCES[0], 0, 1), counts(SOURCES[1], 0, 1)],
        [counts(SOURCES[0], 1, 2), b"no counts", counts(SOURCES[0], 2, 3)],
    )
    assert found_in(reader, *SOURCES) == {SOURCES[0]: (2, 3), SOURCES[1]: (0, 1)}


def test_reading_ends_when_every_source_is_found() -> None:
    """Older chunks are left alone."""
    reader = Chunks([counts(SOURCES[0], 0, 1)], [counts(SOURCES[0], 1, 2)])
    assert found_in(reader, SOURCES[0]) == {SOURCES[0]: (1, 2)}
    assert len(reader.chunks) == 1


def test_other_sources_are_left_out() -> None:
    """A topic may have more sources than were asked for."""
    assert found_in(Chunks([counts(SOURCES[1], 0, 1)]), SOURCES[0]) == {}


@pytest.mark.requires("transactions")
async def test_the_last_committed_counts_of_each_source_are_found(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Though others share its partition, thousands came later, and the very last were aborted."""
    topic = make_topic(1)
    items = [item(SOURCES[0], 0, 7), item(SOURCES[0], 7, 9, epoch=2)]
    items += [item(SOURCES[1], n, n + 1) for n in range(3000)]

    def write() -> None:
        fill(cluster.bootstrap, topic, items)
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "transactional.id": topic, "log_level": 0})
        producer.init_transactions(20)
        producer.begin_transaction()
        producer.produce(topic, item(SOURCES[0], 9, 11).value, partition=0)
        producer.produce(topic, b"anything", partition=0)
        producer.flush(20)
        producer.abort_transaction(20)

    await asyncio.to_thread(write)
    kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap)
    found = await last_counts(lambda: read_backwards(kafka, topic, 30), topic, SOURCES)
    assert {source: (delta.begin, delta.end, delta.epoch) for source, delta in found.items()} == {
        SOURCES[0]: (7, 9, (2, 0)),
        SOURCES[1]: (2999, 3000, (1, 0)),
    }


async def test_a_source_is_looked_for_in_the_partition_of_its_number(cluster: Cluster, make_topic: MakeTopic) -> None:
    """And by its key if the topic has no such partition: there it was published as well."""
    topic = make_topic(4)
    async with read_backwards(KafkaSettings(bootstrap_servers=cluster.bootstrap), topic, 30) as reader:
        partitions = [
            reader.partition_for(Message(topic, source_key(source), None, (), 0, source.partition, source.partition))
            for source in (*SOURCES, TopicPartition("reviews", 9))
        ]
    assert partitions[:3] == [0, 1, 2]
    assert 0 <= partitions[3] < 4


async def test_a_topic_that_is_missing_or_unreachable_is_an_error(cluster: Cluster) -> None:
    """Before anything is counted: without the last counts, everything would count twice."""
    kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap)
    with pytest.raises(TopicMissing, match="no-such-topic"):
        await last_counts(lambda: read_backwards(kafka, "no-such-topic", 20), "no-such-topic", SOURCES)
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(KafkaFault, match=r"127\.0\.0\.1:1"):
        await last_counts(lambda: read_backwards(nowhere, "trends", 20), "trends", SOURCES)
