"""Reviews per second of one worker from a filled topic, with what it costs.

Fills a topic of a real Kafka broker with real shop reviews, runs `streamer run` beside it on the same machine, and
samples its metrics and its memory. The verdict cache is off. The rate is taken between a tenth and all of the reviews,
so that starting up does not count.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from matplotlib.figure import Figure

from benchmarks.drawing import COLOURS, FORMS, label, png, styled
from streamer.model import BUNDLED, read_artefact
from tests.brokers import Chain, Wanted, new_topic, providers
from tests.reading import Item, fill
from tests.texts import reviews
from tests.workers import Worker, running

_SAMPLE_SECONDS = 0.5
_DISTINCT = 50_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--reviews", type=int, default=200_000)
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--mean-tokens", type=float, default=45.0, help="average length; 0 takes reviews as they are")
    parser.add_argument("--timeout", type=float, default=1800.0)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION__NAME=VALUE", help="a setting")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Fill a topic, let a worker label all of it."""
    chosen, mean = texts(options.reviews, options.mean_tokens)
    chain = Chain(providers(os.environ))
    with chain.running(Wanted()) as cluster, tempfile.TemporaryDirectory() as folder:
        topics = [new_topic(cluster, options.partitions) for _ in range(3)]
        fill(cluster.bootstrap, topics[0], items(chosen), timeout_s=options.timeout)
        names = ("STREAMER_INPUT__TOPIC", "STREAMER_OUTPUT__TOPIC", "STREAMER_DEAD_LETTERS__TOPIC")
        environment = dict(zip(names, topics, strict=True)) | {
            "STREAMER_KAFKA__BOOTSTRAP_SERVERS": cluster.bootstrap,
            "STREAMER_KAFKA__GROUP_ID": topics[0],
            "STREAMER_MODEL__CACHE_ENTRIES": "0",
        }
        environment |= {f"STREAMER_{name}": value for name, _, value in (text.partition("=") for text in options.set)}
        with running(environment, Path(folder) / "log") as worker:
            figures = watched(worker, options.reviews, options.timeout)
            assert worker.stop() == 0, worker.log
    return figures | {"mean_tokens": mean, "partitions": options.partitions, "broker": chain.describe()}


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


def watched(worker: Worker, count: int, timeout_s: float) -> dict[str, Any]:
    """Sample the worker until it has labelled `count` reviews; the first sample is the zero of the clock."""
    samples: list[tuple[float, float, float, float]] = []  # Seconds, records done, resident MiB, core-seconds.
    deadline = time.monotonic() + timeout_s
    while not samples or samples[-1][1] < count:
        assert worker.process.poll() is None, worker.log
        assert time.monotonic() < deadline, f"{samples[-1:]} after {timeout_s} s\n{worker.log}"
        done = worker.metrics().get("streamer_records_total", 0.0)
        pid = worker.process.pid
        samples.append((time.monotonic(), done, resident_mib(pid), cpu_seconds(pid)))
        time.sleep(_SAMPLE_SECONDS)
    first = next(sample for sample in samples if sample[1] >= count / 10)
    last = next(sample for sample in samples if sample[1] >= count)
    assert first is not last, "labelled between two samples: more reviews are needed for a rate"
    at_100k = next((sample[2] for sample in samples if sample[1] >= min(count, 100_000)), 0.0)
    metrics = worker.metrics()
    return {
        "reviews": count,
        "reviews_per_second": (last[1] - first[1]) / (last[0] - first[0]),
        "core_microseconds": 1e6 * (last[3] - first[3]) / (last[1] - first[1]),
        "padding_efficiency": metrics["streamer_tokens_total"] / metrics["streamer_padded_tokens_total"],
        "reviews_per_batch": metrics["streamer_batch_reviews_sum"] / metrics["streamer_batch_reviews_count"],
        "loop_delay_max_ms": metrics["streamer_loop_delay_max_seconds"] * 1000,
        "resident_mib_at_100k": at_100k,
        "resident_mib_at_end": samples[-1][2],
        "resident_mib_by_tenth": [
            round(next(mib for _, done, mib, _ in samples if done >= count * tenth / 10)) for tenth in range(1, 11)
        ],
        "cpu_seconds": cpu_seconds(worker.process.pid),
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
    """The rate and what it costs."""
    rows = {
        "reviews a second": f"{figures['reviews_per_second']:,.0f}",
        "core-microseconds a review": f"{figures['core_microseconds']:,.0f}",
        "padding efficiency": f"{figures['padding_efficiency']:.3f}",
        "reviews a batch": f"{figures['reviews_per_batch']:,.1f}",
        "longest delay of the event loop, ms": f"{figures['loop_delay_max_ms']:,.1f}",
        "resident memory at the end, MiB": f"{figures['resident_mib_at_end']:,.0f}",
    }
    table = "\n".join(
        ["| figure | measured |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows.items())]
    )
    first, last = figures["resident_mib_by_tenth"][0], figures["resident_mib_by_tenth"][-1]
    return (
        f"{figures['reviews']:,} shop reviews of {figures['mean_tokens']:.1f} tokens on average over "
        f"{figures['partitions']} partitions, one worker, the broker on the same machine: {figures['broker']}.\n\n"
        f"{table}\n\nMemory goes from {first:,} MiB after a tenth of the reviews to {last:,} MiB after all."
    )


def plots(figures: Mapping[str, Any]) -> dict[str, bytes]:
    """Resident memory by reviews labelled."""
    by_tenth = figures["resident_mib_by_tenth"]
    done = [figures["reviews"] * tenth / len(by_tenth) / 1000 for tenth in range(1, len(by_tenth) + 1)]
    with styled():
        figure = Figure((4.8, 2.4), layout="constrained")
        axes = figure.subplots()
        axes.plot(done, by_tenth, FORMS[0], ms=3.5, color=COLOURS[0])
        axes.set_ylim(0)
        label(axes, "reviews labelled (thousands)", "resident memory (MiB)")
        return {"throughput-memory.png": png(figure)}
