"""The main job on a real broker: every review once, in order, keys and headers kept, offsets at the end."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.checkers import check
from tests.jobs import Job
from tests.workers import running


@pytest.fixture
def job(cluster: Cluster, make_topic: MakeTopic) -> Job:
    return Job(cluster, make_topic)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requires("storage")
def test_labels_each_review_once_and_in_order(job: Job, tmp_path: Path) -> None:
    """20,000 real reviews over 6 partitions: all labelled once, in order, keys and headers kept, all committed."""
    produced = job.fill(20_000)
    with running(job.environment, tmp_path / "log") as worker:
        worker.wait_for(20_000, timeout_s=300)
        metrics = worker.metrics()
        assert worker.stop() == 0, worker.log
    results = job.results(20_000)
    check(produced, results).assert_clean()
    job.assert_offsets_at_the_end()
    for record in results:
        headers = dict(record.headers)
        assert headers["mine"] == b"\xff\x00"
        number = int((headers["traceparent"] or b"").split(b"-")[1], 16)
        event = json.loads(record.value or b"")
        assert (event["id"], event["group"]) == (f"r{number}", f"g{number % 7}")
        assert record.key == f"user-{number % 5000}".encode()
    # A third of the session timeout: heartbeats live on the loop. Tests run beside this one; the figure itself is the
    # benchmark's.
    assert metrics["streamer_loop_delay_max_seconds"] < 10.0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requires("rebalancing", "storage")
def test_workers_that_join_and_leave_lose_nothing(job: Job, tmp_path: Path) -> None:
    """A second worker joins while the first is busy, which then leaves: none lost, none twice, order kept."""
    produced = job.fill(6_000)
    with running(job.environment, tmp_path / "first") as first, running(job.environment, tmp_path / "second") as second:
        first.wait_ready()
        second.wait_ready()
        while min(worker.metric("streamer_records_total") for worker in (first, second)) < 1_000:
            produced |= job.fill(1_000)  # The first to join may have labelled all there was.
            time.sleep(0.3)
        produced |= job.fill(12_000)
        assert first.stop() == 0, first.log
        produced |= job.fill(2_000)
        results = job.results(len(produced))
        assert second.stop() == 0, second.log
    report = check(produced, results)
    print(f"duplicates by rebalance: {len(report.duplicated)}")
    # Drained and committed before they are given up, partitions leave nothing to be done again.
    report.assert_clean()
    job.assert_offsets_at_the_end()


@pytest.mark.timeout(300)
def test_sigterm_while_busy_drains_and_repeats_nothing(job: Job, tmp_path: Path) -> None:
    """Stopped in the middle it ends with 0 in time, all that it took is committed, and a restart repeats nothing."""
    produced = job.fill(15_000)
    with running(job.environment, tmp_path / "first") as first:
        first.wait_for(2_000)
        assert first.metric("streamer_ready") == 1
        begin = time.monotonic()
        assert first.stop() == 0, first.log
        assert time.monotonic() - begin < 30
    partial = job.results()
    assert 2_000 <= len(partial) < 15_000
    job.assert_nothing_committed_early(produced, partial)
    with running(job.environment, tmp_path / "second") as second:
        results = job.results(15_000)
        assert second.stop() == 0, second.log
    check(produced, results).assert_clean()
    job.assert_offsets_at_the_end()
