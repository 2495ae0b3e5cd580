"""Reviews per second from a filled topic with what they cost: of one worker, and of as many as there are cores.

Fills a topic of a real Kafka broker with real shop reviews, runs `streamer run` beside it on the same machine, and
samples its metrics and its memory. No prediction cache. The rate is taken between a tenth and all of the reviews,
so that starting up does not count.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
from matplotlib.figure import Figure

from benchmarks.drawing import COLOURS, FORMS, label, png, styled
from benchmarks.record import recorded
from streamer.models.artefact import BUNDLED, read_artefact
from streamer.observe.cores import available_cores
from tests.brokers import Chain, Cluster, Wanted, new_topic, providers
from tests.reading import Item, fill
from tests.texts import reviews
from tests.workers import Worker, running

_SAMPLE_SECONDS = 0.5
_DISTINCT = 50_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--reviews", type=int, default=200_000)
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--workers", type=int, nargs="+", default=sorted({1, available_cores()}))
    parser.add_argument("--mean-tokens", type=float, default=45.0, help="average length; 0 takes reviews as they are")
    parser.add_argument("--timeout", type=float, default=1800.0)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION__NAME=VALUE", help="a setting")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """For each number of workers, fill a topic and let them label all of it."""
    chosen, mean = texts(options.reviews, options.mean_tokens)
    chain = Chain(providers(os.environ))
    with chain.running(Wanted()) as cluster, tempfile.TemporaryDirectory() as folder:
        runs = [_run(cluster, workers, chosen, Path(folder), options) for workers in options.workers]
    bound = (recorded("stages") or {"figures": {"bound": None}})["figures"]["bound"]
    shared = {"mean_tokens": mean, "partitions": options.partitions, "broker": chain.describe(), "bound": bound}
    return {"reviews": options.reviews, "runs": runs} | shared


def _run(
    cluster: Cluster, count: int, chosen: Sequence[str], folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    topics = [new_topic(cluster, options.partitions) for _ in range(3)]
    names = ("STREAMER_INPUT__TOPIC", "STREAMER_OUTPUT__TOPIC", "STREAMER_DEAD_LETTERS__TOPIC")
    environment = dict(zip(names, topics, strict=True)) | {
        "STREAMER_KAFKA__BOOTSTRAP_SERVERS": cluster.bootstrap,
        "STREAMER_KAFKA__GROUP_ID": topics[0],
        "STREAMER_MODEL__CACHE_ENTRIES": "0",
        # As `streamer run --workers` has it; here each is started alone, to be watched.
        "STREAMER_MODEL__THREADS": str(max(1, available_cores() // (2 * count))),
    }
    environment |= {f"STREAMER_{name}": value for name, _, value in (text.partition("=") for text in options.set)}
    if count == 1:  # What is there before it starts is what it begins with; several would begin one after the other.
        fill(cluster.bootstrap, topics[0], items(chosen), timeout_s=options.timeout)
    with ExitStack() as stack:
        workers = [stack.enter_context(running(environment, folder / f"log-{n}")) for n in range(count)]
        if count > 1:
            _wait_for_shares(workers, options.partitions)
            fill(cluster.bootstrap, topics[0], items(chosen), timeout_s=options.timeout)
        figures = watched(workers, options.reviews, options.timeout)
        for worker in workers:
            assert worker.stop() == 0, worker.log
    return figures


def _wait_for_shares(workers: Sequence[Worker], partitions: int) -> None:
    """Until each worker has its share of the partitions."""
    for worker in workers:
        worker.wait_ready()
    deadline = time.monotonic() + 60
    while {worker.log.rsplit("assigned partitions:", 1)[-1].split("\n")[0].count("/") for worker in workers} - {
        partitions // len(workers),
        -(-partitions // len(workers)),
    }:
        assert time.monotonic() < deadline, [worker.log for worker in workers]
        time.sleep(0.1)


def texts(count: int, mean_tokens: float, model: Path = BUNDLED) -> tuple[list[str], float]:
    """Real shop reviews, the shortest left out until they have `mean_tokens` on average as the artefact counts them;
    and that average. Where there are fewer, they come again."""
    artefact = read_artefact(model)
    limit = artefact.manifest.max_tokens
    sized = sorted((len(artefact.vocabulary.encode(text, limit)), text) for text in set(reviews(_DISTINCT)))
    total = sum(size for size, _ in sized)
    dropped = 0
    while dropped < len(sized) - 1 and total / (len(sized) - dropped) < mean_tokens:
        total -= sized[dropped][0]
        dropped += 1
    # Sorted by a hash of the text: lengths come in no order, the same one every time.
    kept = sorted((text for _, text in sized[dropped:]), key=lambda text: hash_of(text))
    return [kept[i % len(kept)] for i in range(count)], total / (len(sized) - dropped)


def hash_of(text: str) -> int:
    """The same in every process, other than `hash`."""
    return zlib.crc32(text.encode())


def items(chosen: Sequence[str]) -> Iterator[Item]:
    """The texts as records, spread by key."""
    for number, text in enumerate(chosen):
        yield Item(orjson.dumps({"id": str(number), "text": text}), f"user-{number % 9973}".encode())


def watched(workers: Sequence[Worker], count: int, timeout_s: float) -> dict[str, Any]:
    """Sample the workers until they have labelled `count` reviews; the first sample is the zero of the clock."""
    samples: list[tuple[float, float, float, float]] = []  # Seconds, records done, resident MiB, core-seconds.
    deadline = time.monotonic() + timeout_s
    pids = [worker.process.pid for worker in workers]
    while not samples or samples[-1][1] < count:
        for worker in workers:
            assert worker.process.poll() is None, worker.log
        assert time.monotonic() < deadline, f"{samples[-1:]} after {timeout_s} s\n{workers[0].log}"
        done = sum(worker.metrics().get("streamer_records_total", 0.0) for worker in workers)
        samples.append((time.monotonic(), done, sum(map(resident_mib, pids)), sum(map(cpu_seconds, pids))))
        time.sleep(_SAMPLE_SECONDS)
    first = next(sample for sample in samples if sample[1] >= count / 10)
    # While all of them still have something to do: keys are not spread quite evenly.
    last = next(sample for sample in samples if sample[1] >= count * (1.0 if len(workers) == 1 else 0.9))
    assert first is not last, "labelled between two samples: more reviews are needed for a rate"
    metrics = [worker.metrics() for worker in workers]
    total = Counter[str]()
    for found in metrics:
        total.update(found)
    return {
        "workers": len(workers),
        "reviews_per_second": (last[1] - first[1]) / (last[0] - first[0]),
        "core_microseconds": 1e6 * (last[3] - first[3]) / (last[1] - first[1]),
        "padding_efficiency": total["streamer_tokens_total"] / total["streamer_padded_tokens_total"],
        "reviews_per_batch": total["streamer_batch_reviews_sum"] / total["streamer_batch_reviews_count"],
        "loop_delay_max_ms": max(found["streamer_loop_delay_max_seconds"] for found in metrics) * 1000,
        "resident_mib_at_end": samples[-1][2],
        "resident_mib_by_tenth": [
            round(next(mib for _, done, mib, _ in samples if done >= count * tenth / 10)) for tenth in range(1, 11)
        ],
        "cpu_seconds": sum(map(cpu_seconds, pids)),
    }


def resident_mib(pid: int) -> float:
    """Resident set of a process, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def section(figures: Mapping[str, Any]) -> str:
    """The rates and what they cost."""
    runs, bound = figures["runs"], figures["bound"]
    rows = {
        "reviews a second": [f"{run['reviews_per_second']:,.0f}" for run in runs],
        "core-microseconds a review": [f"{run['core_microseconds']:,.0f}" for run in runs],
        "padding efficiency": [f"{run['padding_efficiency']:.3f}" for run in runs],
        "reviews a batch": [f"{run['reviews_per_batch']:,.1f}" for run in runs],
        "longest delay of the event loop, ms": [f"{run['loop_delay_max_ms']:,.1f}" for run in runs],
        "resident memory at the end, MiB": [f"{run['resident_mib_at_end']:,.0f}" for run in runs],
    }
    if bound:
        rows["share of the bound of the stages"] = [f"{run['reviews_per_second'] / bound:.2f}" for run in runs]
    names = [f"{run['workers']} worker{'s' if run['workers'] > 1 else ''}" for run in runs]
    lines = [f"| figure | {' | '.join(names)} |", "|---|" + "---:|" * len(runs)]
    table = "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])
    first, last = runs[0]["resident_mib_by_tenth"][0], runs[0]["resident_mib_by_tenth"][-1]
    return (
        f"{figures['reviews']:,} shop reviews of {figures['mean_tokens']:.1f} tokens on average over "
        f"{figures['partitions']} partitions, with evidence, the broker on the same machine: {figures['broker']}.\n\n"
        f"{table}\n\n"
        f"Memory of one worker goes from {first:,} MiB after a tenth of the reviews to {last:,} MiB after all."
    )


def plots(figures: Mapping[str, Any]) -> dict[str, bytes]:
    """Resident memory by reviews labelled."""
    with styled():
        figure = Figure((4.8, 2.4), layout="constrained")
        axes = figure.subplots()
        for index, run in enumerate(figures["runs"]):
            by_tenth = run["resident_mib_by_tenth"]
            done = [figures["reviews"] * tenth / len(by_tenth) / 1000 for tenth in range(1, len(by_tenth) + 1)]
            name = f"{run['workers']} worker{'s' if run['workers'] > 1 else ''}"
            axes.plot(done, by_tenth, FORMS[index], ms=3.5, color=COLOURS[index], label=name)
        axes.set_ylim(0)
        axes.legend()
        label(axes, "reviews labelled (thousands)", "resident memory (MiB)")
        return {"throughput-memory.png": png(figure)}
