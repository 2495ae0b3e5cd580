"""How long reviews wait for batches: formulas for one work-conserving server that serves batches by length.

Pure. `streamer.planning.worker.server` models a whole worker as such a server. tests/planning/test_plan.py compares
the formulas with a simulation.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from streamer.pipeline.batching import CostTable
from streamer.settings import BatchingSettings

# Batches as large as the settings allow by default.
MAX_REVIEWS = BatchingSettings().max_reviews
MAX_PADDED_TOKENS = BatchingSettings().max_padded_tokens
# Median, 95 % and 99 % of Erlang's distribution of six and of three stages, relative to its mean.
_ONE_BATCH = (0.9450, 1.7522, 2.1847)
_MORE_BATCHES = (0.8914, 2.0986, 2.8020)
# Backlogs, in reviews, for which the time to clear is computed; beyond the last it grows by the full-load cost.
_BACKLOGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds."""

    mean: float
    p50: float
    p95: float
    p99: float


def full_load_seconds(costs: CostTable, lengths: Sequence[int]) -> float:
    """Seconds a review under full load, when each batch has the best size for its length: 1 / capacity."""
    best = {length: min(costs.cost(length, size) / size for size in _sizes(costs, length)) for length in set(lengths)}
    return sum(best[length] for length in lengths) / len(lengths)


def _sizes(costs: CostTable, length: int, waiting: int = MAX_REVIEWS) -> list[int]:
    most = min(MAX_REVIEWS, max(1, MAX_PADDED_TOKENS // length), waiting)
    return [*(size for size in costs.sizes if size < most), most]


def batch_latency(costs: CostTable, lengths: Sequence[int], rate: float) -> Latency:
    """Time from arrival to the end of its batch, for Poisson arrivals at a work-conserving batch server.

    The mean is that of a cycle in which every length group is served once, gated (Takagi, Analysis of Polling
    Systems, 1986): the cycle T takes as long as clearing what arrives in one, T = C(rate T), by the cheapest cut of the
    backlog into b batches. A review waits T/2 for its group's turn, and then its batch, T/b: T (1/2 + 1/b). With one
    group it is 3/2 T, the leading term of Inoue's bound for dynamic batching (Performance Evaluation 147, 2021,
    arXiv:1912.06322), where C is linear. The percentiles are those of Erlang's distribution: of six stages where one
    batch takes all, of three where it takes two or more, which was fitted to the simulation.
    tests/planning/test_plan.py compares all of it with the simulation: within a factor of 2.

    Infinite if `rate` is not below the capacity.
    """
    full = full_load_seconds(costs, lengths)
    if rate * full >= 1:
        return Latency(math.inf, math.inf, math.inf, math.inf)
    cleared = [_clear(costs, lengths, backlog) for backlog in _BACKLOGS]

    def clear(backlog: float) -> tuple[float, float]:
        """Seconds and batches; interpolated between the backlogs, and with full batches only beyond the last."""
        if backlog <= 1:
            return cleared[0]
        right = bisect_left(_BACKLOGS, backlog)
        if right == len(_BACKLOGS):
            seconds, batches = cleared[-1]
            return seconds + (backlog - _BACKLOGS[-1]) * full, batches * backlog / _BACKLOGS[-1]
        share = (backlog - _BACKLOGS[right - 1]) / (_BACKLOGS[right] - _BACKLOGS[right - 1])
        (low, few), (high, many) = cleared[right - 1], cleared[right]
        return low + share * (high - low), few + share * (many - few)

    low, high = 0.0, (cleared[-1][0] + _BACKLOGS[-1] * full) / (1 - rate * full)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if clear(rate * middle)[0] > middle else (low, middle)
    batches = clear(rate * high)[1]
    mean = 1000 * high * (0.5 + 1 / batches)
    share = min(1.0, batches - 1)
    return Latency(mean, *(mean * (a + share * (b - a)) for a, b in zip(_ONE_BATCH, _MORE_BATCHES, strict=True)))


def _clear(costs: CostTable, lengths: Sequence[int], backlog: int) -> tuple[float, float]:
    """Seconds and batches of the cheapest way to clear a backlog with this mix of lengths.

    Sorted by length and cut into batches of neighbours, by dynamic programming over the cuts.
    """
    waiting = [lengths[int((index + 0.5) / backlog * len(lengths))] for index in range(backlog)]
    best = [(0.0, 0)]
    for count, length in enumerate(waiting, 1):
        cuts = ((best[count - size], size) for size in _sizes(costs, length, count))
        best.append(min((seconds + costs.cost(length, size), batches + 1) for (seconds, batches), size in cuts))
    return best[-1][0], float(best[-1][1])
