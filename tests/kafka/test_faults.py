"""Mistakes of operators and faults of clusters: a clear message, the right exit code, and nothing lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from streamer.models.artefact import BUNDLED
from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.brokers.ports import ReservedPorts
from tests.command_line import streamer
from tests.jobs import Job
from tests.reading import Item, committed
from tests.workers import running

GOOD = b'{"text": "great value, arrived early"}'


@pytest.fixture
def job(cluster: Cluster, make_topic: MakeTopic) -> Job:
    return Job(cluster, make_topic, partitions=1)


def ends_with(job: Job, code: int, message: str, log: Path) -> None:
    """`streamer run` ends by itself with this code and says this, which is kept in `log`."""
    done = streamer("run", environment=job.environment | {"STREAMER_HTTP__PORT": "0"})
    log.write_text(printed := done.stdout + done.stderr)
    assert done.code == code, printed
    assert message in printed
    assert "Traceback" not in printed


def test_a_wrong_setting_is_named(job: Job, tmp_path: Path) -> None:
    """Exit code 2, with the setting's name and what is wrong with it."""
    job.settings = {"STREAMER_BATCHING__MAX_WAIT_MS": "soon"}
    ends_with(job, 2, "batching.max_wait_ms (STREAMER_BATCHING__MAX_WAIT_MS): ", tmp_path / "log")


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_a_broker_that_is_down_is_named(job: Job, delivery: str, tmp_path: Path) -> None:
    """Exit code 4, with the setting and the address that did not answer."""
    with ReservedPorts(1) as reserved:
        address = f"127.0.0.1:{reserved.ports[0]}"
        job.settings = {"STREAMER_KAFKA__BOOTSTRAP_SERVERS": address, "STREAMER_DELIVERY": delivery}
        ends_with(job, 4, f"kafka.bootstrap_servers {address}: ", tmp_path / "log")


@pytest.mark.parametrize("which", ["input", "output", "dead_letters"])
@pytest.mark.requires("admin")
def test_a_missing_topic_is_named(job: Job, which: str, tmp_path: Path) -> None:
    """Exit code 2 before anything is read, with the topic's name and how to make it."""
    job.settings = {f"STREAMER_{which.upper()}__TOPIC": "no-such-topic"}
    ends_with(job, 2, "'no-such-topic' does not exist, or may not be seen: `streamer check`", tmp_path / "log")


@pytest.mark.requires("admin")
def test_a_missing_trends_topic_is_named(job: Job, tmp_path: Path) -> None:
    """Where trends are enabled, in the same way."""
    job.settings = {"STREAMER_TRENDS__ENABLED": "true", "STREAMER_TRENDS__TOPIC": "no-such-topic"}
    ends_with(job, 2, "'no-such-topic' does not exist, or may not be seen: `streamer check`", tmp_path / "log")


def test_a_damaged_model_is_refused(job: Job, tmp_path: Path) -> None:
    """Exit code 3, with the file that is not what the manifest says."""
    copy = tmp_path / "model"
    shutil.copytree(BUNDLED, copy)
    content = bytearray((copy / "model.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.pt").write_bytes(content)
    job.settings = {"STREAMER_MODEL__PATH": str(copy)}
    ends_with(job, 3, f"{copy / 'model.pt'}: damaged or changed", tmp_path / "log")


@pytest.mark.requires("admin")
def test_a_refused_dead_letter_loses_nothing(job: Job, make_topic: MakeTopic, tmp_path: Path) -> None:
    """The broker refuses a dead letter: exit code 4, and its offset is not committed, so that it is read again."""
    large_enough, job.dead = job.dead, make_topic(1, max_message_bytes="100")
    job.put([Item(GOOD, b"a", 0), Item(b"not JSON" * 40, b"b", 0), Item(GOOD, b"c", 0)])
    ends_with(job, 4, f"topic '{job.dead}': the broker refused a message", tmp_path / "first")
    assert committed(job.bootstrap, job.group, job.input).get(0, 0) <= 1
    job.dead = large_enough
    with running(job.environment, tmp_path / "second") as worker:
        assert {record.key for record in job.results(2)} == {b"a", b"c"}
        (letter,) = job.dead_letters(1)
        assert letter.key == b"b"
        assert worker.stop() == 0, worker.log
    job.assert_offsets_at_the_end()


@pytest.mark.requires("faults")
def test_a_worker_waits_for_a_broker_that_hangs(job: Job, cluster: Cluster, tmp_path: Path) -> None:
    """The broker is paused for some seconds while the worker is busy. The worker then goes on, and nothing is lost."""
    assert hasattr(cluster, "pause") and hasattr(cluster, "resume")
    produced = job.fill(10_000)
    with running(job.environment, tmp_path / "log") as worker:
        worker.wait_for(1_000)
        cluster.pause(1)
        try:
            worker.wait(5)
        except Exception as error:
            assert type(error).__name__ == "TimeoutExpired"
        finally:
            cluster.resume(1)
        results = job.results(len(produced))
        assert worker.stop() == 0, worker.log
    job.assert_nothing_committed_early(produced, results)
    job.assert_offsets_at_the_end()
