"""Trends as workers publish them: equal to a recount of the output topic, whatever happens, in both delivery modes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.counting import Repeats, cells_of, recount, trends_of
from tests.jobs import Job
from tests.reading import Item, committed, read_all
from tests.workers import running

pytestmark = [
    pytest.mark.requires("rebalancing", "storage", "transactions"),
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("untraced_processes"),
]


class TrendJob(Job):
    """A job with a trends topic."""

    def __init__(self, cluster: Cluster, make_topic: MakeTopic, delivery: str, partitions: int = 4) -> None:
        super().__init__(cluster, make_topic, partitions)
        self.trends = make_topic(partitions)
        self.settings = {
            "STREAMER_DELIVERY": delivery,
            "STREAMER_TRENDS__ENABLED": "true",
            "STREAMER_TRENDS__TOPIC": self.trends,
            "STREAMER_KAFKA__SESSION_TIMEOUT_MS": "6000",
            "STREAMER_KAFKA__HEARTBEAT_INTERVAL_MS": "1000",
            "STREAMER_PIPELINE__COMMIT_INTERVAL_MS": "300",
        }

    def assert_counted(self, reviews: int, zombies: bool = False) -> Repeats:
        """The trends are what a recount of the output topic says: labels and sums of scores, to the last digit.

        zombies: where one was, nobody can tell which of a review's repeats was counted. Labels are the same; the sums
        may differ by as much as the repeats' scores do.
        """
        messages = read_all(self.bootstrap, self.trends)
        trends = trends_of(messages)
        expected, repeats = recount(self.results(), messages)
        print(f"{reviews} reviews, {len(messages)} messages, {trends.statistics}, {repeats}")
        assert sum(sum(counts.values()) for counts, _ in expected.values()) == reviews
        counted = cells_of(trends)
        if zombies and repeats.scores and not repeats.labels:
            assert {cell: counts for cell, (counts, _) in counted.items()} == {c: n for c, (n, _) in expected.items()}
            assert sum(abs(score - expected[cell][1]) for cell, (_, score) in counted.items()) <= repeats.spread
        else:
            assert counted == expected
        return repeats

    def set_back(self, share: float) -> None:
        """What an operator does: offsets to a share of what they are. The group must be empty."""
        offsets = committed(self.bootstrap, self.group, self.input)
        back = [TopicPartition(self.input, partition, int(at * share)) for partition, at in offsets.items()]
        asked = ConsumerGroupTopicPartitions(self.group, back)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.alter_consumer_group_offsets([asked])[self.group].result(20)


@pytest.fixture(params=["at_least_once", "exactly_once"])
def job(request: pytest.FixtureRequest, cluster: Cluster, make_topic: MakeTopic) -> TrendJob:
    return TrendJob(cluster, make_topic, request.param)


def wait_committed(job: Job, records: int) -> None:
    """Until the group has committed so many."""
    deadline = time.monotonic() + 400
    while sum(committed(job.bootstrap, job.group, job.input).values()) < records:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_trends_equal_a_recount_after_crashes_and_offsets_set_back(job: TrendJob, tmp_path: Path) -> None:
    """kill -9 in mid work, dead letters among them; then the operator sets the offsets back, and all comes again."""
    count = 0
    job.put(Item(b"not json", key=f"user-{number}".encode()) for number in range(40))
    for number in range(2):
        count += len(job.fill(3_000))  # Each time: the worker before may have finished all there was.
        with running(job.environment, tmp_path / f"killed-{number}") as worker:
            worker.wait_for(500, timeout_s=300)
            worker.process.kill()
    with running(job.environment, tmp_path / "last") as worker:
        job.results(count, timeout_s=400)
        wait_committed(job, count + 40)
        assert worker.stop() == 0, worker.log
    repeats = job.assert_counted(count)
    assert (repeats.reviews > 0) == (job.settings["STREAMER_DELIVERY"] == "at_least_once")
    job.set_back(0.3)
    more = len(job.fill(500))
    with running(job.environment, tmp_path / "again") as worker:
        job.results(count + more, timeout_s=400)
        wait_committed(job, count + 40 + more)
        assert worker.stop() == 0, worker.log
    assert job.assert_counted(count + more).reviews > count / 2


def test_trends_equal_a_recount_after_rebalances(job: TrendJob, tmp_path: Path) -> None:
    """One joins while the other is busy; the first leaves, by SIGTERM."""
    count = len(job.fill(1_500))
    with running(job.environment, tmp_path / "first") as first, running(job.environment, tmp_path / "second") as second:
        while min(worker.metric("streamer_records_total") for worker in (first, second)) < 300:
            count += len(job.fill(800))
            time.sleep(0.5)
        assert first.stop() == 0, first.log
        count += len(job.fill(1_000))
        job.results(count, timeout_s=400)
        wait_committed(job, count)
        assert second.metric("streamer_trend_messages_total") > 0
        assert second.stop() == 0, second.log
    job.assert_counted(count)


def test_a_worker_that_was_replaced_counts_nothing(job: TrendJob, tmp_path: Path) -> None:
    """Frozen until the group has given its partitions to another, it goes on in the middle of its work."""
    count = len(job.fill(8_000))
    with running(job.environment, tmp_path / "frozen") as frozen:
        frozen.wait_for(500, timeout_s=300)
        frozen.process.send_signal(signal.SIGSTOP)
        with running(job.environment, tmp_path / "other") as other:
            other.wait_for(1_000, timeout_s=400)
            frozen.process.send_signal(signal.SIGCONT)
            job.results(count, timeout_s=400)
            wait_committed(job, count)
            assert other.stop() == 0, other.log
        assert frozen.stop() == 0, frozen.log
    job.assert_counted(count, zombies=True)
