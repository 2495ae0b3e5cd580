"""Another model while reviews flow: none is lost, and the output says which model labelled what."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.models.artefact import BUNDLED
from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.checkers import Record, check
from tests.jobs import Job
from tests.workers import Worker, running


def copy_of_the_model(directory: Path, version: str) -> Path:
    """The bundled artefact under another version."""
    shutil.copytree(BUNDLED, directory)
    change(directory, version=version)
    return directory


def change(directory: Path, **fields: object) -> None:
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def damage(directory: Path) -> None:
    """Weights that are other than the manifest says."""
    content = bytearray((directory / "model.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (directory / "model.pt").write_bytes(content)


def off(directory: Path) -> None:
    """Golden scores that the model does not give, under a sha256 that fits: it can only be refused by trying it."""
    golden = json.loads((directory / "golden.json").read_text())
    for item in golden:
        item["score"] = 1 - item["score"]
    content = json.dumps(golden).encode()
    (directory / "golden.json").write_bytes(content)
    manifest = json.loads((directory / "manifest.json").read_text())
    change(directory, sha256=manifest["sha256"] | {"golden.json": hashlib.sha256(content).hexdigest()})


def point(link: Path, directory: Path) -> None:
    """Let a link lead to another directory, in one step."""
    new = link.with_suffix(".new")
    new.symlink_to(directory)
    new.replace(link)


def until(worker: Worker, outcome: str, timeout_s: float = 60.0) -> None:
    """Wait for the outcome of a reload."""
    deadline = time.monotonic() + timeout_s
    while f'streamer_model_reloads_total{{outcome="{outcome}"}} 1.0' not in worker.page("/metrics")[1]:
        assert worker.process.poll() is None, worker.log
        assert time.monotonic() < deadline, worker.log
        time.sleep(0.05)


def versions(results: list[Record]) -> Iterator[str]:
    for record in results:
        yield json.loads(record.value or b"")["model"]["version"]


@pytest.fixture
def job(cluster: Cluster, make_topic: MakeTopic) -> Job:
    return Job(cluster, make_topic, partitions=2)


@pytest.mark.timeout(300)
def test_a_new_artefact_takes_over_between_two_reviews(job: Job, tmp_path: Path) -> None:
    """While reviews flow: all of them labelled once and in order, by the old version, then by the new one."""
    link = tmp_path / "model"
    point(link, copy_of_the_model(tmp_path / "a", "7.0.0"))
    settings = {"STREAMER_MODEL__PATH": str(link), "STREAMER_MODEL__WATCH_MS": "100"}
    produced = job.fill(12_000)
    with running(job.environment | settings, tmp_path / "log") as worker:
        worker.wait_for(500)
        point(link, copy_of_the_model(tmp_path / "b", "8.0.0"))
        until(worker, "done")
        produced |= job.fill(2_000)
        results = job.results(14_000)
        assert 'version="8.0.0"} 1.0' in worker.page("/metrics")[1]
        assert worker.stop() == 0, worker.log
    check(produced, results).assert_clean()
    job.assert_offsets_at_the_end()
    for partition in (0, 1):
        in_order = list(versions([record for record in results if record.position.partition == partition]))
        assert in_order == sorted(in_order)
        assert set(in_order) == {"7.0.0", "8.0.0"}


@pytest.mark.timeout(300)
def test_a_bad_artefact_is_refused_and_the_old_one_keeps_serving(job: Job, tmp_path: Path) -> None:
    """Damaged, with other answers than it should give, or under a version that is taken; on SIGHUP alone as well."""
    link = tmp_path / "model"
    point(link, copy_of_the_model(tmp_path / "good", "7.0.0"))
    settings = {"STREAMER_MODEL__PATH": str(link), "STREAMER_MODEL__WATCH_MS": "0"}
    damage(copy_of_the_model(tmp_path / "damaged", "8.0.0"))
    off(copy_of_the_model(tmp_path / "off", "8.0.0"))
    change(copy_of_the_model(tmp_path / "taken", "7.0.0"), uncertain={"low": 0.0, "high": 0.0})
    with running(job.environment | settings, tmp_path / "log") as worker:
        worker.wait_ready()
        for number, name in enumerate(("damaged", "off", "taken"), 1):
            point(link, tmp_path / name)
            worker.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 60
            while worker.log.count("7.0.0 keeps serving") < number:
                assert time.monotonic() < deadline, worker.log
                time.sleep(0.05)
        produced = job.fill(500)
        results = job.results(500)
        assert worker.stop() == 0, worker.log
    check(produced, results).assert_clean()
    assert set(versions(results)) == {"7.0.0"}
    log = (tmp_path / "log").read_text()
    for reason in ("sha256 is not the manifest's", "off by", "give it a version of its own"):
        assert reason in log
