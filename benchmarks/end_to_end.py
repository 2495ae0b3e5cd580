"""A filled topic on a real Kafka broker: this project against other ways to serve the same model.

Every contender reads the topic from its beginning with a fresh group and writes to a topic of its own. First a tuning
pass finds each peer's best batch size, then its better number of threads; then come rounds in alternating order. The
rate is results over time, between a tenth and all of the results, as the broker counts them. Prediction cache and
evidence are off. Slower contenders label fewer reviews, so many that a run takes `--seconds`.

Give it 100,000 reviews or more: ours has up to 262,144 tokens in flight, and what of their work is done before the
clock starts should not weigh.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from matplotlib.figure import Figure

from benchmarks.drawing import COLOURS, label, png, styled
from benchmarks.mixed import SHARES, mixed
from benchmarks.peers.entrants import ALL, ARRIVAL, BATCHING, OURS, SIZES, TUTORIAL, Entrant, missing
from benchmarks.peers.runs import Run, Stage, run
from benchmarks.peers.tuning import Trial, Tuning, reviews_for, tune
from streamer.models.artefact import BUNDLED
from streamer.models.torchscript import load
from tests.brokers import Chain, Wanted, new_topic, providers
from tests.reading import Item, fill, read_all

_SAMPLED = 500  # Results whose labels are compared.


def arguments(parser: argparse.ArgumentParser) -> None:
    """This part's options."""
    parser.add_argument("--reviews", type=int, default=200_000, help="in the topic; the quick ones label them all")
    parser.add_argument("--mix", choices=tuple(SHARES), default="mixed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=25.0, help="that a slower contender's run is to take")
    parser.add_argument("--tune-seconds", type=float, default=8.0, help="that a run of the tuning pass takes")
    parser.add_argument("--batches", type=int, nargs="+", default=list(SIZES), help="batch sizes to try")
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--artefact", type=Path, default=BUNDLED)
    parser.add_argument("--only", nargs="+", choices=[each.name for each in ALL], help="with these contenders only")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Fill the topic, tune the peers, run the rounds, compare the labels."""
    texts, shares = mixed(options.reviews, options.mix)
    asked = [each for each in ALL if not options.only or each.name in options.only]
    missing_topics = {each.name: reason for each in asked if (reason := missing(each))}
    for name, reason in missing_topics.items():
        print(f"left out: {name}, {reason}", flush=True)
    model = load(options.artefact, "cpu")
    tokens = [len(model.vocabulary.encode(text, model.manifest.max_tokens)) for text in texts[:5000]]
    chain = Chain(providers(os.environ))
    with chain.running(Wanted()) as cluster, tempfile.TemporaryDirectory() as folder:
        topic = new_topic(cluster, options.partitions)
        items = (
            Item(orjson.dumps({"id": str(i), "text": text}), f"user-{i % 9973}".encode())
            for i, text in enumerate(texts)
        )
        fill(cluster.bootstrap, topic, items, timeout_s=600)
        stage = Stage(cluster, topic, options.partitions, options.artefact, Path(folder))
        tuning = tune(
            [each for each in asked if each.name not in missing_topics], stage, trial(options), model.precision
        )
        runs = _rounds(tuning, stage, options)
        agreement = _agreement(runs, cluster.bootstrap)
    contenders = {each.name: summary(each, runs[each.name], agreement.get(each.name)) for each in tuning.entrants}
    return {
        "mix": options.mix,
        "shares": shares,
        "reviews": options.reviews,
        "mean_tokens": sum(tokens) / len(tokens),
        "median_tokens": median(tokens),
        "partitions": options.partitions,
        "rounds": options.rounds,
        "broker": chain.describe(),
        "model": f"{model.manifest.name} {model.manifest.version}",
        "precision_of_ours": model.precision,
        "left_out": missing_topics,
        "tuning": tuning.tried,
        "contenders": contenders,
        "ratios": ratios({name: each["reviews_per_second"] for name, each in contenders.items()}),
    }


def trial(options: argparse.Namespace) -> Trial:
    """How long to try what."""
    return Trial(options.reviews, options.tune_seconds, tuple(options.batches))


def _rounds(tuning: Tuning, stage: Stage, options: argparse.Namespace) -> dict[str, list[Run]]:
    """Runs by entrant; every second round goes the other way round."""
    runs: dict[str, list[Run]] = {each.name: [] for each in tuning.entrants}
    for number in range(options.rounds):
        for each in tuning.entrants if number % 2 == 0 else reversed(tuning.entrants):
            found = run(each, stage, reviews_for(tuning.rates.get(each.name), options.seconds, options.reviews))
            runs[each.name].append(found)
            print(f"round {number + 1}, {each.name}: {found.reviews_per_second:,.1f} reviews/s", flush=True)
    return runs


def _agreement(runs: Mapping[str, Sequence[Run]], bootstrap: str) -> dict[str, float]:
    """The share of a sample of each entrant's results that have the same label as ours, in the first round."""
    if OURS.name not in runs:
        return {}
    labels = {name: _labels(bootstrap, found[0].output) for name, found in runs.items()}
    return {name: agreeing(labels[OURS.name], found) for name, found in labels.items() if name != OURS.name}


def _labels(bootstrap: str, topic: str) -> dict[str, str]:
    events = (orjson.loads(record.value or b"{}") for record in read_all(bootstrap, topic, timeout_s=300))
    return {event["id"]: event["label"] for event in events}


def agreeing(ours: Mapping[str, str], others: Mapping[str, str]) -> float:
    """The share of equal labels in a sample of the ids that both have."""
    common = sorted(ours.keys() & others.keys())
    sample = random.Random(_SAMPLED).sample(common, min(_SAMPLED, len(common)))
    return sum(ours[each] == others[each] for each in sample) / len(sample) if sample else 0.0


def summary(entrant: Entrant, runs: Sequence[Run], agreement: float | None) -> dict[str, Any]:
    """An entrant's figures: medians over its rounds, and each round."""
    padding = [each.padding_efficiency for each in runs if each.padding_efficiency is not None]
    return {
        "about": entrant.about,
        "options": dict(entrant.options),
        "reviews_per_second": median(each.reviews_per_second for each in runs),
        "cpu_seconds_per_1000": median(each.cpu_seconds_per_1000 for each in runs),
        "padding_efficiency": median(padding) if padding else None,
        "agreement": agreement,
        "reviews": runs[0].reviews,
        "runs": [asdict(each) for each in runs],
    }


def ratios(rates: Mapping[str, float]) -> dict[str, float]:
    """How many times as fast ours is, by what it is compared with."""
    if OURS.name not in rates:
        return {}
    against = {name: rates[name] for name in (TUTORIAL.name, BATCHING[0].name, ARRIVAL.name) if name in rates}
    if peers := [rates[each.name] for each in BATCHING if each.name in rates]:
        against["best_peer"] = max(peers)
    return {name: rates[OURS.name] / rate for name, rate in against.items()}


_COMPARED = {
    TUTORIAL.name: "the tutorial way (a)",
    BATCHING[0].name: "FastStream (b)",
    "best_peer": "the best of (b), (c) and (d)",
    ARRIVAL.name: "itself with bucketing off (e)",
}


def section(figures: Mapping[str, Any]) -> str:
    """A table of the contenders, the quickest first, and the ratios."""
    contenders = sorted(figures["contenders"].values(), key=lambda each: -each["reviews_per_second"])
    ratios = figures["ratios"]
    lines = [_about(figures), "", *_HEAD, *map(_row, contenders)]
    if ratios:
        found = [f"- {ratios[name]:.1f} times as fast as {what}" for name, what in _COMPARED.items() if name in ratios]
        lines += ["", "Ours is", "", *found]
    for name, reason in figures["left_out"].items():
        lines += ["", f"Left out: {name} ({reason})."]
    return "\n".join(lines)


_HEAD = (
    "| contender | reviews/s | CPU s per 1,000 | real tokens of padded | labels as ours | batch | reviews a run |",
    "|---|---|---|---|---|---|---|",
)


def _about(figures: Mapping[str, Any]) -> str:
    shares = ", ".join(f"{100 * share:.0f} % {kind}" for kind, share in figures["shares"].items())
    return (
        f"{figures['reviews']:,} reviews ({shares}; {figures['mean_tokens']:.0f} tokens on average, "
        f"{figures['median_tokens']:.0f} in the median) in {figures['partitions']} partitions, one process each, all "
        f"with the same model ({figures['model']}), without cache and evidence. Medians of {figures['rounds']} rounds "
        f"in alternating order, the range in brackets. Broker: {figures['broker']}. Every peer has its best batch size "
        f"and number of threads. Ours runs the model in {figures['precision_of_ours']}, the peers in float32 unless "
        "they say otherwise; packed batches compute no padding."
    )


def _row(each: Mapping[str, Any]) -> str:
    rates = [found["reviews_per_second"] for found in each["runs"]]
    padding = "" if each["padding_efficiency"] is None else f"{100 * each['padding_efficiency']:.0f} %"
    agreement = "" if each["agreement"] is None else f"{100 * each['agreement']:.1f} %"
    return (
        f"| {each['about']} | {_number(each['reviews_per_second'])} ({_number(min(rates))} to {_number(max(rates))}) "
        f"| {each['cpu_seconds_per_1000']:.2f} | {padding} | {agreement} | {each['options'].get('batch', '')} "
        f"| {each['reviews']:,} |"
    )


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:,.1f}"


def plots(figures: Mapping[str, Any]) -> dict[str, bytes]:
    """Reviews per second of each, the rounds as marks."""
    contenders = sorted(figures["contenders"].values(), key=lambda each: each["reviews_per_second"])
    rates = [each["reviews_per_second"] for each in contenders]
    colours = [COLOURS[0] if "this project" in each["about"] else COLOURS[-1] for each in contenders]
    with styled():
        figure = Figure((7.2, 0.7 + 0.34 * len(contenders)), layout="constrained")
        axes = figure.subplots()
        axes.barh([each["about"] for each in contenders], rates, color=colours)
        for place, each in enumerate(contenders):
            found = [one["reviews_per_second"] for one in each["runs"]]
            axes.plot(found, [place] * len(found), "|", color="black", ms=8)
            at = (max(found), place)
            axes.annotate(_number(rates[place]), at, (5, 0), textcoords="offset points", va="center")
        axes.grid(axis="y", visible=False)
        axes.set_xlim(right=1.15 * max(rates))
        label(axes, "reviews per second of one process; marks are rounds", "")
        return {"end-to-end.png": png(figure)}
