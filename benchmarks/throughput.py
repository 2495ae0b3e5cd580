"""Reviews per second of one worker from a filled topic, with what it costs: `make bench`.

    python -m benchmarks.throughput --reviews 200000

Fills a topic of a real Kafka broker with real shop reviews, runs `streamer run` beside it on the same machine, and
samples its metrics and its memory. The verdict cache is off. The rate is taken between a tenth and all of the reviews,
so that starting up does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import orjson

from benchmarks.environment import describe
from streamer.model import BUNDLED, read_artefact
from tests.brokers import Chain, Wanted, new_topic, providers
from tests.reading import Item, fill
from tests.texts import reviews
from tests.workers import Worker, running

_SAMPLE_SECONDS = 0.5
_DISTINCT = 50_000


def texts(count: int, mean_tokens: float) -> tuple[list[str], float]:
    """Real shop reviews, the shortest left out until they have `mean_tokens` on average; and that average."""
    artefact = read_artefact(BUNDLED)
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


def measure(worker: Worker, count: int, timeout_s: float) -> dict[str, Any]:
    """Sample the worker until it has labelled `count` reviews; the first sample is the zero of the clock."""
    samples: list[tuple[float, float, float]] = []  # Seconds, records done, resident MiB.
    deadline = time.monotonic() + timeout_s
    while not samples or samples[-1][1] < count:
        assert worker.process.poll() is None, worker.log
        assert time.monotonic() < deadline, f"{samples[-1:]} after {timeout_s} s\n{worker.log}"
        done = worker.metrics().get("streamer_records_total", 0.0)
        samples.append((time.monotonic(), done, resident_mib(worker.process.pid)))
        time.sleep(_SAMPLE_SECONDS)
    first = next(sample for sample in samples if sample[1] >= count / 10)
    last = next(sample for sample in samples if sample[1] >= count)
    at_100k = next((sample[2] for sample in samples if sample[1] >= min(count, 100_000)), 0.0)
    metrics = worker.metrics()
    return {
        "reviews": count,
        "reviews_per_second": (last[1] - first[1]) / (last[0] - first[0]),
        "padding_efficiency": metrics["streamer_tokens_total"] / metrics["streamer_padded_tokens_total"],
        "reviews_per_batch": metrics["streamer_batch_reviews_sum"] / metrics["streamer_batch_reviews_count"],
        "loop_delay_max_ms": metrics["streamer_loop_delay_max_seconds"] * 1000,
        "resident_mib_at_100k": at_100k,
        "resident_mib_at_end": samples[-1][2],
        "resident_mib_by_tenth": [
            round(next(mib for _, done, mib in samples if done >= count * tenth / 10)) for tenth in range(1, 11)
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


def main() -> None:
    """Run the benchmark and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=int, default=200_000)
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--mean-tokens", type=float, default=45.0, help="average length; 0 takes reviews as they are")
    parser.add_argument("--timeout", type=float, default=1800.0)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION__NAME=VALUE", help="a setting")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    chosen, mean = texts(options.reviews, options.mean_tokens)
    chain = Chain(providers(os.environ))
    with chain.running(Wanted()) as cluster, tempfile.TemporaryDirectory() as folder:
        topics = [new_topic(cluster, options.partitions) for _ in range(3)]
        items = (
            Item(orjson.dumps({"id": str(i), "text": text}), f"user-{i % 9973}".encode())
            for i, text in enumerate(chosen)
        )
        fill(cluster.bootstrap, topics[0], items, timeout_s=options.timeout)
        names = ("STREAMER_INPUT__TOPIC", "STREAMER_OUTPUT__TOPIC", "STREAMER_DEAD_LETTERS__TOPIC")
        environment = dict(zip(names, topics, strict=True)) | {
            "STREAMER_KAFKA__BOOTSTRAP_SERVERS": cluster.bootstrap,
            "STREAMER_KAFKA__GROUP_ID": topics[0],
            "STREAMER_MODEL__CACHE_ENTRIES": "0",
        }
        environment |= {f"STREAMER_{name}": value for name, _, value in (text.partition("=") for text in options.set)}
        with running(environment, Path(folder) / "log") as worker:
            figures = measure(worker, options.reviews, options.timeout)
            assert worker.stop() == 0, worker.log
    figures |= {"mean_tokens": mean, "partitions": options.partitions, "broker": chain.describe(), **describe()}
    for name, value in figures.items():
        print(f"{name:24} {value:,.3f}" if isinstance(value, float) else f"{name:24} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
