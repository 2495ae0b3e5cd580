"""Crashes: of workers and of brokers, while reviews keep coming."""

from __future__ import annotations

import time

import pytest

from tests.failures.conftest import Begin
from tests.failures.feeding import short_items
from tests.failures.harness import Scenario
from tests.failures.modes import EXACTLY_ONCE
from tests.failures.nodes import Nodes

pytestmark = [pytest.mark.failures, pytest.mark.timeout(400), pytest.mark.requires("multi_node", "faults", "admin")]

BACKLOG = 8_000  # So much that a worker is certainly busy when the fault comes.
RATE = 400  # Reviews a second: a fraction of what a worker does, even on two cores shared with three brokers.
OUTAGE_SECONDS = 15.0


@pytest.mark.fast("exactly_once")
def test_worker_killed_mid_batch(scenario: Scenario) -> None:
    """One of two workers is killed while busy: the other takes over, and repeats only what was not committed."""
    first, _ = scenario.start(2)
    scenario.put(short_items(BACKLOG))
    scenario.feed(RATE)
    scenario.wait_seen(1_000)
    mark = scenario.mark()
    scenario.crash(first)
    assert scenario.watcher.seen < BACKLOG, "it was not busy"
    scenario.wait_recovered(mark)
    scenario.finish()


@pytest.mark.usefixtures("repeats")
def test_worker_killed_between_publish_and_commit(scenario: Scenario) -> None:
    """Everything is published and nothing committed when the worker dies: the next one repeats it, no more."""
    (first,) = scenario.start(PIPELINE__COMMIT_INTERVAL_MS="600000")
    scenario.put(short_items(3_000))
    scenario.wait_seen(3_000)
    mark = scenario.mark()
    scenario.crash(first)
    assert scenario.repeatable == 3_000
    scenario.feed(RATE)
    scenario.start()
    scenario.wait_recovered(mark)
    report = scenario.finish()
    assert len(report.duplicated) == 3_000


@pytest.mark.fast
def test_broker_killed(scenario: Scenario, nodes: Nodes) -> None:
    """A broker is killed and comes back: results flow on without it and with it, and nothing comes twice."""
    scenario.start(2)
    scenario.feed(RATE)
    scenario.wait_seen(1_000)
    mark = scenario.mark()
    nodes.kill(2)
    scenario.wait_recovered(mark)
    nodes.start(2)
    scenario.wait_recovered(scenario.mark())
    scenario.finish()


def test_rolling_bounce_of_all_brokers(scenario: Scenario, nodes: Nodes) -> None:
    """Each broker in turn is stopped and started, as for an upgrade: nothing comes twice."""
    scenario.start(2)
    scenario.feed(RATE)
    scenario.wait_seen(1_000)
    for node in nodes.all:
        nodes.restart(node)
        nodes.wait_in_sync()
    scenario.wait_recovered(scenario.mark())
    scenario.finish()


def test_quorum_lost_and_back(scenario: Scenario, nodes: Nodes) -> None:
    """Two of three brokers are killed at once, and come back: the workers wait for them and go on by themselves."""
    scenario.start(2)
    scenario.feed(RATE)
    scenario.wait_seen(1_000)
    nodes.kill(1, 2)
    nodes.heal()
    scenario.wait_recovered(scenario.mark())
    scenario.finish()


def test_quorum_lost_for_longer_than_a_request(scenario: Scenario, nodes: Nodes) -> None:
    """No majority for twice the request timeout and the session: the workers still go on by themselves."""
    scenario.start(2, KAFKA__REQUEST_TIMEOUT_MS="5000")
    scenario.feed(RATE)
    scenario.wait_seen(1_000)
    nodes.kill(1, 2)
    time.sleep(OUTAGE_SECONDS)
    nodes.heal()
    scenario.wait_recovered(scenario.mark())
    scenario.finish()


def test_output_partition_without_a_leader(begin: Begin, nodes: Nodes, mode: str) -> None:
    """Nobody leads the output for longer than the request timeout: exit code 4, and the next worker loses nothing.

    A transaction can be neither committed nor aborted without that leader, so there the worker waits for it.
    """
    scenario = begin(nodes.cluster, output=nodes.topic_on(3, 6))
    (worker,) = scenario.start(KAFKA__REQUEST_TIMEOUT_MS="5000")
    scenario.feed(RATE)
    scenario.wait_seen(1_000)
    nodes.kill(3)
    if mode == EXACTLY_ONCE:
        time.sleep(OUTAGE_SECONDS)
        nodes.heal()
    else:
        scenario.wait_ended(worker, 4)
        nodes.heal()
        scenario.note_repeatable()
        scenario.start()
    scenario.wait_recovered(scenario.mark())
    scenario.finish()


def test_coordinator_killed_mid_commit(scenario: Scenario, nodes: Nodes) -> None:
    """The group's coordinator dies while commits are on their way all the time: the next one takes them."""
    scenario.start(2, PIPELINE__COMMIT_INTERVAL_MS="20")
    scenario.feed(RATE)
    scenario.wait_seen(1_000)
    for _ in range(2):
        coordinator = nodes.coordinator(scenario.job.group)
        mark = scenario.mark()
        nodes.kill(coordinator)
        scenario.wait_recovered(mark)
        assert nodes.coordinator(scenario.job.group) != coordinator
        nodes.heal()
    scenario.finish()


@pytest.mark.usefixtures("transactional")
def test_transaction_coordinator_killed(scenario: Scenario, nodes: Nodes) -> None:
    """The coordinator of a partition's transactions dies while they end all the time: the next one goes on."""
    scenario.start(2, PIPELINE__COMMIT_INTERVAL_MS="20")
    scenario.feed(RATE)
    scenario.wait_seen(1_000)
    transactions = scenario.transactional_id(0)
    for _ in range(2):
        coordinator = nodes.transaction_coordinator(transactions)
        mark = scenario.mark()
        nodes.kill(coordinator)
        scenario.wait_recovered(mark)
        assert nodes.transaction_coordinator(transactions) != coordinator
        nodes.heal()
    scenario.finish()
