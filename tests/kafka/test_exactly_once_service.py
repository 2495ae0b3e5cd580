"""`delivery = exactly_once` as a whole service: killed, rebalanced, and read by two independent clients."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.checkers import check
from tests.jobs import Job
from tests.reading import Item
from tests.workers import running

pytestmark = [
    pytest.mark.requires("rebalancing", "storage", "transactions"),
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("untraced_processes"),
]


@pytest.fixture
def job(cluster: Cluster, make_topic: MakeTopic) -> Job:
    job = Job(cluster, make_topic)
    job.settings = {
        "STREAMER_DELIVERY": "exactly_once",
        "STREAMER_KAFKA__SESSION_TIMEOUT_MS": "6000",
        "STREAMER_KAFKA__HEARTBEAT_INTERVAL_MS": "1000",
        "STREAMER_PIPELINE__COMMIT_INTERVAL_MS": "300",
    }
    return job


async def by_aiokafka(bootstrap: str, topic: str, partitions: int) -> set[bytes]:
    """The `ce_id` of every record that aiokafka reads of a topic with `read_committed`. None may occur twice."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        assigned = [TopicPartition(topic, partition) for partition in range(partitions)]
        consumer.assign(assigned)
        await consumer.seek_to_beginning(*assigned)
        found: list[bytes] = []
        quiet = time.monotonic()
        while time.monotonic() - quiet < 3:
            for records in (await consumer.getmany(timeout_ms=500, max_records=10_000)).values():
                found += [dict(record.headers)["ce_id"] for record in records]
                quiet = time.monotonic()
    finally:
        await consumer.stop()
    assert len(found) == len(set(found))
    return set(found)


def test_killed_again_and_again_every_review_is_labelled_once(job: Job, tmp_path: Path) -> None:
    """By kill -9 in the middle of transactions, for results and dead letters, with both clients."""
    produced = job.fill(8_000)
    bad = job.put(Item(b"not json", key=f"user-{number}".encode()) for number in range(50))
    for number in range(2):
        with running(job.environment, tmp_path / f"killed-{number}") as worker:
            worker.wait_for(1_000)
            worker.process.kill()
    with running(job.environment, tmp_path / "last") as worker:
        results = job.results(8_000)
        dead = job.dead_letters(50)
        assert worker.stop() == 0, worker.log
    check(produced, results).assert_clean()
    sources = [(int(r.header("dlq.partition") or b""), int(r.header("dlq.offset") or b"")) for r in dead]
    assert sorted(sources) == sorted((position.partition, position.offset) for position in bad)
    job.assert_offsets_at_the_end()
    # What the killed ones had under way is there for those who read all.
    every = asyncio.run(by_aiokafka(job.bootstrap, job.output, job.partitions))
    assert every == {record.header("ce_id") for record in results}


def test_workers_that_join_and_leave_repeat_nothing(job: Job, tmp_path: Path) -> None:
    """One joins while the other is busy, then the first leaves by SIGTERM: partitions move twice."""
    produced = job.fill(2_000)
    with running(job.environment, tmp_path / "first") as first, running(job.environment, tmp_path / "second") as second:
        # Whichever joins first could label all there is before the other has joined: so it is fed while they come.
        while min(done := [worker.metric("streamer_records_total") for worker in (first, second)]) < 500:
            if sum(done) > len(produced) - 1_000:
                produced |= job.fill(1_000)
            time.sleep(0.1)
        assert first.stop() == 0, first.log
        produced |= job.fill(2_000)
        results = job.results(len(produced))
        assert second.stop() == 0, second.log
    check(produced, results).assert_clean()
    job.assert_offsets_at_the_end()
