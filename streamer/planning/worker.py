"""One worker: its mix of reviews, the rate it reaches, and its latency as a batch server. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from streamer.pipeline.batching import CostTable
from streamer.planning.profile import Profile
from streamer.planning.queueing import full_load_seconds

_POINTS = 256  # Quantiles that represent a mix of lengths.

Bound = Literal["python", "model", "cores"]


@dataclass(frozen=True, slots=True)
class Worker:
    """The capacity of one worker for texts of one mean length.

    rate: reviews a second at most. bound: the bottleneck. bounds: the rate that each resource would allow, before the
    derating. cores: busy at this rate. cpu_ms, gil_ms, model_ms: core time of a review, the part of it under the GIL,
    and the time on the model's threads or its GPU.
    """

    rate: float
    bound: Bound
    bounds: dict[Bound, float]
    cores: float
    cpu_ms: float
    gil_ms: float
    model_ms: float


def mix(profile: Profile, mean_tokens: float) -> tuple[int, ...]:
    """Token counts that represent the reviews: the profile's mix scaled to this mean, cut at its `max_tokens`.

    Ascending, each for an equal share. A longer mean makes none of them shorter.
    """
    shape = _quantiles(profile.lengths, _POINTS)

    def stretched(factor: float) -> list[float]:
        return [min(float(profile.max_tokens), max(1.0, factor * length)) for length in shape]

    low, high = 0.0, profile.max_tokens / shape[0]
    for _ in range(60):
        middle = (low + high) / 2
        if sum(stretched(middle)) < mean_tokens * len(shape):
            low = middle
        else:
            high = middle
    return tuple(math.floor(length + 0.5) for length in stretched(high))


def _quantiles(shares: dict[int, float], count: int) -> list[float]:
    """Lengths at the middles of `count` equal shares of a histogram that is uniform within its bins."""
    total, uppers = sum(shares.values()), list(shares)
    lower, below, at, found = 0, 0.0, 0, []
    for index in range(count):
        rank = (index + 0.5) / count * total
        while at < len(uppers) - 1 and below + shares[uppers[at]] < rank:
            below += shares[uppers[at]]
            lower = uppers[at]
            at += 1
        found.append(lower + (uppers[at] - lower) * min(1.0, (rank - below) / shares[uppers[at]]))
    return found


def worker_at(profile: Profile, lengths: Sequence[int], mean_tokens: float, cores_per_host: int) -> Worker:
    """The rate of one worker and its bottleneck.

    It can use a core for Python and one for each thread of the model or, on a GPU, for the thread that feeds it; a host
    may have fewer.
    """
    model = full_load_seconds(profile.costs.table(), lengths)
    stages = profile.stages.values()
    gil = sum(stage.seconds(mean_tokens) * stage.gil for stage in stages)
    cpu = sum(stage.seconds(mean_tokens) for stage in stages) + model * profile.model_cores
    usable = min(cores_per_host, 1 + profile.threads)
    bounds: dict[Bound, float] = {"python": 1 / gil if gil else math.inf, "model": 1 / model, "cores": usable / cpu}
    bound = min(bounds, key=lambda name: bounds[name])
    rate = profile.derate * bounds[bound]
    return Worker(
        rate=rate,
        bound=bound,
        bounds=bounds,
        cores=rate * cpu,
        cpu_ms=cpu * 1000,
        gil_ms=gil * 1000,
        model_ms=model * 1000,
    )


def server(profile: Profile, lengths: Sequence[int], rate: float, slower: float = 1.0) -> CostTable:
    """The whole worker as one batch server with a capacity of `rate` reviews a second.

    A batch takes the time of the model (times `slower`), the other costs of a batch, and for each review the time by
    which the bottleneck is slower than both. Overlapping stages are added up, which is a safe assumption.
    """
    table = profile.costs.table()
    seconds = tuple(tuple(slower * cost + profile.batch_ms / 1000 for cost in row) for row in table.seconds)
    scaled = CostTable(table.lengths, table.sizes, seconds)
    extra = max(0.0, 1 / rate - full_load_seconds(scaled, lengths))
    rows = tuple(tuple(cost + extra * size for cost, size in zip(row, table.sizes, strict=True)) for row in seconds)
    return CostTable(table.lengths, table.sizes, rows)
