"""Open-loop load, without a broker: when reviews are due, sending them then, and what became of them.

Arrivals are fixed before the first is sent and never wait for results. Latency counts from the moment a review was due,
not from the moment it was sent, so that a service that stalls is charged for all that should have come meanwhile (no
coordinated omission), and a generator that is late shows in a figure of its own.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_PERMILLE = {"p50": 500, "p95": 950, "p99": 990, "p99.9": 999, "max": 1000}
_GROWTH = 0.05  # A backlog that grows by more than this share of what is sent does not end.
_NOISE_SECONDS = 0.5  # One shorter than this is batches coming and going.


def poisson_schedule(rate: float, seconds: float, seed: int) -> list[float]:
    """Arrival times in seconds from the start, on average `rate` a second; the same for the same seed."""
    chance = random.Random(seed)
    times: list[float] = []
    now = chance.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += chance.expovariate(rate)
    return times


def pace(due: Sequence[int], send: Callable[[int], None]) -> list[int]:
    """Call `send(number)` when `due[number]` has come, and at once for all that are overdue.

    Times are of `time.monotonic_ns`, ascending. Returns by how many nanoseconds each call began late.
    """
    late: list[int] = []
    for number, at in enumerate(due):
        while (left := at - time.monotonic_ns()) > 0:
            time.sleep(left / 1e9)
        late.append(-left)
        send(number)
    return late


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Nearest rank: of each, the smallest value that at least so many thousandths of the values do not exceed.

    Raises ValueError where there are no values.
    """
    if not values:
        raise ValueError("percentiles of nothing")
    ordered = sorted(values)
    # In whole numbers: 0.95 * 20 is not 19 everywhere.
    return {name: ordered[-(-permille * len(ordered) // 1000) - 1] for name, permille in _PERMILLE.items()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A load that was offered: all times in seconds from its start.

    due: when each review was to be sent, ascending. late: by how much it was sent later.
    arrived: when its result came, by its number; a result that did not come is not there.
    """

    due: Sequence[float]
    late: Sequence[float]
    arrived: Mapping[int, float]

    def latencies(self, since: float = 0.0) -> list[float]:
        """From due to arrived, of the reviews due from `since` on whose result came."""
        return [self.arrived[i] - at for i, at in enumerate(self.due) if at >= since and i in self.arrived]

    def backlog(self, at: float) -> int:
        """Reviews due by then without a result by then."""
        return bisect_right(self.due, at) - sum(arrived <= at for arrived in self.arrived.values())

    def overloaded(self, since: float = 0.0) -> bool:
        """Whether results are missing, or the backlog of reviews grows without end from `since` on."""
        if len(self.arrived) < len(self.due):
            return True
        if not self.due:
            return False
        end = self.due[-1]
        middle = (since + end) / 2
        sent = bisect_right(self.due, end) - bisect_right(self.due, middle)
        grown = self.backlog(end) - self.backlog(middle)
        return grown > _GROWTH * sent and self.backlog(end) > _NOISE_SECONDS * len(self.due) / end
