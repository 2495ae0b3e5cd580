"""Traffic for long: nothing grows."""

from __future__ import annotations

import os
import statistics
import sys
import time

import pytest

from tests.failures.feeding import short_items
from tests.failures.harness import Scenario
from tests.failures.vitals import Vitals, vitals

pytestmark = [pytest.mark.failures, pytest.mark.timeout(4_000), pytest.mark.requires("multi_node", "admin")]

REVIEWS = int(os.environ.get("SOAK_REVIEWS", "5000000"))
SECONDS = float(os.environ.get("SOAK_SECONDS", "1800"))  # Whichever comes first.
CHUNK = 50_000  # Written at a time; the next one follows when this one is half done.
WARM_UP = 0.2  # Share of the samples before which nothing is compared: caches fill.


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_grows(scenario: Scenario) -> None:
    """Over millions of reviews memory stays level, and descriptors and threads stay as many; all come once."""
    (worker,) = scenario.start(MODEL__CACHE_ENTRIES="4096")
    samples: list[Vitals] = []
    begin, written = time.monotonic(), 0
    while written < REVIEWS and time.monotonic() - begin < SECONDS:
        count = min(CHUNK, REVIEWS - written)
        scenario.put(short_items(count, first=written))
        written += count
        while scenario.watcher.seen < written - CHUNK // 2:
            assert worker.process.poll() is None, worker.log[-3000:]
            samples.append(vitals(worker.process.pid))
            time.sleep(0.5)
    taken = time.monotonic() - begin
    warm = samples[int(WARM_UP * len(samples)) :]
    early, late = warm[: len(warm) // 4], warm[-(len(warm) // 4) :]
    before, after = (statistics.median(sample.memory for sample in part) for part in (early, late))
    scenario.notes.append(f"{taken:.0f} s, memory {before:.0f} to {after:.0f} MiB, {late[-1].threads} threads")
    assert after < before * 1.05 + 10
    for number in ("descriptors", "threads"):
        assert max(getattr(s, number) for s in late) <= max(getattr(s, number) for s in early) + 2, number
    scenario.patience_s = 900.0
    scenario.finish()
