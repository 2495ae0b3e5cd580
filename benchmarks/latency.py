"""From a review's creation to its result, at loads fixed in advance; a lone review on an idle service; starting up.

An open loop: Poisson arrivals are fixed by a seeded schedule before the first review is sent, at 10 to 90 % of the
measured maximum. Latency runs from the moment a review was due (not sent: a late generator is reported apart) to the
arrival of its result at a consumer on the same machine, through a real broker. Peers get the same absolute loads.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from benchmarks.contenders import PEERS_PYTHON, ROOT, Entry, NotRunning, Wiring, ours, peer, running, there
from benchmarks.curves import Curve, draw, lines, logarithmic
from benchmarks.load import Load, Results, backlog_rate, fill, offer, one_by_one, texts
from benchmarks.schedule import Outcome, percentiles, poisson_schedule
from streamer.models.artefact import BUNDLED
from tests.brokers import Chain, Cluster, Wanted, new_topic, providers
from tests.workers import Worker
from tests.workers import running as running_worker

OURS = "ours"
PEERS = (
    "(b) FastStream batches=benchmarks.peers.faststream_peer",
    "(d) confluent-kafka batches=benchmarks.peers.confluent_peer",
)
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
_SHOWN = ("p50", "p95", "p99", "p99.9")
_BACKLOG_TIMEOUT_S = 300.0
_START_TIMEOUT_S = 120.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options; the defaults are those of a run of record, about nine minutes."""
    add = parser.add_argument
    add("--maximum", type=float, help="our most reviews a second; measured by a backlog when not given")
    add("--backlog", type=int, default=60_000, help="reviews of that backlog")
    add("--shares", type=float, nargs="+", default=list(SHARES), help="of the maximum, ascending")
    add("--seconds", type=float, default=20.0, help="of a load, with its warm-up")
    add("--warm-up", type=float, default=4.0, help="seconds at the beginning of a load that do not count")
    add("--drain", type=float, default=10.0, help="seconds after a load in which results may come")
    add("--lone", type=int, default=200, help="reviews sent one by one")
    add("--pause", type=float, default=0.2, help="seconds between a lone review's result and the next")
    add("--starts", type=int, default=5, help="starts of the service to time")
    add("--partitions", type=int, default=6)
    add("--seed", type=int, default=1)
    add(
        "--peer",
        action="append",
        metavar="NAME=MODULE [OPTION ...]",
        help=f"instead of {', '.join(PEERS)}; empty for none",
    )
    add("--peer-python", default=str(PEERS_PYTHON), help="of the environment that has the peers' libraries")
    add("--batch", type=int, default=256, help="most reviews in a peer's batch")
    add("--artefact", type=Path, default=Path(os.environ.get("STREAMER_MODEL__PATH", BUNDLED)))
    add("--set", action="append", default=[], metavar="SECTION__NAME=VALUE", help="a setting of ours")


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs share."""

    cluster: Cluster
    folder: Path
    options: argparse.Namespace

    def wiring(self) -> Wiring:
        """Fresh topics and a fresh group."""
        into, out = (new_topic(self.cluster, self.options.partitions) for _ in range(2))
        dead = new_topic(self.cluster, 1)
        artefact = self.options.artefact.resolve()
        return Wiring(self.cluster.bootstrap, into, out, dead, f"group-{into}", artefact)

    def log(self, name: str) -> Path:
        """Where a process writes what it says."""
        return self.folder / f"{name}.log"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Our maximum, then each contender at each load and with lone reviews, then our starts."""
    settings = {name: value for name, _, value in (text.partition("=") for text in options.set)}
    entries: dict[str, Entry | None] = {OURS: ours(settings)}
    for name, _, module in (text.partition("=") for text in (options.peer or PEERS) if text):
        entries[name] = _peer(module, options)
    chain = Chain(providers(os.environ))
    with chain.running(Wanted()) as cluster, tempfile.TemporaryDirectory() as folder:
        bench = Bench(cluster, Path(folder), options)
        maximum = options.maximum or _maximum(bench, ours(settings))
        contenders = {}
        for name, entry in entries.items():
            _say(f"{name}: loads of {', '.join(f'{share * maximum:.0f}' for share in options.shares)} reviews/s")
            contenders[name] = {"state": "not there"} if entry is None else _contender(bench, name, entry, maximum)
        if contenders[OURS]["state"] != "measured":
            raise NotRunning(contenders[OURS]["why"])
        start_up = _start_up(bench, ours(settings)) if options.starts else None
    return {
        "maximum": maximum,
        "seconds": options.seconds,
        "warm_up_seconds": options.warm_up,
        "partitions": options.partitions,
        "seed": options.seed,
        "peer_batch": options.batch,
        "settings": settings,
        "broker": chain.describe(),
        "contenders": contenders,
        "start_up": start_up,
    }


def _peer(module: str, options: argparse.Namespace) -> Entry | None:
    """None where its module or its environment is not there."""
    if not there(module) or shutil.which(options.peer_python) is None:
        return None
    return peer(module, options.batch, options.peer_python)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _maximum(bench: Bench, entry: Entry) -> float:
    """Our reviews a second from a backlog, while the results are read as they are under load."""
    wiring = bench.wiring()
    count = bench.options.backlog
    _say(f"the maximum, from a backlog of {count}")
    fill(wiring.bootstrap, wiring.input, "backlog", texts(count, bench.options.seed))
    with (
        Results(wiring.bootstrap, wiring.output) as results,
        running(entry(wiring), bench.log("maximum")) as service,
    ):
        return backlog_rate(results, "backlog", count, _BACKLOG_TIMEOUT_S, service.alive)


def _contender(bench: Bench, name: str, entry: Entry, maximum: float) -> dict[str, Any]:
    """Lone reviews, then the loads from the lightest on; after the first that is too much there is a backlog, and
    what is heavier is too much as well."""
    options, wiring = bench.options, bench.wiring()
    loads: list[dict[str, Any]] = []
    with Results(wiring.bootstrap, wiring.output) as results:
        try:
            with running(entry(wiring), bench.log(wiring.input)) as service:
                service.wait_until_it_answers(wiring, results)
                chosen = texts(max(options.lone, int(2 * maximum * options.seconds * max(options.shares)) + 100))
                lone = one_by_one(
                    wiring.bootstrap, wiring.input, "lone", chosen[: options.lone], results, options.pause
                )
                for share in sorted(options.shares):
                    if loads and loads[-1]["state"] == "overloaded":
                        loads.append({"share": share, "rate": share * maximum, "state": "overloaded"})
                        continue
                    due = poisson_schedule(share * maximum, options.seconds, options.seed)
                    load = Load(wiring.bootstrap, wiring.input, f"load{share:g}", chosen[: len(due)], due)
                    found = summary_of(offer(load, results, options.drain, service.alive), options.warm_up)
                    _say(f"  {share * maximum:.0f}/s: {found['state']} {found.get('latency_ms', '')}")
                    loads.append({"share": share, "rate": share * maximum, **found})
        except (NotRunning, TimeoutError) as error:
            _say(f"{name}: {error}")
            return {"state": "failed", "why": str(error), "loads": loads}
    return {"state": "measured", "loads": loads, "lone_ms": _milliseconds(lone) if lone else None}


def summary_of(outcome: Outcome, warm_up: float) -> dict[str, Any]:
    """JSON values of a load: what counts are reviews due from `warm_up` seconds on."""
    late = [seconds for at, seconds in zip(outcome.due, outcome.late, strict=False) if at >= warm_up]
    about = {"lateness_ms": _milliseconds(late) if late else None}
    latencies = outcome.latencies(warm_up)
    if outcome.overloaded(warm_up) or not latencies:
        missing = len(outcome.due) - len(outcome.arrived)
        return {"state": "overloaded", "reviews": len(latencies), "missing": missing, **about}
    return {"state": "ok", "reviews": len(latencies), "latency_ms": _milliseconds(latencies), **about}


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    return {name: round(1000 * value, 3) for name, value in percentiles(seconds).items()}


def _start_up(bench: Bench, entry: Entry) -> dict[str, Any]:
    """Seconds from exec to `/health/ready`, and of a start's parts, each in fresh processes by turns."""
    totals: list[float] = []
    parts: list[dict[str, float]] = []
    for number in range(bench.options.starts):
        _say(f"start {number + 1}")
        wiring = bench.wiring()
        environment = {name: value for name, value in entry(wiring).environment.items() if "HTTP__PORT" not in name}
        begin = time.monotonic()
        with running_worker(environment, bench.log(f"start-{number}")) as worker:
            totals.append(_until_ready(worker, begin))
            worker.stop()
        parts.append(_parts(wiring.artefact))
    return {
        "seconds": totals,
        "median": statistics.median(totals),
        "parts": {part: statistics.median(found[part] for found in parts) for part in parts[0]},
    }


def _until_ready(worker: Worker, begin: float) -> float:
    while worker.page("/health/ready")[0] != 200:
        if worker.process.poll() is not None or time.monotonic() - begin > _START_TIMEOUT_S:
            raise NotRunning(f"the service is not ready:\n{worker.log[-2000:]}")
        time.sleep(0.01)
    return time.monotonic() - begin


def _parts(artefact: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.starting", "--artefact", str(artefact)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    said = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    read: dict[str, float] = json.loads(said.splitlines()[-1])
    return read


def section(figures: Mapping[str, Any]) -> str:
    """The loads, the lone review and the start."""
    counted = figures["seconds"] - figures["warm_up_seconds"]
    text = [
        f"Open loop: Poisson arrivals fixed in advance (seed {figures['seed']}), {figures['seconds']:g} s a load of "
        f"which the last {counted:g} s count, {figures['partitions']} partitions, real shop reviews as they come. "
        "Latency is from the moment a review was due to the arrival of its result at a consumer, in milliseconds; "
        f"100 % is {figures['maximum']:,.0f} reviews/s, what one worker of ours makes of a backlog on this machine. "
        f"Peers get the same absolute loads, in batches of at most {figures['peer_batch']}. *Overloaded*: the backlog "
        "grows as long as the load lasts. The generator's lateness is part of the latency; its p99 is shown.",
        "",
        f"| load | reviews/s | service | {' | '.join(_SHOWN)} | worst | reviews | generator late |",
        "|--:|--:|:--|" + "--:|" * (len(_SHOWN) + 3),
    ]
    for number, load in enumerate(figures["contenders"][OURS]["loads"]):
        for name, contender in figures["contenders"].items():
            cells = _cells(contender, number)
            text.append(f"| {load['share']:.0%} | {load['rate']:,.0f} | {name} | {' | '.join(cells)} |")
    lone = {name: found["lone_ms"] for name, found in figures["contenders"].items() if found.get("lone_ms")}
    if lone:
        text += ["", "A lone review on an idle service, one at a time, milliseconds:", ""]
        text += [f"| service | {' | '.join(_SHOWN[:3])} | worst |", "|:--|--:|--:|--:|--:|"]
        for name, found in lone.items():
            cells = [f"{found[column]:.1f}" for column in (*_SHOWN[:3], "max")]
            text.append(f"| {name} | {' | '.join(cells)} |")
    if start := figures["start_up"]:
        parts = start["parts"]
        text += [
            "",
            f"Starting, from exec to `/health/ready`: {start['median']:.1f} s (median of {len(start['seconds'])}). Of "
            f"this, imports take {parts['imports']:.1f} s, the model (read, checked, loaded, tried on its golden "
            f"texts) {parts['model']:.1f} s, and measuring the cost of batches {parts['costs']:.1f} s.",
        ]
    return "\n".join(text)


def _cells(contender: Mapping[str, Any], number: int) -> list[str]:
    """A contender's row: p50, p95, p99, p99.9, worst, reviews, generator's lateness."""
    empty = [""] * (len(_SHOWN) + 2)
    if number >= len(contender.get("loads", ())):
        return [contender["state"], *empty]
    load = contender["loads"][number]
    if load["state"] != "ok":
        return [load["state"], *empty]
    times = [f"{load['latency_ms'][column]:.1f}" for column in (*_SHOWN, "max")]
    return [*times, f"{load['reviews']:,}", f"{load['lateness_ms']['p99']:.1f}"]


def plots(figures: Mapping[str, Any]) -> dict[str, bytes]:
    """Percentiles against load: a panel each for p50 and p99, and ours in full."""

    def curve(name: str, shown: str, label: str) -> Curve:
        loads = [load for load in figures["contenders"][name].get("loads", ()) if load["state"] == "ok"]
        return Curve(label, [load["rate"] for load in loads], [load["latency_ms"][shown] for load in loads])

    def onto(panels: Sequence[Axes]) -> None:
        _loads(panels[0], [curve(OURS, shown, shown) for shown in _SHOWN], OURS)
        for panel, shown in zip(panels[1:], ("p50", "p99"), strict=True):
            _loads(panel, [curve(name, shown, name) for name in figures["contenders"]], shown)

    return {"latency.png": draw(9.6, 3.0, 3, onto)}


def _loads(axes: Axes, curves: Sequence[Curve], title: str) -> None:
    lines(axes, curves, "reviews/s offered", "latency (ms)", title)
    logarithmic(axes, "y")
    axes.set_xlim(left=0)
