"""Traffic for long: nothing grows."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from tests.failures.feeding import short_items
from tests.failures.harness import Scenario
from tests.failures.vitals import Vitals, vitals
from tests.workers import Worker

REVIEWS = int(os.environ.get("SOAK_REVIEWS", "5000000"))
SECONDS = float(os.environ.get("SOAK_SECONDS", "1800"))  # Whichever comes first.
CHUNK = 50_000  # Written at a time; the next one follows when this one is half done.
EVERY_SECONDS = 0.5
WARM_UP = 0.2  # Share of the samples before which nothing is compared: caches fill.
FEWEST_SAMPLES = 40
GROWTH = 0.05  # Share of its memory that the slope may come to, from the first warm sample to the last...
GROWTH_MIB = 10.0  # ... and so much besides.

pytestmark = [
    pytest.mark.failures,
    pytest.mark.timeout(int(SECONDS) + 1_500),
    pytest.mark.requires("multi_node", "admin"),
]


class Sample(NamedTuple):
    """At a time, in seconds since the start."""

    at: float
    process: Vitals
    tasks: float


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_grows(scenario: Scenario) -> None:
    """Over millions of reviews memory stays level, and descriptors, threads and tasks as many; all come once."""
    scenario.keep_little()
    scenario.patience_s = 900.0
    (worker,) = scenario.start(MODEL__CACHE_ENTRIES="4096")
    samples = soak(scenario, worker)
    warm = samples[int(WARM_UP * len(samples)) :]
    memory = statistics.linear_regression([s.at for s in warm], [s.process.memory for s in warm]).slope
    level = statistics.median(s.process.memory for s in warm)
    grown = memory * (warm[-1].at - warm[0].at)
    scenario.notes.append(
        f"{samples[-1].at:.0f} s, {level:.0f} MiB, slope {memory * 60:+.2f} MiB a minute, "
        f"{warm[-1].process.descriptors} descriptors, {warm[-1].process.threads} threads, {warm[-1].tasks:.0f} tasks"
    )
    scenario.finish()
    assert len(warm) >= FEWEST_SAMPLES
    assert grown < GROWTH * level + GROWTH_MIB, f"{grown:.0f} MiB more"
    early, late = warm[: len(warm) // 4], warm[-(len(warm) // 4) :]
    for name in ("descriptors", "threads"):
        assert max(getattr(s.process, name) for s in late) <= max(getattr(s.process, name) for s in early) + 2, name
    # How many there are changes from one moment to the next, with the requests under way.
    assert statistics.median(s.tasks for s in late) <= statistics.median(s.tasks for s in early) + 5


def soak(scenario: Scenario, worker: Worker) -> Sequence[Sample]:
    """Traffic as fast as it is labelled, until one of the bounds; what the worker took meanwhile."""
    samples: list[Sample] = []
    begin, written = time.monotonic(), 0
    while written < REVIEWS and time.monotonic() - begin < SECONDS:
        count = min(CHUNK, REVIEWS - written)
        scenario.put(short_items(count, first=written))
        written += count
        while scenario.watcher.seen < written - CHUNK // 2:
            assert worker.process.poll() is None, worker.log[-3000:]
            at = time.monotonic() - begin
            samples.append(Sample(at, vitals(worker.process.pid), worker.metric("streamer_tasks")))
            time.sleep(EVERY_SECONDS)
    return samples
