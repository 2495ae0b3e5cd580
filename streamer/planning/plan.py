"""The workers, cores, partitions and bytes that a rate of reviews needs, from the measured costs of one worker.

Pure: a `Profile` holds the measurements, and `plan` computes from them. docs/scaling.md explains how, and which numbers
are measured or extrapolated. A worker is one process: one thread at a time runs Python (the GIL), `threads` threads
run the model. So its rate is limited by the first of three that is used up: the GIL, the model, its cores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from streamer.planning.profile import Bytes, Device, Profile
from streamer.planning.queueing import Latency, batch_latency
from streamer.planning.worker import Bound, Worker, mix, server, worker_at

MAX_UTILISATION = 0.95  # Above this, queues grow very long, and a backlog does not shrink.
_MAX_RATE = 1e9


class PlanError(ValueError):
    """The request cannot be planned. The message names the invalid number."""


@dataclass(frozen=True, slots=True)
class Request:
    """The requirements of a plan.

    rate: reviews a second. mean_tokens: their average length. utilisation: the maximum for a worker, up to 1. headroom:
    partitions per worker; a topic's count cannot shrink, and growing it moves keys. replication:
    replicas of the topics.
    """

    rate: float
    mean_tokens: float
    utilisation: float = 0.7
    cores_per_host: int = 16
    headroom: float = 2.0
    replication: int = 3

    def check(self, max_tokens: int) -> None:
        """Raises PlanError for an impossible number; `max_tokens` is the model's."""
        if not 0 < self.rate <= _MAX_RATE:
            raise PlanError(f"rate must be above 0 and at most {_MAX_RATE:,.0f} reviews a second, not {self.rate:g}")
        if not 1 <= self.mean_tokens <= max_tokens:
            raise PlanError(
                f"mean tokens must be 1 to {max_tokens}, the most that the model of the profile reads, "
                f"not {self.mean_tokens:g}"
            )
        if not 0 < self.utilisation <= MAX_UTILISATION:
            raise PlanError(f"utilisation must be above 0 and at most {MAX_UTILISATION}, not {self.utilisation:g}")
        if self.cores_per_host < 1:
            raise PlanError(f"a host must have at least 1 core, not {self.cores_per_host}")
        if not 1 <= self.headroom <= 100:
            raise PlanError(f"the head-room must be 1 to 100, not {self.headroom:g}")
        if self.replication < 1:
            raise PlanError(f"the replication must be at least 1, not {self.replication}")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Megabytes (10^6) a second, uncompressed and compressed."""

    raw: float
    compressed: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The resources for a rate.

    utilisation: of a worker, at most the requested one. memory_gib: of all workers. disk_gb_per_day: of input and
    output, compressed, on all replicas.
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


def plan(profile: Profile, request: Request) -> Plan:
    """The resources for the requested rate. Raises PlanError if a number of the request is impossible."""
    request.check(profile.max_tokens)
    rate, mean_tokens = request.rate, request.mean_tokens
    lengths = mix(profile, mean_tokens)
    worker = worker_at(profile, lengths, mean_tokens, request.cores_per_host)
    workers = math.ceil(rate / (request.utilisation * worker.rate))
    per_host = max(1, int(request.cores_per_host / worker.cores + 1e-9))
    gpus, per_gpu = _gpus(profile, worker, workers)
    worker_rate = rate / workers
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
        partitions=divisible(math.ceil(workers * request.headroom)),
        memory_gib=workers * profile.resident_mib / 1024,
        utilisation=worker_rate / worker.rate,
        latency=_latency(profile, lengths, worker, worker_rate, per_gpu),
        traffic_in=traffic_in,
        traffic_out=traffic_out,
        disk_gb_per_day=(traffic_in.compressed + traffic_out.compressed) * 86_400 / 1000 * request.replication,
        start_seconds=profile.start_seconds,
        advice=_ADVICE[worker.bound],
    )


_ADVICE: dict[Bound, str] = {
    "python": "Python under the GIL: more workers is the only way on; neither a GPU nor more threads raises it. "
    "Fewer evidence tokens and a prediction cache for texts that repeat lower it.",
    "model": "the model: more of model.threads, a shorter precision or a GPU raises it, as long as Python keeps up.",
    "cores": "the cores that a worker has: more cores a host or a model on a GPU raise it, as long as Python keeps up.",
}


def _gpus(profile: Profile, worker: Worker, workers: int) -> tuple[int, int]:
    """The number of GPUs, and of workers that share one, limited by its time (each at full rate) and its memory."""
    if profile.device == "cpu":
        return 0, 1
    per_gpu = max(1, int(1000 / (worker.rate * worker.model_ms) + 1e-9))
    if profile.worker_device_mib:
        per_gpu = min(per_gpu, max(1, int(profile.device_mib / profile.worker_device_mib)))
    return math.ceil(workers / per_gpu), min(per_gpu, workers)


def divisible(least: int) -> int:
    """The smallest number of partitions, at least this many, that divides evenly among many numbers of workers.

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


def _latency(profile: Profile, lengths: Sequence[int], worker: Worker, rate: float, per_gpu: int) -> Latency:
    """From read to acknowledged, at `rate` reviews a second for one worker."""
    others = (per_gpu - 1) * rate * worker.model_ms / 1000  # The share of a GPU's time that other workers use.
    waited = batch_latency(server(profile, lengths, worker.rate, 1 / (1 - min(others, 0.95))), lengths, rate)
    milliseconds = (waited.mean, waited.p50, waited.p95, waited.p99)
    return Latency(*(value + profile.overhead_ms for value in milliseconds))
