"""Rebalances: workers and others that come and go, while reviews keep coming."""

from __future__ import annotations

import random
import re

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from tests.failures.feeding import short_items
from tests.failures.harness import Scenario
from tests.failures.ownership import owned
from tests.failures.visitor import visiting
from tests.failures.waiting import eventually

pytestmark = [pytest.mark.failures, pytest.mark.timeout(400), pytest.mark.requires("multi_node", "admin")]

RATE = 400
SEED = 5


def test_storm_of_joins_and_leaves(scenario: Scenario) -> None:
    """Workers join and leave in a random order: each leaves drained, so nothing comes twice."""
    chance = random.Random(SEED)
    working = scenario.start(2)
    scenario.feed(RATE)
    for _ in range(8):
        if len(working) == 1 or (len(working) < 3 and chance.random() < 0.5):
            working += scenario.start()
        else:
            scenario.leave(working.pop(chance.randrange(len(working))))
    scenario.wait_recovered(scenario.mark())
    scenario.finish()


def test_one_to_three_to_one_workers(scenario: Scenario) -> None:
    """Partitions are given up with reviews in flight, and taken back when the others leave: nothing comes twice."""
    (first,) = scenario.start()
    scenario.put(short_items(10_000))
    scenario.feed(RATE)
    scenario.wait_seen(500)
    others = scenario.start(2)
    scenario.leave(*others)
    scenario.wait_sole(first)
    scenario.wait_recovered(scenario.mark())
    scenario.finish()


@pytest.mark.fast
def test_revoke_against_commit(scenario: Scenario) -> None:
    """A member comes and goes while the worker commits all the time: no deadlock, and nothing comes twice."""
    (worker,) = scenario.start(PIPELINE__COMMIT_INTERVAL_MS="1")
    scenario.feed(RATE)
    for _ in range(5):
        with visiting(scenario.job):
            pass
        scenario.wait_sole(worker)
    scenario.wait_recovered(scenario.mark())
    assert worker.metric("streamer_rebalances_total") >= 5
    scenario.finish()


def test_revoked_and_reclaimed_at_once(scenario: Scenario) -> None:
    """A member that has just got partitions leaves again: the worker takes them back with a backlog in flight."""
    (worker,) = scenario.start()
    scenario.put(short_items(12_000))
    scenario.wait_seen(500)
    for _ in range(3):
        with visiting(scenario.job):
            pass
    scenario.wait_sole(worker)
    scenario.feed(RATE)
    scenario.wait_recovered(scenario.mark())
    scenario.finish()


@pytest.mark.timeout(600)
def test_partitions_added_live(scenario: Scenario) -> None:
    """The input grows from six partitions to nine: the workers find the new ones by themselves."""
    workers = scenario.start(2)
    scenario.put(short_items(1_000))
    admin = AdminClient({"bootstrap.servers": scenario.job.bootstrap, "log_level": 0})
    admin.create_partitions([NewPartitions(scenario.job.input, 9)])[scenario.job.input].result(10)
    eventually(lambda: sum(len(owned(worker.log)) for worker in workers) == 9, "nine partitions owned", 400, 1.0)
    scenario.job.partitions = 9
    scenario.feed(RATE)
    scenario.wait_recovered(scenario.mark())
    scenario.finish()


@pytest.mark.fast
def test_static_member_restarts_without_a_rebalance(scenario: Scenario) -> None:
    """With a name of its own a worker comes back within its session: the other one notices nothing."""
    settings = {"KAFKA__SESSION_TIMEOUT_MS": "120000"}
    stays = scenario.launch(KAFKA__GROUP_INSTANCE_ID="stays", **settings)
    goes = scenario.launch(KAFKA__GROUP_INSTANCE_ID="goes", **settings)
    scenario.wait_owned(stays, goes)
    scenario.feed(RATE)
    scenario.wait_seen(500)
    before = rebalances(stays.log)
    had = owned(goes.log)
    scenario.leave(goes)
    mark = scenario.mark()
    (back,) = scenario.start(KAFKA__GROUP_INSTANCE_ID="goes", **settings)
    scenario.wait_recovered(mark)
    assert owned(back.log) == had
    assert rebalances(stays.log) == before
    scenario.finish()


def rebalances(log: str) -> int:
    """How often a worker has been given partitions."""
    return len(re.findall("assigned partitions: t-", log))
