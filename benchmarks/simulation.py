"""What the batching policy does to waits and padding, without a model or a clock: a discrete-event simulation.

    python -m benchmarks.simulation                    # Poisson arrivals at several loads, three policies
    python -m benchmarks.simulation --trace FILE       # arrivals as recorded: lines of `seconds tokens`

One server judges batches, one after the other; how long each takes says a cost table. Whenever the server is
free and something waits, the policy is asked for a batch, as the pipeline does. All of it is seeded: the same
command prints the same table on any machine.
"""

from __future__ import annotations

import argparse
import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streamer.buckets import Batch, Bucketer, CostTable

MAX_WAIT = 0.02
MAX_REVIEWS = 256
MAX_PADDED_TOKENS = 16_384
FIXED_SIZE = 64  # Times 256 tokens, the longest: the same budget.
WINDOW = 1024
LOADS = (0.3, 0.6, 0.9, 1.2)

# Share of shop reviews (shopping.csv.gz and jd.csv.gz of shared/data, every fifth, bundled vocabulary) that have
# up to so many tokens, and more than the line before.
SHOP_REVIEWS = {
    4: 0.029,
    8: 0.091,
    12: 0.151,
    16: 0.151,
    24: 0.210,
    32: 0.123,
    48: 0.114,
    64: 0.048,
    96: 0.040,
    128: 0.019,
    192: 0.016,
    256: 0.008,
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A review of `length` tokens, there from `at` seconds on."""

    at: float
    length: int


class Policy(Protocol):
    """`streamer.buckets.Bucketer`'s interface; the items are numbers of arrivals."""

    def __len__(self) -> int: ...
    def add(self, item: int, length: int, now: float) -> None: ...
    def next_batch(self, now: float) -> Batch[int] | None: ...


class ArrivalOrder:
    """What most servers do: the oldest reviews, up to a fixed number, padded to the longest of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[tuple[float, int, int]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: int, length: int, now: float) -> None:
        """Let a review wait."""
        self._waiting.append((now, length, item))

    def next_batch(self, now: float) -> Batch[int] | None:
        """The oldest."""
        taken = [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]
        return _batch(taken) if taken else None


class SortedWindow:
    """The oldest `window` reviews sorted by length and cut into batches; all are judged before the next window."""

    def __init__(self, window: int, max_reviews: int, max_padded_tokens: int) -> None:
        self._window = window
        self._max_reviews = max_reviews
        self._max_padded_tokens = max_padded_tokens
        self._waiting: deque[tuple[float, int, int]] = deque()
        self._cut: list[tuple[float, int, int]] = []  # The window, shortest first.

    def __len__(self) -> int:
        return len(self._waiting) + len(self._cut)

    def add(self, item: int, length: int, now: float) -> None:
        """Let a review wait."""
        self._waiting.append((now, length, item))

    def next_batch(self, now: float) -> Batch[int] | None:
        """The longest of the window, a new one when it is used up."""
        if not self._cut:
            taken = [self._waiting.popleft() for _ in range(min(self._window, len(self._waiting)))]
            self._cut = sorted(taken, key=lambda waiting: waiting[1])
        if not self._cut:
            return None
        size = min(self._max_reviews, max(1, self._max_padded_tokens // self._cut[-1][1]))
        taken, self._cut = self._cut[-size:], self._cut[:-size]
        return _batch(taken)


def _batch(taken: Sequence[tuple[float, int, int]]) -> Batch[int]:
    lengths = [length for _, length, _ in taken]
    return Batch([item for _, _, item in taken], max(lengths), sum(lengths), min(arrival for arrival, _, _ in taken))


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a run; all times in seconds.

    waits: from a review's arrival to the start of its batch, latencies: to its end, by arrival.
    busiest: the longest that one batch took.
    """

    waits: Sequence[float]
    latencies: Sequence[float]
    seconds: float
    tokens: int
    padded: int
    batches: int
    busiest: float

    @property
    def throughput(self) -> float:
        """Reviews per second, from the first arrival to the last result."""
        return len(self.waits) / self.seconds

    @property
    def efficiency(self) -> float:
        """Real tokens over tokens with padding."""
        return self.tokens / self.padded


def simulate(arrivals: Sequence[Arrival], policy: Policy, costs: CostTable) -> Report:
    """Judge all arrivals, which must be in the order of their times."""
    waits, latencies = [0.0] * len(arrivals), [0.0] * len(arrivals)
    tokens = padded = batches = arrived = 0
    busiest = 0.0
    free_at = arrivals[0].at
    while arrived < len(arrivals) or len(policy):
        now = free_at if len(policy) else max(free_at, arrivals[arrived].at)
        while arrived < len(arrivals) and arrivals[arrived].at <= now:
            policy.add(arrived, arrivals[arrived].length, arrivals[arrived].at)
            arrived += 1
        batch = policy.next_batch(now)
        if batch is None:
            raise RuntimeError("the policy let the server idle while reviews waited: this is a bug")
        seconds = costs.cost(batch.length, len(batch))
        free_at = now + seconds
        for item in batch.items:
            waits[item], latencies[item] = now - arrivals[item].at, free_at - arrivals[item].at
        tokens, padded, batches = tokens + batch.tokens, padded + batch.length * len(batch), batches + 1
        busiest = max(busiest, seconds)
    return Report(waits, latencies, free_at - arrivals[0].at, tokens, padded, batches, busiest)


def poisson(rate: float, count: int, shares: dict[int, float], seed: int) -> list[Arrival]:
    """`count` reviews, on average `rate` a second, with lengths drawn from a histogram; an infinite rate is a
    backlog: everything is there from the start."""
    chance = random.Random(seed)
    uppers = list(shares)
    lowers = dict(zip(uppers, [0, *uppers], strict=False))
    now = 0.0
    arrivals = []
    for upper in chance.choices(uppers, list(shares.values()), k=count):
        now += chance.expovariate(1.0) / rate
        arrivals.append(Arrival(now, chance.randint(lowers[upper] + 1, upper)))
    return arrivals


def read_trace(lines: Iterable[str]) -> list[Arrival]:
    """Arrivals from lines of `seconds tokens`, in the order of time. Raises ValueError for any other line."""
    pairs = [line.split() for line in lines if line.strip()]
    return sorted((Arrival(float(at), int(length)) for at, length in pairs), key=lambda arrival: arrival.at)


def plausible_costs() -> CostTable:
    """0.5 ms a batch, 20 us a step, 1.4 us a token: 13.7k reviews/s at 48 tokens and 256 reviews.

    That figure is the design's, for bfloat16 on two cores with hidden width 128.
    """
    lengths, sizes = (1, 256), (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256)
    rows = (tuple(0.5e-3 + length * (20e-6 + 1.4e-6 * size) for size in sizes) for length in lengths)
    return CostTable(lengths, sizes, tuple(rows))


def policies(costs: CostTable) -> dict[str, Policy]:
    """Fresh ones, by name."""
    return {
        "buckets": Bucketer(costs, MAX_WAIT, MAX_REVIEWS, MAX_PADDED_TOKENS),
        "sorted window": SortedWindow(WINDOW, MAX_REVIEWS, MAX_PADDED_TOKENS),
        "arrival order": ArrivalOrder(FIXED_SIZE),
    }


def capacity(costs: CostTable, count: int, seed: int) -> float:
    """Reviews per second that the bucketer gets through when everything waits from the start: a load of 1."""
    return simulate(poisson(float("inf"), count, SHOP_REVIEWS, seed), policies(costs)["buckets"], costs).throughput


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def _line(load: str, name: str, report: Report) -> str:
    waits = [1000 * percentile(report.waits, share) for share in (0.5, 0.99, 1)]
    latencies = [1000 * percentile(report.latencies, share) for share in (0.5, 0.95, 0.99)]
    times = "".join(f"{value:>9.1f}" for value in (*latencies, *waits))
    size = len(report.waits) / report.batches
    return f"{load:>8}  {name:<14}{times}{report.throughput:>10.0f}{report.efficiency:>10.3f}{size:>8.1f}"


def main() -> None:
    """Print a line for each load and policy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__.split("\n")[0])
    parser.add_argument("--trace", type=Path, help="arrivals instead of Poisson's: lines of `seconds tokens`")
    parser.add_argument("--reviews", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    costs = plausible_costs()
    runs: dict[str, list[Arrival]] = {}
    if options.trace:
        runs["trace"] = read_trace(options.trace.read_text().splitlines())
    else:
        full = capacity(costs, options.reviews, options.seed)
        print(f"load 1 is {full:.0f} reviews/s; {options.reviews} reviews, seed {options.seed}")
        runs |= {f"{load:.0%}": poisson(load * full, options.reviews, SHOP_REVIEWS, options.seed) for load in LOADS}
        runs["backlog"] = poisson(float("inf"), options.reviews, SHOP_REVIEWS, options.seed)
    print(f"{'':24}{'latency, ms':^27}{'wait, ms':^27}{'reviews':>10}{'real':>10}{'reviews':>8}")
    columns = "".join(f"{name:>9}" for name in ("p50", "p95", "p99", "p50", "p99", "worst"))
    print(f"{'load':>8}  {'policy':<14}{columns}{'per s':>10}{'tokens':>10}{'a batch':>8}")
    for load, arrivals in runs.items():
        for name, policy in policies(costs).items():
            print(_line(load, name, simulate(arrivals, policy, costs)))


if __name__ == "__main__":
    main()
