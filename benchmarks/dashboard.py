"""What one `streamer dashboard` process costs: `python -m benchmarks.dashboard --groups 1000`.

It follows a trends topic to which, once a second, each of the partitions gets the counts of its share of the reviews,
as workers publish them, on the embedded broker; two pages are open, Live and Groups. Printed are the core time that the
process took, of one core, its memory, and whether it has counted all that was fed. With --labelled, so many results a
second go to the labelled topic as well, which it samples.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import orjson
from confluent_kafka import Producer

from streamer.demo.embedded_broker import EmbeddedBroker
from streamer.events import TopicPartition
from tests.dashboard import feed

_WARM_SECONDS = 10.0


def main() -> None:
    """Feed, look, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--reviews", type=int, default=50_000, help="a second")
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--labelled", type=int, default=0, help="results a second in the labelled topic")
    asyncio.run(measure(parser.parse_args()))


async def measure(options: argparse.Namespace) -> None:
    """Run the dashboard against the feed for so many seconds, after ten to warm up."""
    topics = {"reviews.labelled": options.partitions, "reviews.labelled.trends": options.partitions}
    with EmbeddedBroker(topics) as broker:
        environment = os.environ | {
            "STREAMER_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap,
            "STREAMER_DASHBOARD__PORT": "0",
            "STREAMER_DASHBOARD__WORKERS": "[]",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streamer", "dashboard", env=environment, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().split()[-1]
        stopping = threading.Event()
        fed: dict[str, int] = {"reviews": 0, "cells": 0, "results": 0}
        threads = [
            threading.Thread(target=_counts, args=(broker.bootstrap, options, stopping, fed)),
            threading.Thread(target=_results, args=(broker.bootstrap, options, stopping, fed)),
            *(threading.Thread(target=_page, args=(f"{address}/api/events?view={view}", stopping), daemon=True)
              for view in ("live", "groups")),
        ]  # fmt: skip
        for thread in threads:
            thread.start()
        await asyncio.sleep(_WARM_SECONDS)
        counted = dict(await asyncio.to_thread(_statistics, address))["reviews counted"]
        begun, before, was = time.monotonic(), _core_seconds(process.pid), dict(fed)
        await asyncio.sleep(options.seconds)
        seconds, after = time.monotonic() - begun, _core_seconds(process.pid)
        counted = dict(await asyncio.to_thread(_statistics, address))["reviews counted"] - counted
        rates = {name: (fed[name] - was[name]) / seconds for name in fed}
        stopping.set()
        for thread in threads[:2]:
            thread.join()
        await asyncio.sleep(5)
        told = dict(await asyncio.to_thread(_statistics, address))
        resident = _resident_mib(process.pid)
        process.terminate()
        await process.wait()
    print(f"fed: {rates['reviews']:,.0f} reviews/s in {rates['cells']:,.0f} cells/s, {rates['results']:,.0f} results/s")
    print(f"core time: {(after - before) / seconds:.3f} of a core over {seconds:.0f} s; resident: {resident:.0f} MiB")
    print(f"per {options.reviews:,} reviews counted: {(after - before) / counted * options.reviews:.3f} core seconds")
    print(f"counted: {told['reviews counted']:,} of {fed['reviews']:,} reviews")


def _counts(bootstrap: str, options: argparse.Namespace, stopping: threading.Event, fed: dict[str, int]) -> None:
    """A message for each partition, once a second, the partitions spread over it."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "compression.type": "zstd"})
    offsets = [0] * options.partitions
    share = options.reviews // options.partitions
    begun, turn = time.monotonic(), 0
    while not stopping.is_set():
        partition = turn % options.partitions
        source = TopicPartition("reviews", partition)
        item = feed.busy(source, options.groups, share, int(time.time()), offsets[partition], turn)
        offsets[partition] += share
        producer.produce("reviews.labelled.trends", item.value, item.key, partition)
        producer.poll(0)
        fed["reviews"] += share
        fed["cells"] += min(share, options.groups)
        turn += 1
        stopping.wait(max(0.0, begun + turn / options.partitions - time.monotonic()))
    producer.flush(10)


def _results(bootstrap: str, options: argparse.Namespace, stopping: threading.Event, fed: dict[str, int]) -> None:
    """Results as fast as they were asked for."""
    if not options.labelled:
        return
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "compression.type": "zstd",
            "queue.buffering.max.messages": 200_000,
        }
    )
    values = [orjson.dumps(feed.event(number, text=f"review {number} of the benchmark, 差")) for number in range(1000)]
    begun = time.monotonic()
    while not stopping.is_set():
        for number in range(options.labelled // 20):
            producer.produce("reviews.labelled", values[number % 1000], partition=number % options.partitions)
        fed["results"] += options.labelled // 20
        producer.poll(0)
        stopping.wait(max(0.0, begun + fed["results"] / options.labelled - time.monotonic()))
    producer.flush(10)


def _page(url: str, stopping: threading.Event) -> None:
    """Reads a stream as a browser would."""
    with urllib.request.urlopen(url) as stream:  # noqa: S310  # Our own.
        while not stopping.is_set() and stream.readline():
            pass


def _statistics(address: str) -> list[tuple[str, int]]:
    with urllib.request.urlopen(f"{address}/api/events?view=system") as stream:  # noqa: S310  # Our own.
        told: list[tuple[str, int]] = orjson.loads(stream.readline().removeprefix(b"data: "))["system"]["trends"]
    return told


def _core_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


if __name__ == "__main__":
    main()
