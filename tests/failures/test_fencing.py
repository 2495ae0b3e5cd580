"""Zombies: workers that the group has given up, and that come back."""

from __future__ import annotations

import signal
import time

import pytest
from confluent_kafka import Producer

from tests.failures.harness import Scenario, in_flight
from tests.failures.ownership import owned
from tests.failures.waiting import eventually

pytestmark = [pytest.mark.failures, pytest.mark.timeout(400), pytest.mark.requires("multi_node", "admin")]

RATE = 400
# A broker looks only this often for transactions whose time is over.
LOOK_SECONDS = 10.0
TRANSACTION_SECONDS = 10.0  # The least that kafka.transaction_timeout_ms can be.
PATIENT = {
    "KAFKA__SESSION_TIMEOUT_MS": "60000",
    "PIPELINE__COMMIT_INTERVAL_MS": "3000",
    "KAFKA__TRANSACTION_TIMEOUT_MS": f"{TRANSACTION_SECONDS * 1000:.0f}",
}
BROKE = "broke, sending it again"


def test_zombie_comes_back(scenario: Scenario) -> None:
    """Paused past its session, one of two workers comes back: it forgets what it had, joins again, and works."""
    zombie, other = scenario.start(2, PIPELINE__COMMIT_INTERVAL_MS="3000")
    scenario.feed(RATE)
    scenario.wait_seen(1_000)
    left = in_flight(zombie)
    mark = scenario.mark()
    zombie.process.send_signal(signal.SIGSTOP)
    scenario.gone(zombie)
    scenario.wait_sole(other)
    scenario.wait_recovered(mark)
    scenario.note_repeatable(zombies=left)
    assignments = zombie.log.count("assigned partitions: t-")
    zombie.process.send_signal(signal.SIGCONT)
    eventually(lambda: zombie.log.count("assigned partitions: t-") > assignments, "the zombie is back in the group")
    scenario.wait_owned(zombie, other)
    scenario.wait_recovered(scenario.mark())
    scenario.finish()


@pytest.mark.usefixtures("repeats")
def test_commit_with_an_illegal_generation_is_skipped(scenario: Scenario) -> None:
    """What a zombie has published and not committed it must not commit: it is refused, skipped and counted."""
    zombie, other = scenario.start(2, PIPELINE__COMMIT_INTERVAL_MS="600000")
    scenario.feed(RATE)
    scenario.wait_seen(2_000)
    left = in_flight(zombie)
    scenario.note_repeatable()  # Nobody commits before the rebalance, so all of it.
    zombie.process.send_signal(signal.SIGSTOP)
    scenario.gone(zombie)
    scenario.wait_sole(other)
    scenario.note_repeatable(zombies=left)
    zombie.process.send_signal(signal.SIGCONT)
    eventually(lambda: zombie.metric("streamer_commits_total", outcome="skipped") >= 1, "a skipped commit")
    scenario.wait_owned(zombie, other)
    assert zombie.metric("streamer_commits_total", outcome="failed") == 0
    scenario.finish()


def test_sole_worker_paused_past_its_session(scenario: Scenario) -> None:
    """With nobody to take over, the worker goes on where it was as soon as it is back."""
    (worker,) = scenario.start()
    scenario.feed(RATE)
    scenario.wait_seen(1_000)
    left = in_flight(worker)
    worker.process.send_signal(signal.SIGSTOP)
    scenario.note_repeatable(zombies=left)
    eventually(lambda: not scenario.members(), "the group is empty", 60, 0.5)
    mark = scenario.mark()
    worker.process.send_signal(signal.SIGCONT)
    scenario.wait_recovered(mark)
    assert len(owned(worker.log)) == scenario.job.partitions
    scenario.finish()


@pytest.mark.usefixtures("transactional")
def test_another_producer_takes_a_transactional_id(scenario: Scenario) -> None:
    """A worker that is fenced in its own partition commits nothing more of it, and ends with 4; the other goes on."""
    workers = scenario.start(2, PIPELINE__REVOKE_TIMEOUT_MS="3000", KAFKA__REBALANCE_TIMEOUT_MS="5000")
    scenario.feed(RATE)
    scenario.wait_seen(1_000)
    fenced, other = sorted(workers, key=lambda worker: 0 not in owned(worker.log))
    mark = scenario.mark()
    thief = Producer(
        {
            "bootstrap.servers": scenario.job.bootstrap,
            "transactional.id": scenario.transactional_id(0),
            "log_level": 0,
        }
    )
    thief.init_transactions(30)
    scenario.wait_ended(fenced, 4)
    assert "another worker's, but the group has not said so" in fenced.log
    scenario.wait_sole(other)
    scenario.wait_recovered(mark)
    scenario.finish()


@pytest.mark.usefixtures("transactional")
def test_transaction_aborted_by_the_broker_is_sent_again(scenario: Scenario) -> None:
    """Paused past its transactions' timeout, and still in the group: the worker sends all of them again, once."""
    (worker,) = scenario.start(**PATIENT)
    scenario.feed(RATE)
    scenario.wait_seen(1_000)
    seen = scenario.watcher.seen
    eventually(lambda: scenario.watcher.seen > seen, "a commit", every_s=0.01)
    time.sleep(1.0)  # A third of the way to the next one: transactions are open.
    worker.process.send_signal(signal.SIGSTOP)
    time.sleep(TRANSACTION_SECONDS + LOOK_SECONDS + 3.0)
    mark = scenario.mark()
    worker.process.send_signal(signal.SIGCONT)
    scenario.wait_recovered(mark)
    assert BROKE in worker.log
    assert worker.metric("streamer_rebalances_total") == 0
    scenario.notes.append(f"{worker.log.count(BROKE)} transactions sent again")
    scenario.finish()
