"""Signals: a worker that is told to stop does so in time, and takes nothing on."""

from __future__ import annotations

import re
import signal
import time

import pytest

from tests.failures.feeding import short_items
from tests.failures.harness import Scenario
from tests.failures.nodes import Nodes
from tests.failures.visitor import visiting
from tests.failures.waiting import eventually
from tests.reading import committed

pytestmark = [pytest.mark.failures, pytest.mark.timeout(400), pytest.mark.requires("multi_node", "faults", "admin")]

RATE = 400
DRAIN_SECONDS = 5.0
DRAIN = {"PIPELINE__DRAIN_TIMEOUT_MS": f"{DRAIN_SECONDS * 1000:.0f}"}


@pytest.mark.fast
def test_sigterm_while_idle(scenario: Scenario) -> None:
    """With nothing to do it ends at once, with 0."""
    (worker,) = scenario.start()
    begin = time.monotonic()
    assert worker.stop() == 0, worker.log
    assert time.monotonic() - begin < DRAIN_SECONDS
    scenario.finish()


def test_sigterm_mid_batch(scenario: Scenario) -> None:
    """It finishes what it has taken, commits just that, and takes nothing that comes after the signal."""
    (worker,) = scenario.start()
    scenario.put(short_items(20_000))
    scenario.wait_seen(2_000)
    begin = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    eventually(lambda: "draining" in worker.log, "it drains", 10, 0.005)
    late = scenario.put(short_items(1_000, first=20_000))
    assert worker.wait(60) == 0, worker.log
    assert time.monotonic() - begin < 25 + 5  # The default to drain in, and five seconds to close.
    results = scenario.job.results()
    assert not {record.source for record in results} & late.keys()
    assert sum(committed(scenario.job.bootstrap, scenario.job.group, scenario.job.input).values()) == len(results)
    scenario.start()
    scenario.finish()


@pytest.mark.usefixtures("repeats")
def test_sigterm_twice(scenario: Scenario) -> None:
    """The second signal ends it at once with 128 + 15; the next worker repeats what was not committed."""
    (worker,) = scenario.start(PIPELINE__COMMIT_INTERVAL_MS="600000")
    scenario.put(short_items(20_000))
    scenario.wait_seen(2_000)
    worker.process.send_signal(signal.SIGTERM)
    eventually(lambda: "draining" in worker.log, "it drains", 10, 0.005)
    worker.process.send_signal(signal.SIGTERM)
    scenario.wait_ended(worker, 128 + signal.SIGTERM, 10)
    scenario.note_repeatable()
    scenario.start()
    scenario.finish()


def test_sigterm_during_a_rebalance(scenario: Scenario) -> None:
    """While the group waits for another member to come back, it ends all the same, and in time."""
    with visiting(scenario.job) as visitor:
        (worker,) = scenario.start(**DRAIN)
        scenario.put(short_items(5_000))
        visitor.freeze()  # The rebalance that the next one causes waits for this one.
        joining = scenario.launch()
        eventually(lambda: "rebalancing" in worker.log.rpartition("assigned partitions")[2], "a rebalance", 60)
        begin = time.monotonic()
        assert worker.stop() == 0, worker.log
        assert time.monotonic() - begin < DRAIN_SECONDS + 5
    scenario.wait_sole(joining)
    scenario.finish()


def test_sigterm_while_idle_and_no_broker_is_there(scenario: Scenario, nodes: Nodes) -> None:
    """With everything committed and all brokers gone it ends in time, with 0."""
    (worker,) = scenario.start(KAFKA__GROUP_INSTANCE_ID="one", **DRAIN)
    scenario.put(short_items(500))
    scenario.wait_seen(500)
    eventually(lambda: scenario.uncommitted() == 0, "all committed")
    nodes.kill(*nodes.all)
    # The first line of many; once it comes again, it says how many.
    eventually(lambda: bool(re.search(r"Failed fetch messages .*\(and \d+ more like it\)", worker.log)), "fetches fail")
    begin = time.monotonic()
    assert worker.stop() == 0, worker.log[-3000:]
    assert time.monotonic() - begin < DRAIN_SECONDS + 15
    nodes.heal()
    scenario.finish()


@pytest.mark.parametrize("down", ["killed", "hanging"])
def test_sigterm_while_no_broker_answers(scenario: Scenario, nodes: Nodes, down: str) -> None:
    """It gives up at its deadline what it cannot publish, ends with 0, and the next worker goes on."""
    member = {"KAFKA__GROUP_INSTANCE_ID": "one"}  # It need not leave the group, which no broker would hear.
    (worker,) = scenario.start(**DRAIN, **member)
    scenario.put(short_items(20_000))
    scenario.wait_seen(1_000)
    (nodes.kill if down == "killed" else nodes.pause)(*nodes.all)
    eventually(lambda: worker.metric("streamer_tokens_in_flight") > 0, "reviews in flight")
    begin = time.monotonic()
    assert worker.stop(timeout_s=90) == 0, worker.log[-3000:]
    scenario.notes.append(f"ended {time.monotonic() - begin:.1f} s after the signal, {DRAIN_SECONDS:g} s to drain in")
    assert time.monotonic() - begin < DRAIN_SECONDS + 15  # What docs/operations.md asks for.
    nodes.heal()
    scenario.note_repeatable()
    scenario.start(**member)
    scenario.finish()
