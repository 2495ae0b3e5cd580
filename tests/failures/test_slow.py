"""Slowness: of the model, of one record, of everything before a worker that starts with a backlog."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from tests.failures.feeding import short_items
from tests.failures.harness import Scenario, in_flight
from tests.failures.hook import hooked
from tests.failures.hook.sitecustomize import STALL
from tests.failures.models import slow_artefact
from tests.failures.ownership import owned
from tests.failures.vitals import vitals
from tests.failures.waiting import eventually
from tests.reading import Item, committed

pytestmark = [pytest.mark.failures, pytest.mark.timeout(600), pytest.mark.requires("multi_node", "admin")]

RATE = 200
STALL_SECONDS = 12.0
SESSION_SECONDS = 6.0
POLL_INTERVAL_SECONDS = 4.0


class Brake(NamedTuple):
    """The review that makes the model stall for twice its worker's session, and that worker's settings."""

    value: bytes
    settings: dict[str, str]


@pytest.fixture
def brake(tmp_path: Path) -> Brake:
    artefact, word = slow_artefact(tmp_path, STALL_SECONDS)
    settings = {"MODEL__PATH": str(artefact), "KAFKA__SESSION_TIMEOUT_MS": f"{SESSION_SECONDS * 1000:.0f}"}
    return Brake(orjson.dumps({"text": word}), settings)


def test_inference_stalls_for_longer_than_the_session(scenario: Scenario, brake: Brake) -> None:
    """Heartbeats and polls go on meanwhile: the worker keeps its partitions, and nothing comes twice."""
    (worker,) = scenario.start(**brake.settings)
    scenario.feed(RATE)
    scenario.wait_seen(500)
    begin = time.monotonic()
    (slow,) = scenario.put([Item(brake.value, b"slow", 0)])
    eventually(lambda: scenario.watcher.passed({0: slow.offset}), "the result of the slow one", 120)
    taken = time.monotonic() - begin
    assert taken > SESSION_SECONDS, f"it stalled for {taken:.1f} s only"
    scenario.wait_recovered(scenario.mark())
    assert worker.metric("streamer_rebalances_total") == 0
    scenario.notes.append(f"stalled for {taken:.0f} s, the session is {SESSION_SECONDS:g} s")
    scenario.finish()


def test_paused_for_longer_than_the_poll_interval(scenario: Scenario, brake: Brake) -> None:
    """Too much is in flight to read on, while the model stalls: polls go on, so the client gives nothing up."""
    (worker,) = scenario.start(
        1, hooked(POLL_INTERVAL_SECONDS), BATCHING__MAX_TOKENS_IN_FLIGHT="1000", **brake.settings
    )
    scenario.feed(RATE)
    scenario.wait_seen(500)
    (slow,) = scenario.put([Item(brake.value, b"slow", 0)])
    eventually(lambda: worker.metric("streamer_paused_partitions") == scenario.job.partitions, "paused")
    begin = time.monotonic()
    eventually(lambda: scenario.watcher.passed({0: slow.offset}), "the result of the slow one", 120)
    taken = time.monotonic() - begin
    assert taken > POLL_INTERVAL_SECONDS, f"it was paused for {taken:.1f} s only"
    scenario.wait_recovered(scenario.mark())
    assert worker.metric("streamer_rebalances_total") == 0
    scenario.notes.append(f"paused for {taken:.0f} s, the poll interval is {POLL_INTERVAL_SECONDS:g} s")
    scenario.finish()


def test_poll_interval_exceeded(scenario: Scenario) -> None:
    """The reader stalls, and heartbeats go on: the client leaves the group all the same, and is back in it later."""
    (stalled,) = scenario.start(1, hooked(POLL_INTERVAL_SECONDS, stall_s=STALL_SECONDS))
    (other,) = scenario.start()
    scenario.wait_owned(stalled, other)
    scenario.feed(RATE)
    scenario.wait_seen(500)
    left = in_flight(stalled)
    # So long a record that it is decoded in a thread, beside the heartbeats.
    value = orjson.dumps({"text": "good", "pad": "x" * 20_000, "why": STALL.decode()})
    mark = scenario.mark()
    scenario.put([Item(value, b"stall", min(owned(stalled.log)))])
    scenario.wait_sole(other)
    scenario.note_repeatable(zombies=left)
    scenario.wait_recovered(mark)
    scenario.wait_owned(stalled, other)
    scenario.wait_recovered(scenario.mark())
    scenario.finish()


def test_slow_record_at_the_head_holds_the_commit_back(scenario: Scenario, brake: Brake) -> None:
    """While the first of a partition is with the model nothing after it is committed, then all of it at once."""
    scenario.start(**brake.settings)
    (slow,) = scenario.put([Item(brake.value, b"slow", 0)])
    scenario.put(Item(i.value, i.key, 0, i.headers) for i in short_items(2_000))
    job, begin, looks = scenario.job, time.monotonic(), 0
    while scenario.watcher.seen == 0:
        at = committed(job.bootstrap, job.group, job.input).get(0, 0)
        assert at <= slow.offset or scenario.watcher.seen
        assert time.monotonic() - begin < 120
        looks += 1
        time.sleep(0.1)
    assert looks > 10, "it did not stall"
    eventually(lambda: committed(job.bootstrap, job.group, job.input).get(0) == 2_001, "all committed")
    scenario.finish()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_bounded_under_a_backlog(scenario: Scenario) -> None:
    """With 200,000 reviews waiting a worker takes hardly more memory than one that has had a few thousand."""
    (few,) = scenario.start()
    scenario.put(short_items(5_000))
    scenario.wait_seen(5_000)
    little = vitals(few.process.pid).memory
    scenario.leave(few)
    scenario.put(short_items(200_000))
    (many,) = scenario.start()
    most = 0.0
    while scenario.watcher.seen < 60_000:
        assert many.process.poll() is None, many.log
        most = max(most, vitals(many.process.pid).memory)
        time.sleep(0.2)
    scenario.notes.append(f"at most {most:.0f} MiB, against {little:.0f} MiB after 5,000 reviews")
    assert most < little + 250
    scenario.finish()
