"""How many workers, cores, partitions and bytes a rate of reviews takes, from what one worker was measured to cost.

Pure: a `Profile` holds the measurements, `plan` does the sums; docs/scaling.md explains them and says what is measured
and what extrapolated. A worker is one process: one thread at a time runs Python (the GIL), `threads` threads run the
model. So its rate is held by the first of three to be used up: the GIL, the model, the cores that it has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from streamer.pipeline.batching import CostTable
from streamer.planning.queueing import Latency, batch_latency, full_load_seconds

HEADROOM = 2.0  # Partitions for twice the workers: a topic's count cannot shrink, and growing it moves keys.
REPLICATION = 3
MAX_UTILISATION = 0.95  # Beyond it the queue has no length to speak of, and no lag is ever caught up.
_MAX_RATE = 1e9
_POINTS = 256  # Quantiles that stand for a mix of lengths.

Device = Literal["cpu", "cuda"]
Bound = Literal["python", "model", "cores"]
Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PlanError(ValueError):
    """What was asked for cannot be planned; the message says which number is wrong."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Stage(_Part):
    """Core time of a stage other than the model: microseconds, and the share of it spent under the GIL."""

    per_review_us: Amount
    per_token_us: Amount = 0.0
    gil: Share = 1.0

    def seconds(self, tokens: float) -> float:
        """Core-seconds for a review of so many tokens."""
        return (self.per_review_us + self.per_token_us * tokens) / 1e6


class Costs(_Part):
    """A `CostTable` as it is stored: seconds[i][j] for a batch of sizes[j] reviews of lengths[i] tokens."""

    lengths: tuple[PositiveInt, ...]
    sizes: tuple[PositiveInt, ...]
    seconds: tuple[tuple[PositiveFloat, ...], ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.lengths or not self.sizes:
            raise ValueError("lengths and sizes must not be empty")
        self.table()  # Raises ValueError where the shape is wrong.
        columns = zip(*self.seconds, strict=True)
        if any(list(line) != sorted(line) for line in (*self.seconds, *columns)):
            raise ValueError("a longer or a larger batch must not take less time")
        return self

    def table(self) -> CostTable:
        """For the bucketer's arithmetic."""
        return CostTable(self.lengths, self.sizes, self.seconds)


class Bytes(_Part):
    """Size of a record on the wire, key and headers included, before compression; ratio: compressed over that."""

    per_review: Amount
    per_token: Amount
    ratio: Annotated[float, Field(gt=0, le=1)]

    def size(self, tokens: float) -> float:
        """Bytes of a record of so many tokens, not compressed."""
        return self.per_review + self.per_token * tokens


class Point(_Part):
    """A rate that one worker was measured at from end to end, through Kafka; what a plan is held against."""

    mean_tokens: PositiveFloat
    reviews_per_second: PositiveFloat
    command: str


class Profile(_Part):
    """What one worker costs, and on what that was measured.

    stages: all but the model. model_cores: cores busy while a batch runs. lengths: the mix of reviews, share of them
    by the most tokens they have (and more than the entry before). batch_ms: what a batch costs besides the model.
    overhead_ms: from read to acknowledged on an idle worker, without the model. derate: the measured rate of a worker
    over what the stages alone would allow; caches, memory and the scheduler take the rest. device_mib: memory
    of the GPU, and worker_device_mib what a worker takes of it; 0 where that is not known.
    """

    format: Literal[1]
    name: Annotated[str, Field(min_length=1)]
    measured: str
    device: Device
    cores: PositiveInt
    threads: PositiveInt
    precision: str
    max_tokens: PositiveInt
    lengths: Annotated[dict[PositiveInt, Annotated[float, Field(gt=0)]], Field(min_length=1)]
    stages: Annotated[dict[str, Stage], Field(min_length=1)]
    costs: Costs
    model_cores: PositiveFloat
    batch_ms: Amount
    overhead_ms: Amount
    derate: Annotated[float, Field(gt=0, le=1)]
    resident_start_mib: PositiveFloat
    resident_mib: PositiveFloat
    start_seconds: PositiveFloat
    input: Bytes
    output: Bytes
    device_mib: Amount = 0.0
    worker_device_mib: Amount = 0.0
    points: tuple[Point, ...] = ()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if list(self.lengths) != sorted(self.lengths):
            raise ValueError("lengths must ascend")
        if self.max_tokens > self.costs.lengths[-1]:
            raise ValueError("the costs end before max_tokens")
        return self


@dataclass(frozen=True, slots=True)
class Worker:
    """What one worker can do with texts of a length.

    rate: reviews a second at most. bound: what holds it. bounds: what each would allow, before the derating. cores:
    that it uses at this rate. cpu_ms, gil_ms, model_ms: core time of a review, its share under the GIL, and the
    time on the model's threads or its GPU.
    """

    rate: float
    bound: Bound
    bounds: dict[Bound, float]
    cores: float
    cpu_ms: float
    gil_ms: float
    model_ms: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Megabytes (10^6) a second, as they are and compressed."""

    raw: float
    compressed: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rate takes. utilisation: of a worker's rate, as planned for at most and as it comes out.

    memory_gib: of all workers. disk: gigabytes a day of input and output, compressed, on all replicas.
    """

    device: Device
    rate: float
    mean_tokens: float
    worker: Worker
    workers: int
    cores: int
    gpus: int
    hosts: int
    workers_per_host: int
    partitions: int
    memory_gib: float
    utilisation: float
    latency: Latency
    traffic_in: Traffic
    traffic_out: Traffic
    disk_gb_per_day: float
    start_seconds: float
    advice: str


def plan(
    profile: Profile,
    rate: float,
    mean_tokens: float,
    utilisation: float = 0.7,
    cores_per_host: int = 16,
    headroom: float = HEADROOM,
    replication: int = REPLICATION,
) -> Plan:
    """What `rate` reviews a second of `mean_tokens` on average take. Raises PlanError where a number is impossible."""
    _check(profile, rate, mean_tokens, utilisation, cores_per_host, headroom, replication)
    lengths = mix(profile, mean_tokens)
    worker = worker_at(profile, lengths, mean_tokens, cores_per_host)
    workers = math.ceil(rate / (utilisation * worker.rate))
    per_host = max(1, int(cores_per_host / worker.cores + 1e-9))
    gpus, per_gpu = _gpus(profile, worker, workers)
    each = rate / workers
    traffic_in = _traffic(profile.input, rate, mean_tokens)
    traffic_out = _traffic(profile.output, rate, mean_tokens)
    return Plan(
        device=profile.device,
        rate=rate,
        mean_tokens=mean_tokens,
        worker=worker,
        workers=workers,
        cores=math.ceil(workers * worker.cores - 1e-9),
        gpus=gpus,
        hosts=math.ceil(workers / per_host),
        workers_per_host=min(per_host, workers),
        partitions=divisible(math.ceil(workers * headroom)),
        memory_gib=workers * profile.resident_mib / 1024,
        utilisation=each / worker.rate,
        latency=_expected(profile, lengths, worker, each, per_gpu),
        traffic_in=traffic_in,
        traffic_out=traffic_out,
        disk_gb_per_day=(traffic_in.compressed + traffic_out.compressed) * 86_400 / 1000 * replication,
        start_seconds=profile.start_seconds,
        advice=_ADVICE[worker.bound],
    )


_ADVICE: dict[Bound, str] = {
    "python": "Python under the GIL: more workers is the only way on; neither a GPU nor more threads raises it. "
    "Fewer evidence tokens and a verdict cache for texts that repeat lower it.",
    "model": "the model: more of model.threads, a shorter precision or a GPU raises it, as long as Python keeps up.",
    "cores": "the cores that a worker has: more cores a host or a model on a GPU raise it, as long as Python keeps up.",
}


def _check(
    profile: Profile,
    rate: float,
    mean_tokens: float,
    utilisation: float,
    cores_per_host: int,
    headroom: float,
    replication: int,
) -> None:
    if not 0 < rate <= _MAX_RATE:
        raise PlanError(f"rate must be above 0 and at most {_MAX_RATE:,.0f} reviews a second, not {rate:g}")
    if not 1 <= mean_tokens <= profile.max_tokens:
        raise PlanError(
            f"mean tokens must be 1 to {profile.max_tokens}, the most that the model of the profile reads, "
            f"not {mean_tokens:g}"
        )
    if not 0 < utilisation <= MAX_UTILISATION:
        raise PlanError(f"utilisation must be above 0 and at most {MAX_UTILISATION}, not {utilisation:g}")
    if cores_per_host < 1:
        raise PlanError(f"a host must have at least 1 core, not {cores_per_host}")
    if not 1 <= headroom <= 100:
        raise PlanError(f"the head-room must be 1 to 100, not {headroom:g}")
    if replication < 1:
        raise PlanError(f"the replication must be at least 1, not {replication}")


def mix(profile: Profile, mean_tokens: float) -> tuple[int, ...]:
    """Token counts that stand for the reviews: the profile's mix stretched to this mean, cut at its `max_tokens`.

    Ascending, each for an equal share. A longer mean gives none that is shorter.
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
    """Lengths at the middles of `count` equal shares of a histogram, even within its bins."""
    total, uppers = sum(shares.values()), list(shares)
    lower, below, at, found = 0, 0.0, 0, []
    for index in range(count):
        wanted = (index + 0.5) / count * total
        while at < len(uppers) - 1 and below + shares[uppers[at]] < wanted:
            below += shares[uppers[at]]
            lower = uppers[at]
            at += 1
        found.append(lower + (uppers[at] - lower) * min(1.0, (wanted - below) / shares[uppers[at]]))
    return found


def worker_at(profile: Profile, lengths: Sequence[int], mean_tokens: float, cores_per_host: int) -> Worker:
    """The rate of one worker and what holds it.

    Of the cores it can use one for Python and one for each thread of the model, on a GPU one for the thread that
    feeds it; a host may have fewer.
    """
    model = full_load_seconds(profile.costs.table(), lengths)
    stages = profile.stages.values()
    gil = sum(stage.seconds(mean_tokens) * stage.gil for stage in stages)
    cpu = sum(stage.seconds(mean_tokens) for stage in stages) + model * profile.model_cores
    usable = min(cores_per_host, 1 + profile.threads)
    bounds: dict[Bound, float] = {"python": 1 / gil if gil else math.inf, "model": 1 / model, "cores": usable / cpu}
    bound = min(bounds, key=lambda name: bounds[name])
    rate = profile.derate * bounds[bound]
    return Worker(rate, bound, bounds, rate * cpu, cpu * 1000, gil * 1000, model * 1000)


def _gpus(profile: Profile, worker: Worker, workers: int) -> tuple[int, int]:
    """GPUs, and the most workers that share one: by its time, each at full rate, and by its memory."""
    if profile.device == "cpu":
        return 0, 1
    per_gpu = max(1, int(1000 / (worker.rate * worker.model_ms) + 1e-9))
    if profile.worker_device_mib:
        per_gpu = min(per_gpu, max(1, int(profile.device_mib / profile.worker_device_mib)))
    return math.ceil(workers / per_gpu), min(per_gpu, workers)


def divisible(least: int) -> int:
    """The smallest number of partitions, at least so many, that spreads evenly over many numbers of workers.

    Up to 12 a divisor of 12; above, a multiple of 12 whose only prime factors are 2, 3 and 5.
    """
    if least <= 12:
        return next(number for number in (1, 2, 3, 4, 6, 12) if number >= least)
    number = 12 * math.ceil(least / 12)
    while True:
        rest = number
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return number
        number += 12


def _traffic(record: Bytes, rate: float, tokens: float) -> Traffic:
    megabytes = rate * record.size(tokens) / 1e6
    return Traffic(megabytes, megabytes * record.ratio)


# Latency


def _expected(profile: Profile, lengths: Sequence[int], worker: Worker, rate: float, per_gpu: int) -> Latency:
    """From read to acknowledged at `rate` reviews a second for one worker."""
    others = (per_gpu - 1) * rate * worker.model_ms / 1000  # Share of its time that a shared GPU is not ours.
    waited = batch_latency(server(profile, lengths, worker.rate, 1 / (1 - min(others, 0.95))), lengths, rate)
    figures = (waited.mean, waited.p50, waited.p95, waited.p99)
    return Latency(*(figure + profile.overhead_ms for figure in figures))


def server(profile: Profile, lengths: Sequence[int], rate: float, slower: float = 1.0) -> CostTable:
    """The whole worker as one batch server that gets `rate` reviews a second done at the most.

    A batch takes the model's time (times `slower`), what a batch costs besides, and for each review as much more
    as its bottleneck takes longer than these. Stages that overlap are taken one after the other: on the safe side.
    """
    table = profile.costs.table()
    seconds = tuple(tuple(slower * cost + profile.batch_ms / 1000 for cost in row) for row in table.seconds)
    scaled = CostTable(table.lengths, table.sizes, seconds)
    more = max(0.0, 1 / rate - full_load_seconds(scaled, lengths))
    rows = tuple(tuple(cost + more * size for cost, size in zip(row, table.sizes, strict=True)) for row in seconds)
    return CostTable(table.lengths, table.sizes, rows)
