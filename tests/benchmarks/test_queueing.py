"""The simulation: every review served once, the same figures every time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from benchmarks.lengths import COUNTED, EDGES, HISTOGRAMS, counted, draw, shares
from benchmarks.policies import LIMITS, rules
from benchmarks.queueing import Policy, percentile, plausible_costs, poisson, read_trace, simulate

COSTS = plausible_costs()
LIMIT = COSTS.lengths[-1]
POLICIES = rules(COSTS, {"arrival order": 64, "sorted window": 64})


@pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)
def test_a_simulation_serves_every_review_once(make: Callable[[], Policy]) -> None:
    """Under each policy; the latency is the wait and the batch, real tokens are what came, and it is repeatable."""
    arrivals = poisson(5_000.0, 2_000, "shop", LIMIT, seed=3)
    report = simulate(arrivals, make(), COSTS)
    assert report.tokens == sum(arrival.length for arrival in arrivals)
    assert all(0 <= wait < latency for wait, latency in zip(report.waits, report.latencies, strict=True))
    assert report == simulate(poisson(5_000.0, 2_000, "shop", LIMIT, seed=3), make(), COSTS)


@pytest.mark.parametrize("seed", range(5))
def test_ours_never_pads_more_than_arrival_order_under_a_mixed_backlog(seed: int) -> None:
    """Nine tenths of the tokens are real, and the throughput follows."""
    backlog = poisson(float("inf"), 10_000, "mixed", LIMIT, seed)
    ours, plain = (simulate(backlog, POLICIES[name](), COSTS) for name in ("ours", "arrival order"))
    assert ours.efficiency > max(0.9, plain.efficiency)
    assert ours.throughput > plain.throughput


@pytest.mark.parametrize("seed", range(5))
def test_no_review_waits_long_while_inference_keeps_up(seed: int) -> None:
    """At 60 % of what plain arrival order could do: the longest wait, the batch before it and one more."""
    backlog = poisson(float("inf"), 10_000, "shop", LIMIT, seed=1)
    rate = 0.6 * simulate(backlog, POLICIES["arrival order"](), COSTS).throughput
    report = simulate(poisson(rate, 10_000, "shop", LIMIT, seed), POLICIES["ours"](), COSTS)
    assert max(report.waits) <= LIMITS.max_wait + 2 * report.busiest


def test_the_same_seed_gives_the_same_reviews_at_any_rate() -> None:
    """Only the times between them are another."""
    slow, fast = (poisson(rate, 50, "food", LIMIT, seed=4) for rate in (10.0, 1000.0))
    assert [arrival.length for arrival in slow] == [arrival.length for arrival in fast]
    assert [arrival.at for arrival in slow] == pytest.approx([100 * arrival.at for arrival in fast])


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_a_histogram_is_drawn_as_it_was_counted(name: str) -> None:
    """Shares that add up to 1; what is longer than the limit has the limit."""
    assert sum(shares(name)) == pytest.approx(1)
    lengths = draw(name, 20_000, EDGES[-1], Random(5))
    drawn = [count / 10_000 for count in counted(lengths)]
    assert drawn == pytest.approx(shares(name), abs=0.015)
    assert max(draw(name, 1_000, 16, Random(5))) == 16


def test_every_histogram_has_a_share_for_each_edge() -> None:
    """In 10,000, but for rounding."""
    assert {len(found) for found in COUNTED.values()} == {len(EDGES)}
    assert all(abs(sum(found) - 10_000) < 20 for found in COUNTED.values())


def test_a_trace_is_read_in_the_order_of_time() -> None:
    """Whatever the order of its lines; blank ones are none."""
    arrivals = read_trace(["0.5 3", "", "0.25 8\n"])
    assert [(arrival.at, arrival.length) for arrival in arrivals] == [(0.25, 8), (0.5, 3)]


def test_a_percentile_is_one_of_the_values() -> None:
    """The smallest that so many do not exceed."""
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.01, 0.5, 0.505, 0.99, 1)] == [1, 1, 50, 51, 99, 100]
