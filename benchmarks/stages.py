"""Each stage alone on the same real reviews: core-microseconds a review, their sum, and the bound that it sets.

Core time is the process's CPU time over all of its threads; the broker is another process. Each stage gets what the one
before it made, in the pieces that the pipeline works in, and what it makes is dropped. The best of several rounds
counts; every other round goes through the stages backwards. As in the service, what is there before a stage begins is
frozen out of garbage collection. The bound is cores over the sum: a worker stays below it, since the event loop, the
sequencer and the metrics are in no stage, and the broker wants cores too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from benchmarks.alone import Spent, Stage, Way, infer_stage, kafka_stages, pure_stages, read, timed
from benchmarks.drawing import COLOURS, label, png, styled
from benchmarks.environment import describe
from benchmarks.throughput import items, texts
from streamer.events import Record
from streamer.models.artefact import BUNDLED
from streamer.models.torchscript import Model
from streamer.service.build import load_model, predictor
from streamer.settings import load
from tests.brokers import Chain, Wanted, new_topic, providers
from tests.reading import fill

ORDER = ("consume", "decode", "tokenise", "bucket", "infer", "encode", "publish")
PARTS = ("visible text", "normalise", "segment", "look up")  # Of tokenise.


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--reviews", type=int, default=50_000)
    parser.add_argument("--mean-tokens", type=float, default=45.0, help="average length; 0 takes reviews as they are")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--model", type=Path, default=BUNDLED, help="artefact (default: the bundled model)")
    parser.add_argument("--no-broker", action="store_true", help="leave out consume and publish")
    parser.add_argument("--timeout", type=float, default=600.0, help="of filling the topic, in seconds")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run every stage `rounds` times."""
    chosen, mean = texts(options.reviews, options.mean_tokens, options.model)
    settings = load({"model": {"path": options.model}})
    model = load_model(settings)
    served = predictor(model, settings)
    chain = Chain(providers(os.environ))
    with ExitStack() as resources:
        if options.no_broker:
            records = [
                Record("reviews", number % options.partitions, number // options.partitions, 0, item.key, item.value)
                for number, item in enumerate(items(chosen))
            ]
        else:
            cluster = resources.enter_context(chain.running(Wanted()))
            given, made = (new_topic(cluster, options.partitions) for _ in range(2))
            kafka = {"bootstrap_servers": cluster.bootstrap}
            overrides = {"kafka": kafka, "input": {"topic": given}, "output": {"topic": made}}
            settings = load({"model": {"path": options.model}, **overrides})
            fill(cluster.bootstrap, given, items(chosen), timeout_s=options.timeout)
            records = read(settings, len(chosen))
        way = Way.of(records, model, served, settings)
        stages: dict[str, Stage] = {} if options.no_broker else kafka_stages(way, settings)
        stages |= pure_stages(way, model, served, settings) | _infer_stages(way, model)
        taken = timed(stages, options.rounds)
    cores = int(describe()["cores"])
    return {
        "reviews": len(chosen),
        "mean_tokens": mean,
        "rounds": options.rounds,
        "cores": cores,
        "broker": None if options.no_broker else chain.describe(),
        "model": f"{model.manifest.name} {model.manifest.version} in {model.precision} on {model.device}",
        "evidence_tokens": model.evidence_tokens,
        "threads": torch.get_num_threads(),
        "reviews_per_batch": len(chosen) / len(way.batches),
        "padding_efficiency": sum(b.tokens for b in way.batches) / sum(b.length * len(b) for b in way.batches),
        **summed(taken, len(chosen), cores),
    }


def _infer_stages(way: Way, model: Model) -> dict[str, Stage]:
    """As the service does, first; then with 1 thread and without evidence, where that is something else."""
    usual = (torch.get_num_threads(), model.evidence_tokens)
    variants = dict.fromkeys((threads, tokens) for threads in (usual[0], 1) for tokens in (usual[1], 0))
    return {"infer" if v == usual else f"infer, {_variant(*v)}": infer_stage(way, model, *v) for v in variants}


def _variant(threads: int, evidence_tokens: int) -> str:
    of_threads = "1 thread" if threads == 1 else f"{threads} threads"
    return f"{of_threads}, {'with' if evidence_tokens else 'no'} evidence"


def summed(taken: Mapping[str, list[Spent]], count: int, cores: int) -> dict[str, Any]:
    """Core-microseconds a review of each stage's best round, in all, and what they mean for the machine."""
    micros = {name: 1e6 * min(spent.cpu for spent in rounds) / count for name, rounds in taken.items()}
    stages = {name: micros[name] for name in ORDER if name in micros}
    total = sum(stages.values())
    return {
        "stages": stages,
        "parts": {name: micros[name] for name in PARTS},
        "infer": {
            name: {
                "core_microseconds": micros[name],
                "wall_microseconds": 1e6 * min(spent.wall for spent in taken[name]) / count,
            }
            for name in micros
            if name.startswith("infer")
        },
        "by_round": {name: [1e6 * spent.cpu / count for spent in rounds] for name, rounds in taken.items()},
        "sum": total,
        "bound": cores * 1e6 / total,
        "model_share": stages["infer"] / total,
    }


def section(figures: Mapping[str, Any]) -> str:
    """The table, the bound, and what dominates."""
    lines = ["| stage | core-microseconds a review | share |", "|---|---:|---:|"]
    for name, micros in figures["stages"].items():
        lines.append(f"| {name} | {micros:,.1f} | {micros / figures['sum']:.0%} |")
        if name == "tokenise":
            lines += [f"| – {part} | {micros:,.1f} | |" for part, micros in figures["parts"].items()]
        if name == "infer":
            lines += [
                f"| – {other.removeprefix('infer, ')} | {spent['core_microseconds']:,.1f} | |"
                for other, spent in figures["infer"].items()
                if other != "infer"
            ]
    lines.append(f"| **sum** | **{figures['sum']:,.1f}** | |")
    first, second = sorted(figures["stages"], key=figures["stages"].__getitem__, reverse=True)[:2]
    together = (figures["stages"][first] + figures["stages"][second]) / figures["sum"]
    missing = "" if figures["broker"] else " Consume and publish were left out."
    about = (
        f"{figures['reviews']:,} shop reviews of {figures['mean_tokens']:.1f} tokens on average, {figures['model']}, "
        f"{_variant(figures['threads'], figures['evidence_tokens'])}, {figures['reviews_per_batch']:.0f} reviews a "
        f"batch; the best of {figures['rounds']} rounds."
    )
    shows = (
        f"The bound for {figures['cores']} cores is {figures['bound']:,.0f} reviews/s; {first} and {second} take "
        f"{together:.0%} of the sum, the model {figures['model_share']:.0%}.{missing}"
    )
    return "\n\n".join((about, "\n".join(lines), shows))


def plots(figures: Mapping[str, Any]) -> dict[str, bytes]:
    """What of a review's core time each stage takes."""
    stages = figures["stages"]
    with styled():
        figure = Figure((6.4, 2.4), layout="constrained")
        axes = figure.subplots()
        bars = axes.barh(list(stages), list(stages.values()), color=COLOURS[0])
        axes.bar_label(bars, fmt="%.0f", padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.08)
        axes.grid(axis="y", visible=False)
        label(axes, "core-microseconds a review", "")
        return {"stages.png": png(figure)}
