"""One run of one entrant: started with a fresh group on a filled topic, watched from the output topic's end."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.contenders import NotRunning, Wiring, running
from benchmarks.peers.entrants import Entrant, contender
from tests.brokers import Cluster, new_topic
from tests.brokers.ports import ReservedPorts

_SAMPLE_SECONDS = 0.1
_STALLED_SECONDS = 120.0
_BURSTS = 5  # Large batches come all at once: between fewer of them there is no rate to speak of.


@dataclass(frozen=True, slots=True)
class Stage:
    """What all runs have in common."""

    cluster: Cluster
    input: str
    partitions: int
    artefact: Path
    folder: Path


class Sample(NamedTuple):
    """Monotonic seconds, results in the output topic, CPU seconds of the process so far."""

    at: float
    arrived: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Run:
    """What a run found; rate and CPU between a tenth and all of its results."""

    output: str
    reviews: int
    seconds: float
    reviews_per_second: float
    cpu_seconds_per_1000: float
    padding_efficiency: float | None


def run(entrant: Entrant, stage: Stage, reviews: int, seconds: float | None = None) -> Run:
    """Let it label so many reviews, or as many as it can within `seconds` of its first result.

    Raises NotRunning where it ends or stalls.
    """
    output, dead = new_topic(stage.cluster, stage.partitions), new_topic(stage.cluster, 1)
    bootstrap = stage.cluster.bootstrap
    wiring = Wiring(bootstrap, stage.input, output, dead, f"group-{output}", stage.artefact)
    log = stage.folder / f"{output}.log"
    with ReservedPorts(1) as reserved:
        (port,) = reserved.ports
    with _counting(bootstrap, output) as count, running(contender(entrant, wiring, port), log) as started:
        samples = [Sample(time.monotonic(), 0, _cpu_seconds(started.process.pid))]
        bursts, first, grew = 0, 0.0, time.monotonic()
        while samples[-1].arrived < reviews:
            if seconds is not None and bursts >= _BURSTS and time.monotonic() - first > seconds:
                break
            time.sleep(_SAMPLE_SECONDS)
            started.alive()
            samples.append(Sample(time.monotonic(), count(), _cpu_seconds(started.process.pid)))
            if samples[-1].arrived > samples[-2].arrived:
                bursts, first, grew = bursts + 1, first or samples[-1].at, samples[-1].at
            if time.monotonic() - grew > _STALLED_SECONDS:
                raise NotRunning(f"{entrant.name}: {samples[-1].arrived} results, then none\n{started.log[-2000:]}")
        ours = _padding_of_ours(port) if entrant.module is None else None
        started.stop()
        padding = ours if entrant.module is None else None if entrant.packed else _padding_of_peer(started.log)
    return Run(output, *rate(samples), padding)


def rate(samples: Sequence[Sample]) -> tuple[int, float, float, float]:
    """Results, seconds, results a second and CPU seconds per 1,000, from a tenth of the results to the last of them.

    Where all came at once, from the sample before.
    """
    last = next(sample for sample in samples if sample.arrived == samples[-1].arrived)
    first = next(sample for sample in samples if sample.arrived >= last.arrived / 10)
    if first == last:
        first = samples[samples.index(last) - 1]
    done, seconds = last.arrived - first.arrived, last.at - first.at
    return last.arrived, seconds, done / seconds, (last.cpu - first.cpu) / done * 1000


class _Count:
    """Records in a topic, by its end offsets."""

    def __init__(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions

    def __call__(self) -> int:
        return sum(self._consumer.get_watermark_offsets(each, timeout=10)[1] for each in self._partitions)


@contextmanager
def _counting(bootstrap: str, topic: str) -> Iterator[_Count]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"counting-{topic}", "enable.auto.commit": False})
    try:
        found = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        yield _Count(consumer, [TopicPartition(topic, partition) for partition in found])
    finally:
        consumer.close()


def _cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _padding_of_ours(port: int) -> float | None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    values = {sample.name: sample.value for family in families for sample in family.samples}
    padded = values.get("streamer_padded_tokens_total", 0.0)
    return values["streamer_tokens_total"] / padded if padded else None


def _padding_of_peer(log: str) -> float | None:
    for line in reversed(log.splitlines()):
        if line.startswith('{"reviews"'):
            padding = json.loads(line)
            return padding["tokens"] / padding["padded_tokens"] if padding["padded_tokens"] else None
    return None
