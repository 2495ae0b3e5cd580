"""`streamer run --workers N`: one command, N members of the group, stopped as one."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from streamer.commands.run import _for_worker
from streamer.settings import load
from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.checkers import check
from tests.jobs import Job
from tests.reading import committed
from tests.workers import running


@pytest.fixture
def job(cluster: Cluster, make_topic: MakeTopic) -> Job:
    job = Job(cluster, make_topic)
    job.settings = {"STREAMER_HTTP__ENABLED": "false"}
    return job


@pytest.mark.requires("rebalancing")
def test_two_workers_share_the_work_and_drain_together(job: Job, tmp_path: Path) -> None:
    """SIGTERM to the one process: both drain, it ends with 0, everything is committed, nothing was done twice."""
    produced = job.fill(5_000)
    with running(job.environment, tmp_path / "log", "--workers", "2") as supervisor:
        results = job.results(5_000)
        deadline = time.monotonic() + 60
        while len(re.findall("assigned partitions: t-", supervisor.log)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        produced |= job.fill(20_000)
        time.sleep(1)
        assert supervisor.stop() == 0, supervisor.log
        assert supervisor.log.count("SIGTERM: draining") == 2
        assert "second signal" not in supervisor.log
    results = job.results()
    offsets = committed(job.bootstrap, job.group, job.input)
    done = {place: key for place, key in produced.items() if place.offset < offsets.get(place.partition, 0)}
    check(done, results).assert_clean()


@pytest.mark.requires("rebalancing")
def test_workers_end_when_their_supervisor_is_killed(job: Job, tmp_path: Path) -> None:
    """By kill -9, which it cannot pass on: they drain all the same."""
    job.fill(200)
    with running(job.environment, tmp_path / "log", "--workers", "2") as supervisor:
        job.results(200)
        supervisor.stop(signal.SIGKILL)
        deadline = time.monotonic() + 60
        while supervisor.log.count("the supervising process has gone: draining") < 2:
            assert time.monotonic() < deadline, supervisor.log
            time.sleep(0.2)


def test_a_worker_that_cannot_start_ends_them_all_with_its_code(job: Job, tmp_path: Path) -> None:
    """A missing model: exit code 3, and no worker is left."""
    job.settings |= {"STREAMER_MODEL__PATH": str(tmp_path / "nowhere")}
    with running(job.environment, tmp_path / "log", "--workers", "2") as supervisor:
        assert supervisor.wait(60) == 3, supervisor.log


def test_workers_of_a_host_do_not_share_ports_and_names() -> None:
    """Each has the port of the settings plus its number, and a member name of its own; 0 and no name stay."""
    settings = load({"http": {"port": 9000}, "kafka": {"group_instance_id": "a"}})
    workers = [_for_worker(settings, slot) for slot in range(2)]
    assert [worker.http.port for worker in workers] == [9000, 9001]
    assert [worker.kafka.group_instance_id for worker in workers] == ["a-0", "a-1"]
    plain = _for_worker(load({"http": {"port": 0}}), 1)
    assert (plain.http.port, plain.kafka.group_instance_id) == (0, None)
