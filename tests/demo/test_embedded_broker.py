"""The embedded broker: its life, and what of Kafka it can do."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streamer.demo.embedded_broker import BrokerError, EmbeddedBroker
from tests.checkers import Position
from tests.reading import Item, committed, fill, read_all

LIVES = """
import sys, time
from streamer.demo.embedded_broker import EmbeddedBroker
with EmbeddedBroker() as broker:
    print(broker.pid, flush=True)
    time.sleep(60)
"""


async def consume(bootstrap: str, topic: str, count: int) -> dict[TopicPartition, int]:
    """Read `count` records as the only member of a group, commit them, and give the committed offsets."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id="readers",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        offsets: dict[TopicPartition, int] = {}
        while count:
            for partition, records in (await consumer.getmany(timeout_ms=1000)).items():
                offsets[partition] = records[-1].offset + 1
                count -= len(records)
        await consumer.commit(offsets)
        return offsets
    finally:
        await consumer.stop()


async def test_a_group_reads_what_an_idempotent_producer_wrote_and_commits_it() -> None:
    """A round trip by aiokafka, seen from outside by librdkafka."""
    with EmbeddedBroker({"reviews": 6}) as broker:
        producer = AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap, enable_idempotence=True, compression_type="zstd"
        )
        await producer.start()
        for number in range(60):
            await producer.send(
                "reviews",
                b"%d" % number,
                partition=number % 6,
                timestamp_ms=1000 + number,
                headers=[("h", b"x")],
            )
        await producer.stop()
        records = await asyncio.to_thread(read_all, broker.bootstrap, "reviews")
        assert sorted(record.position for record in records) == [
            Position("reviews", partition, offset) for partition in range(6) for offset in range(10)
        ]
        assert {(record.value, record.timestamp_ms, record.headers) for record in records} == {
            (b"%d" % number, 1000 + number, (("h", b"x"),)) for number in range(60)
        }
        offsets = await consume(broker.bootstrap, "reviews", 60)
        assert {partition.partition: offset for partition, offset in offsets.items()} == dict.fromkeys(range(6), 10)
        assert await asyncio.to_thread(committed, broker.bootstrap, "readers", "reviews") == dict.fromkeys(range(6), 10)


def test_it_keeps_the_last_five_megabytes_of_a_partition() -> None:
    """Older records are gone, as the docstring warns."""
    with EmbeddedBroker({"big": 1}) as broker:
        fill(broker.bootstrap, "big", [Item(os.urandom(100_000)) for _ in range(100)])
        kept = read_all(broker.bootstrap, "big")
        assert 40 <= len(kept) < 60
        assert kept[-1].position.offset == 99


def test_topics_have_the_partitions_asked_for_and_exist_once() -> None:
    """Before and after the start; a second topic of the same name is refused, and so is one without partitions."""
    with EmbeddedBroker({"one": 1}) as broker:
        broker.create_topic("six", 6)
        items = [Item(b"", partition=partition) for partition in range(6)]
        assert len(fill(broker.bootstrap, "six", items)) == 6
        with pytest.raises(BrokerError, match="already exists"):
            broker.create_topic("six", 6)
        with pytest.raises(BrokerError, match="0 partitions"):
            broker.create_topic("none", 0)


def test_nothing_is_left_after_the_block() -> None:
    """Neither the child nor a thread, and the object can be entered anew."""
    threads = threading.active_count()
    broker = EmbeddedBroker()
    for _ in range(2):
        with broker:
            child = broker.pid
            assert broker.bootstrap.startswith("127.0.0.1:")
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    assert threading.active_count() == threads
    with pytest.raises(BrokerError, match="not running"):
        _ = broker.bootstrap


def test_the_child_ends_when_its_parent_is_killed() -> None:
    """The child shares its parent's standard error, which ends when both have."""
    parent = subprocess.Popen([sys.executable, "-c", LIVES], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) > 0
        parent.send_signal(signal.SIGKILL)
        assert parent.communicate(timeout=10) == ("", "")


def test_a_child_that_was_killed_is_reported() -> None:
    """By an error that says so, not by a hang, and leaving the block still works."""
    with EmbeddedBroker() as broker:
        os.kill(broker.pid, signal.SIGKILL)
        with pytest.raises(BrokerError, match="has ended"):
            broker.create_topic("late", 1)


def test_without_confluent_kafka_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an optional dependency."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(BrokerError, match=r"sentiment-streamer\[demo\]"), EmbeddedBroker():
        pass


def test_a_broker_that_does_not_start_in_time_is_an_error() -> None:
    """Not a hang; the child is stopped."""
    with pytest.raises(BrokerError, match=r"within 0\.001 s"), EmbeddedBroker(start_timeout_s=0.001):
        pass
