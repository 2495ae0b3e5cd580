"""Faults of the network between a worker and its brokers, made by proxies that only the worker goes through."""

from __future__ import annotations

import time

import pytest

from tests.failures.harness import Scenario, in_flight
from tests.failures.proxied import ProxiedCluster
from tests.failures.waiting import eventually

pytestmark = [pytest.mark.failures, pytest.mark.timeout(400)]

RATE = 400
REQUEST = {"KAFKA__REQUEST_TIMEOUT_MS": "5000"}
OUTAGE_SECONDS = 8.0  # Longer than a request, shorter than the session.


def test_cut_from_one_broker(far: Scenario, far_nodes: ProxiedCluster) -> None:
    """One broker cannot be reached while the others can: the worker waits for it, and nothing comes twice."""
    far.start(**REQUEST)
    far.feed(RATE)
    far.wait_seen(1_000)
    far_nodes.proxies[2].cut()
    time.sleep(OUTAGE_SECONDS)
    far_nodes.forward()
    far.wait_recovered(far.mark())
    far.finish()


def test_cut_from_all_brokers(far: Scenario, far_nodes: ProxiedCluster) -> None:
    """No broker can be reached: the worker waits, and goes on by itself."""
    far.start(**REQUEST)
    far.feed(RATE)
    far.wait_seen(1_000)
    for proxy in far_nodes.proxies.values():
        proxy.cut()
    time.sleep(OUTAGE_SECONDS)
    far_nodes.forward()
    far.wait_recovered(far.mark())
    far.finish()


def test_cut_from_all_for_longer_than_the_session(far: Scenario, far_nodes: ProxiedCluster) -> None:
    """The group takes the worker's partitions away and gives them to the other one; later it is back in."""
    (cut_off,) = far.start(**REQUEST)
    near = far.launch(KAFKA__BOOTSTRAP_SERVERS=far_nodes.bootstrap)
    far.wait_owned(cut_off, near)
    far.feed(RATE)
    far.wait_seen(1_000)
    # It may have published what it does not hear acknowledged, and what is in flight comes when it is back.
    left = in_flight(cut_off)
    for proxy in far_nodes.proxies.values():
        proxy.cut()
    far.gone(cut_off)
    mark = far.mark()
    far.wait_recovered(mark)
    far.note_repeatable(zombies=left)
    far_nodes.forward()
    far.wait_owned(cut_off, near)
    far.wait_recovered(far.mark())
    far.finish()


@pytest.mark.parametrize("way", ["cut", "half open"])
def test_lost_again_and_again_while_committing(far: Scenario, far_nodes: ProxiedCluster, way: str) -> None:
    """Whether a commit got through is not known each time, since its answer may be what was lost."""
    (worker,) = far.start(KAFKA__SESSION_TIMEOUT_MS="30000", PIPELINE__COMMIT_INTERVAL_MS="20", **REQUEST)
    far.feed(RATE)
    far.wait_seen(1_000)
    for _ in range(10):
        for proxy in far_nodes.proxies.values():
            (proxy.cut if way == "cut" else proxy.half_open)()
        time.sleep(0.2)
        for proxy in far_nodes.proxies.values():
            proxy.cut()  # Else it would wait for the request's timeout.
        far_nodes.forward()
        time.sleep(1.0)
    far.wait_recovered(far.mark())
    assert worker.metric("streamer_rebalances_total") == 0
    far.finish()


@pytest.mark.usefixtures("transactional")
def test_cut_for_longer_than_a_transaction(far: Scenario, far_nodes: ProxiedCluster) -> None:
    """The broker aborts what was open, and the group knows nothing of it: all is sent again, and is there once."""
    patient = {"KAFKA__SESSION_TIMEOUT_MS": "60000", "KAFKA__TRANSACTION_TIMEOUT_MS": "10000"}
    (worker,) = far.start(PIPELINE__COMMIT_INTERVAL_MS="3000", **patient, **REQUEST)
    far.feed(RATE)
    far.wait_seen(1_000)
    seen = far.watcher.seen
    eventually(lambda: far.watcher.seen > seen, "a commit", every_s=0.01)
    time.sleep(1.0)  # A third of the way to the next one: transactions are open.
    for proxy in far_nodes.proxies.values():
        proxy.cut()
    time.sleep(24.0)  # Its timeout, the ten seconds after which a broker looks again, and some.
    far_nodes.forward()
    far.wait_recovered(far.mark())
    assert "broke, sending it again" in worker.log
    assert worker.metric("streamer_rebalances_total") == 0
    far.finish()


def test_latency_with_jitter(far: Scenario, far_nodes: ProxiedCluster) -> None:
    """Each way takes 20 to 80 ms: slower, but all of it, in order and once."""
    for proxy in far_nodes.proxies.values():
        proxy.slow(0.05, 0.03)
    far.start(2)
    far.feed(RATE)
    far.wait_seen(2_000)
    far.wait_recovered(far.mark())
    far.finish()


def test_half_open_connections(far: Scenario, far_nodes: ProxiedCluster) -> None:
    """Everything sent vanishes, and no connection closes: requests time out, and the worker connects anew."""
    (worker,) = far.start(KAFKA__SESSION_TIMEOUT_MS="30000", **REQUEST)
    far.feed(RATE)
    far.wait_seen(1_000)
    for proxy in far_nodes.proxies.values():
        proxy.half_open()
    time.sleep(OUTAGE_SECONDS)
    far_nodes.forward()
    far.wait_recovered(far.mark())
    assert worker.metric("streamer_rebalances_total") == 0
    far.finish()


def test_broker_that_accepts_and_never_answers(far: Scenario, far_nodes: ProxiedCluster) -> None:
    """One broker takes connections and answers nothing: the worker waits for it, and goes on when it is back."""
    (worker,) = far.start(KAFKA__SESSION_TIMEOUT_MS="30000", **REQUEST)
    far.feed(RATE)
    far.wait_seen(1_000)
    far_nodes.proxies[3].stall()
    time.sleep(OUTAGE_SECONDS)
    far_nodes.forward()
    far.wait_recovered(far.mark())
    assert worker.metric("streamer_rebalances_total") == 0
    far.finish()


def test_start_against_brokers_that_never_answer(far: Scenario, far_nodes: ProxiedCluster) -> None:
    """Nobody answers at the start: exit code 4 within a few request timeouts, not for ever."""
    for proxy in far_nodes.proxies.values():
        proxy.stall()
    worker = far.launch(**REQUEST)
    begin = time.monotonic()
    far.wait_ended(worker, 4, 120)
    far.notes.append(f"ended after {time.monotonic() - begin:.0f} s, 5 s to a request")
    assert "kafka.bootstrap_servers" in worker.log
    far_nodes.forward()
    far.start()
    far.feed(RATE)
    eventually(lambda: far.watcher.seen > 0, "results")
    far.finish()
