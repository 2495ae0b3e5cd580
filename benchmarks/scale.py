"""Reviews a second, memory and CPU as the work grows: more workers, more partitions, longer topics.

One factor is varied at a time from a base point. A topic of a real Kafka broker is filled with real shop reviews, then
`streamer run` works it off beside it on the same machine. The clock runs from the moment all workers have their
partitions to the last result, without prediction cache. Several workers get their reviews once all have joined, which
adds the time of filling the topic (about a second for 50,000); rates leave out the first tenth, and most of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from matplotlib.axes import Axes

from benchmarks.contenders import NotRunning, Running, Wiring, ours, running
from benchmarks.curves import Curve, draw, from_zero, lines, logarithmic
from benchmarks.line import straight_line
from benchmarks.load import fill, texts
from benchmarks.throughput import cpu_seconds, resident_mib
from streamer.models.artefact import BUNDLED
from tests.brokers import Chain, Cluster, Wanted, new_topic, providers

_SAMPLE_SECONDS = 0.1
_START_SECONDS = 180.0
_MEMORY_AT = 100_000


@dataclass(frozen=True, slots=True)
class Point:
    """What is run."""

    workers: int = 1
    partitions: int = 6
    reviews: int = 200_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Of a moment: monotonic seconds, results in the output topic, resident MiB and CPU seconds of all workers."""

    at: float
    done: int
    mib: float
    cpu: float


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options; the defaults are those of a run of record."""
    add = parser.add_argument
    add("--workers", type=int, nargs="+", default=[1, 2, 4])
    add("--partitions", type=int, nargs="+", default=[1, 6, 16, 64])
    add("--sizes", type=int, nargs="+", default=[10_000, 100_000, 500_000, 2_000_000], help="reviews in the topic")
    add("--base", type=int, nargs=3, default=[1, 6, 200_000], metavar=("WORKERS", "PARTITIONS", "REVIEWS"))
    add("--budget-minutes", type=float, default=15.0, help="a size that would take past this is left out")
    add("--artefact", type=Path, default=Path(os.environ.get("STREAMER_MODEL__PATH", BUNDLED)))
    add("--set", action="append", default=[], metavar="SECTION__NAME=VALUE", help="a setting")


def plan(options: argparse.Namespace) -> list[Point]:
    """The base, then one factor at a time, the longest topic last; none twice."""
    base = Point(*options.base)
    points = [
        base,
        *(replace(base, workers=workers) for workers in options.workers),
        *(replace(base, partitions=partitions) for partitions in options.partitions),
        *(replace(base, reviews=size) for size in sorted(options.sizes)),
    ]
    return list(dict.fromkeys(points))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the points, and lay the line through the sizes."""
    settings = {name: value for name, _, value in (text.partition("=") for text in options.set)}
    points, base = plan(options), Point(*options.base)
    until = time.monotonic() + 60 * options.budget_minutes
    chain = Chain(providers(os.environ))
    runs: list[dict[str, Any]] = []
    left_out: list[dict[str, int]] = []
    with chain.running(Wanted()) as cluster, tempfile.TemporaryDirectory() as folder:
        chosen = texts(50_000)
        for number, point in enumerate(points):
            _say(f"{point}")
            rate = runs[0]["reviews_per_second"] if runs else float("inf")
            if point.reviews != base.reviews and time.monotonic() + point.reviews / rate > until:
                left_out.append(asdict(point))
                continue
            log = Path(folder, f"{number}.log")
            runs.append(asdict(point) | run(cluster, point, options.artefact, settings, chosen, log))
            _say(f"  {runs[-1]}")
    sizes = sorted((found for found in runs if _like(found, base, "reviews")), key=lambda found: found["reviews"])
    line = None
    if len(sizes) > 1:
        line = straight_line([found["reviews"] for found in sizes], [found["seconds"] for found in sizes]).figures()
    return {
        "base": asdict(base),
        "runs": runs,
        "left_out": left_out,
        "line": line,
        "settings": settings,
        "broker": chain.describe(),
    }


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _like(found: Mapping[str, Any], base: Point, factor: str) -> bool:
    """Whether a run differs from the base in nothing but this factor."""
    return all(found[name] == value for name, value in asdict(base).items() if name != factor)


def run(
    cluster: Cluster, point: Point, artefact: Path, settings: Mapping[str, str], chosen: list[str], log: Path
) -> dict[str, float]:
    """Work off a topic of `chosen` texts, again and again up to the point's size. Raises NotRunning."""
    into, out = (new_topic(cluster, point.partitions) for _ in range(2))
    wiring = Wiring(cluster.bootstrap, into, out, new_topic(cluster, 1), f"group-{into}", artefact.resolve())
    backlog = (chosen[i % len(chosen)] for i in range(point.reviews))
    if point.workers == 1:
        fill(wiring.bootstrap, into, "scale", backlog)
    admin = AdminClient({"bootstrap.servers": wiring.bootstrap, "log_level": 0})
    arguments = ("--workers", str(point.workers)) if point.workers > 1 else ()
    done = _counter(admin, out, point.partitions)
    with running(ours(settings, *arguments)(wiring), log) as service:
        _wait_for_members(admin, wiring.group, point.workers, service)
        samples = [_sample(service, done)]
        if point.workers > 1:
            # Now only: else the first to start would have done it all before the last one joins.
            fill(wiring.bootstrap, into, "scale", backlog)
            samples.append(_sample(service, done))
        while samples[-1].done < point.reviews:
            service.alive()
            time.sleep(_SAMPLE_SECONDS)
            samples.append(_sample(service, done))
        code = service.stop()
    admin.delete_topics([into, out])  # Of millions of records; nothing waits for it.
    if code:
        raise NotRunning(f"ended with {code}:\n{service.log[-2000:]}")
    return summary(samples, point.reviews)


def summary(samples: list[Sample], reviews: int) -> dict[str, float]:
    """JSON values. The rate leaves out the first tenth, which warms up; seconds are of all.

    Raises ValueError where all was done by the first sample that counts.
    """
    begin, end = samples[0], next(sample for sample in samples if sample.done >= reviews)
    warm = next(sample for sample in samples if sample.done >= max(begin.done, reviews / 10))
    if end.at <= warm.at:
        raise ValueError(f"{reviews} reviews are too few to measure a rate by")
    at_100k = next((sample.mib for sample in samples if sample.done >= min(reviews, _MEMORY_AT)), end.mib)
    return {
        "seconds": round(end.at - begin.at, 3),
        "reviews_per_second": (end.done - warm.done) / (end.at - warm.at),
        "cpu_seconds_per_1000": 1000 * (end.cpu - warm.cpu) / (end.done - warm.done),
        "resident_mib_at_100k": at_100k,
        "resident_mib_at_end": end.mib,
    }


def _wait_for_members(admin: AdminClient, group: str, members: int, service: Running) -> None:
    """Until the group is stable with so many members, each having joined."""
    deadline = time.monotonic() + _START_SECONDS
    seen = "nothing is known of the group"
    while True:
        service.alive()
        try:
            found = admin.describe_consumer_groups([group], request_timeout=10)[group].result()
        except KafkaException as error:  # A broker that has just started has no coordinator yet.
            seen = str(error)
        else:
            if found.state == ConsumerGroupState.STABLE and len(found.members) == members:
                return
            seen = f"{len(found.members)} of {members} are in the group, which is {found.state.name}"
        if time.monotonic() > deadline:
            raise NotRunning(f"{seen}, after {_START_SECONDS:g} s:\n{service.log[-2000:]}")
        time.sleep(0.05)


def _counter(admin: AdminClient, topic: str, partitions: int) -> Callable[[], int]:
    """How many records a topic has: one request for all its partitions."""
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # confluent-kafka leaves it untyped.
    asked = {TopicPartition(topic, partition): latest for partition in range(partitions)}
    return lambda: sum(int(found.result().offset) for found in admin.list_offsets(asked, request_timeout=10).values())


def _sample(service: Running, done: Callable[[], int]) -> Sample:
    pids = _family(service.process.pid)
    mib, cpu = sum(map(resident_mib, pids)), sum(map(cpu_seconds, pids))
    return Sample(time.monotonic(), done(), mib, cpu)


def _family(pid: int) -> list[int]:
    """A process and its children: `--workers` starts a process for each."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *map(int, children.read_text().split())]


_TITLES = {"workers": "Workers", "partitions": "Partitions", "reviews": "Reviews in the topic"}


def section(figures: Mapping[str, Any]) -> str:
    """A table for each factor, and the line."""
    base = Point(**figures["base"])
    text = [
        f"Base: {base.workers} worker, {base.partitions} partitions, {base.reviews:,} real shop reviews as they come; "
        "one factor is varied at a time. Seconds run from the moment all workers have their partitions to the last "
        "result. Memory is resident, summed over the worker processes (pages that they share count for each); CPU "
        "is theirs as well.",
    ]
    for factor, title in _TITLES.items():
        found = _varied(figures, factor)
        if not found:
            continue
        text += [
            "",
            f"| {title.lower()} | reviews/s | seconds | CPU s per 1,000 | MiB at 100,000 | MiB at the end |",
            "|--:|--:|--:|--:|--:|--:|",
            *(
                f"| {run[factor]:,} | {run['reviews_per_second']:,.0f} | {run['seconds']:,.1f} | "
                f"{run['cpu_seconds_per_1000']:.3f} | {run['resident_mib_at_100k']:,.0f} | "
                f"{run['resident_mib_at_end']:,.0f} |"
                for run in found
            ),
        ]
    if line := figures["line"]:
        text += [
            "",
            f"Straight line through the topic sizes: {line['fixed']:.2f} s + {1e6 * line['each']:.1f} µs a review; the "
            f"largest distance from it is {line['residual']:.1%} of the measured time.",
        ]
    if figures["left_out"]:
        sizes = ", ".join(f"{point['reviews']:,}" for point in figures["left_out"])
        text += ["", f"Left out, because they would have taken past the time allowed: {sizes} reviews."]
    return "\n".join(text)


def _varied(figures: Mapping[str, Any], factor: str) -> list[Mapping[str, Any]]:
    """The runs that differ from the base in this factor, and the base; none where there is only the base."""
    base = Point(**figures["base"])
    found = sorted((run for run in figures["runs"] if _like(run, base, factor)), key=lambda run: float(run[factor]))
    return found if len(found) > 1 else []


def plots(figures: Mapping[str, Any]) -> dict[str, bytes]:
    """Seconds by size with the line; reviews a second by each factor; memory by size."""

    def curve(factor: str, shown: str, name: str) -> Curve:
        found = _varied(figures, factor)
        return Curve(name, [run[factor] for run in found], [run[shown] for run in found])

    def onto(axes: Sequence[Axes]) -> None:
        seconds = curve("reviews", "seconds", "measured")
        curves = [seconds]
        if line := figures["line"]:
            fitted = [line["fixed"] + line["each"] * size for size in seconds.x]
            curves.append(Curve("straight line", seconds.x, fitted))
        lines(axes[0], curves, "reviews in the topic", "seconds")
        memory = [
            curve("reviews", "resident_mib_at_100k", "at 100,000"),
            curve("reviews", "resident_mib_at_end", "at the end"),
        ]
        lines(axes[1], memory, "reviews in the topic", "resident (MiB)")
        workers, partitions = (curve(factor, "reviews_per_second", "") for factor in ("workers", "partitions"))
        lines(axes[2], [workers], "workers", "reviews/s")
        lines(axes[3], [partitions], "partitions", "reviews/s")
        logarithmic(axes[0], "xy")
        logarithmic(axes[1], "x")
        logarithmic(axes[3], "x", base=2)
        axes[2].set_xticks(workers.x)
        axes[3].set_xticks(partitions.x)
        for panel in axes[1:]:
            from_zero(panel)

    return {"scale.png": draw(12.8, 3.0, 4, onto)}
