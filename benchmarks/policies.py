"""Batching policies, ours and others', in a simulation on real length histograms and a measured cost table.

The histograms are those of benchmarks/lengths.py, the rules those of benchmarks/rules.py. Reviews come at random times
(Poisson) at loads that are shares of what the best policy gets through on that histogram, or are all there from the
start. Rules that go by a number of reviews get the number that gives them most throughput, within the same memory:
its largest batch of the longest reviews keeps the budget of padded tokens. All of it is seeded.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from benchmarks.drawing import COLOURS, FORMS, label, png, styled
from benchmarks.environment import describe
from benchmarks.lengths import HISTOGRAMS
from benchmarks.queueing import Arrival, Policy, Report, percentile, plausible_costs, poisson, read_trace, simulate
from benchmarks.record import recorded
from benchmarks.rules import ArrivalOrder, Edges, SortedWindow
from streamer.pipeline.batching import Bucketer, CostTable, TokenBudget
from streamer.pipeline.limits import Limits
from streamer.service.build import load_model, predictor
from streamer.settings import load

LIMITS = Limits()
LOADS = (0.1, 0.3, 0.5, 0.7, 0.9)
BACKLOG = "backlog"
OURS = "ours"
FIXED = (25, 50, 100, 200)  # And the longest that the model takes, as for the powers of two.
SIZES = (8, 16, 32, 64, 128, 256)
_SHOWN_LOAD = 0.7

Make = Callable[[], Policy]
Row = dict[str, Any]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--reviews", type=int, default=50_000, help="in each run (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--measure", action="store_true", help="measure what batches cost here, now")
    parser.add_argument("--model", type=Path, help="artefact to measure (default: the bundled model)")
    parser.add_argument("--costs", type=Path, action="append", default=[], metavar="FILE", help="a saved table, too")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write what was measured, for --costs elsewhere")
    parser.add_argument("--trace", type=Path, help="also arrivals as recorded: lines of `seconds tokens`")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Simulate every histogram at every load under every policy, on each cost table."""
    tables = [json.loads(path.read_text("utf-8")) for path in options.costs]
    if options.measure:
        tables.insert(0, measured_costs(options.model))
        if options.save:
            options.save.write_text(json.dumps(tables[0]) + "\n", "utf-8")
    trace = read_trace(options.trace.read_text("utf-8").splitlines()) if options.trace else None
    return {
        "reviews": options.reviews,
        "seed": options.seed,
        "tables": [compared(table, options.reviews, options.seed, trace) for table in tables or stored_costs()],
    }


def measured_costs(path: Path | None) -> dict[str, Any]:
    """What batches cost on this machine as the service counts it: the model's time and the pipeline's overhead."""
    settings = load({"model": {"path": path}} if path else {})
    model = load_model(settings)
    costs = predictor(model, settings).costs
    processor = torch.cuda.get_device_name() if model.device == "cuda" else describe()["processor"]
    device = f"{model.manifest.name} in {model.precision} on {processor}"
    if model.device == "cpu":
        device += f", threads: {torch.get_num_threads()}"
    return {"device": device, "lengths": costs.lengths, "sizes": costs.sizes, "seconds": costs.seconds}


def stored_costs() -> list[dict[str, Any]]:
    """The tables of the run that was recorded last; before there is one, the design's rule of thumb."""
    found = recorded("policies")
    if found is not None:
        return [{name: table[name] for name in _TABLE} for table in found["figures"]["tables"]]
    costs = plausible_costs()
    device = "rule of thumb, not measured: 0.5 ms a batch, 20 us a step, 1.4 us a token"
    return [{"device": device, "lengths": costs.lengths, "sizes": costs.sizes, "seconds": costs.seconds}]


_TABLE = ("device", "lengths", "sizes", "seconds")


def compared(table: Mapping[str, Any], count: int, seed: int, trace: Sequence[Arrival] | None = None) -> dict[str, Any]:
    """The table with all rows; `capacity` in reviews/s, and the sizes that rules by number got, by histogram."""
    costs = CostTable(tuple(table["lengths"]), tuple(table["sizes"]), tuple(map(tuple, table["seconds"])))
    limit = costs.lengths[-1]
    rows: list[Row] = []
    capacity: dict[str, float] = {}
    chosen: dict[str, dict[str, int]] = {}
    for histogram in HISTOGRAMS:
        backlog = poisson(float("inf"), count, histogram, limit, seed)
        chosen[histogram] = {name: _best_size(make, backlog, costs) for name, make in _BY_NUMBER.items()}
        policies = rules(costs, chosen[histogram])
        full = {name: simulate(backlog, make(), costs) for name, make in policies.items()}
        capacity[histogram] = max(report.throughput for report in full.values())
        for share in LOADS:
            rate = share * capacity[histogram]
            arrivals = poisson(rate, count, histogram, limit, seed)
            for name, make in policies.items():
                # Else the queue grows for as long as the run lasts, and waits say how long that was.
                keeps_up = rate < full[name].throughput
                rows.append(_row(histogram, share, name, simulate(arrivals, make(), costs), keeps_up))
        rows += [_row(histogram, BACKLOG, name, report, False) for name, report in full.items()]
    if trace is not None:
        policies = rules(costs, {name: _best_size(make, trace, costs) for name, make in _BY_NUMBER.items()})
        rows += [_row("trace", "trace", n, simulate(trace, make(), costs), True) for n, make in policies.items()]
    return {**{name: table[name] for name in _TABLE}, "capacity": capacity, "chosen_sizes": chosen, "rows": rows}


_BY_NUMBER: dict[str, Callable[[int], Policy]] = {"arrival order": ArrivalOrder, "sorted window": SortedWindow}


def rules(costs: CostTable, sizes: Mapping[str, int]) -> dict[str, Make]:
    """Makers of fresh policies by name; `sizes` are those of the rules that go by a number of reviews."""
    reviews, tokens = LIMITS.max_reviews, LIMITS.max_padded_tokens
    limit = costs.lengths[-1]
    powers = [2**power for power in range(limit.bit_length()) if 2**power < limit]
    return {
        "arrival order": lambda: ArrivalOrder(sizes["arrival order"]),
        "token budget": lambda: TokenBudget(reviews, tokens),
        "sorted window": lambda: SortedWindow(sizes["sorted window"]),
        "fixed edges": lambda: Edges((*FIXED, limit), reviews, tokens),
        "powers of two": lambda: Edges((*powers, limit), reviews, tokens, to_edge=True),
        OURS: lambda: Bucketer(costs, LIMITS.max_wait, reviews, tokens),
    }


def _best_size(make: Callable[[int], Policy], arrivals: Sequence[Arrival], costs: CostTable) -> int:
    """The number of reviews with most throughput, of those whose batches of the longest keep the budget."""
    fitting = [size for size in SIZES if size * costs.lengths[-1] <= LIMITS.max_padded_tokens]
    return max(fitting or SIZES[:1], key=lambda size: simulate(arrivals, make(size), costs).throughput)


def _row(histogram: str, share: float | str, policy: str, report: Report, keeps_up: bool) -> Row:
    """A run; rates in reviews/s, times in ms: latencies from arrival to result, the wait to the batch's start."""
    latencies = {f"p{share}_ms": 1000 * percentile(report.latencies, share / 100) for share in (50, 95, 99)}
    return {
        "histogram": histogram,
        "load": share,
        "policy": policy,
        "keeps_up": keeps_up,
        "throughput": report.throughput,
        "efficiency": report.efficiency,
        "reviews_per_batch": len(report.waits) / report.batches,
        **latencies,
        "worst_wait_ms": 1000 * max(report.waits),
    }


def section(figures: Mapping[str, Any]) -> str:
    """Backlog, and waits at one load; the JSON file has all."""
    parts = [
        f"{figures['reviews']:,} reviews a run, seed {figures['seed']}. Every policy has the same memory: at most "
        f"{LIMITS.max_padded_tokens:,} tokens a batch with padding, at most {LIMITS.max_reviews} reviews; all loads, "
        "median, p95 and worst waits are in `benchmarks/results/policies.json`."
    ]
    for table in figures["tables"]:
        rows = table["rows"]
        shown = [name for name, _ in groupby(row["histogram"] for row in rows) if name in HISTOGRAMS]
        parts += [
            f"Costs: {table['device']}.",
            "Everything there from the start: reviews/s, and the share of tokens computed that were real.",
            _grid(rows, shown, BACKLOG, lambda row: f"{row['throughput']:,.0f} ({row['efficiency']:.2f})"),
            f"At {_SHOWN_LOAD:.0%} of the best policy's rate: p99 from arrival to result and the longest wait, in ms; "
            "a dash where the policy does not keep up.",
            _grid(rows, shown, _SHOWN_LOAD, _waits),
        ]
        if any(row["load"] == "trace" for row in rows):
            parts += ["The trace: p99 and the longest wait, in ms.", _grid(rows, ["trace"], "trace", _waits)]
        parts.append(_shows(rows, shown))
    return "\n\n".join(parts)


def _waits(row: Row) -> str:
    return f"{row['p99_ms']:,.0f} / {row['worst_wait_ms']:,.0f}" if row["keeps_up"] else "–"


def _grid(rows: Sequence[Row], histograms: Sequence[str], share: float | str, cell: Callable[[Row], str]) -> str:
    found = {(row["policy"], row["histogram"]): row for row in rows if row["load"] == share}
    names = list(dict.fromkeys(policy for policy, _ in found))
    lines = [["policy", *histograms], ["---", *("---:" for _ in histograms)]]
    lines += [[name, *(cell(found[name, histogram]) for histogram in histograms)] for name in names]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shows(rows: Sequence[Row], histograms: Sequence[str]) -> str:
    """One sentence, from the figures: ours against the plainest and the best of the other rules."""
    rates = {(row["policy"], row["histogram"]): row["throughput"] for row in rows if row["load"] == BACKLOG}
    others = [name for name in _names(rows) if name != OURS]
    plain = [rates[OURS, histogram] / rates["arrival order", histogram] for histogram in histograms]
    best = [rates[OURS, h] / max(rates[name, h] for name in others) for h in histograms]
    waits = {
        (row["policy"], row["histogram"]): row["p99_ms"]
        for row in rows
        if row["load"] == _SHOWN_LOAD and row["keeps_up"]
    }
    late = [
        waits[OURS, h] / min((waits[n, h] for n in others if (n, h) in waits), default=waits[OURS, h])
        for h in histograms
        if (OURS, h) in waits
    ]
    return (
        f"Under backlog ours gets through {_range(plain)} times as much as arrival order, and {_range(best)} times as "
        f"much as the best of the other rules; at {_SHOWN_LOAD:.0%} its p99 is {_range(late)} times that of the best "
        "of those that keep up."
    )


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}" if values else "–"


def plots(figures: Mapping[str, Any]) -> dict[str, bytes]:
    """For each cost table: p99 by load, and padding efficiency under backlog."""
    drawn = {}
    for number, table in enumerate(figures["tables"]):
        suffix = f"-{number + 1}" if number else ""
        drawn[f"policies-p99{suffix}.png"] = _p99(table["rows"])
        drawn[f"policies-padding{suffix}.png"] = _padding(table["rows"])
    return drawn


def _p99(rows: Sequence[Row]) -> bytes:
    """p99 in ms by load, a panel for each histogram, for as long as the policy keeps up."""
    with styled():
        figure = Figure((9.6, 2.9), layout="constrained")
        panels = figure.subplots(1, len(HISTOGRAMS), sharey=True)
        for axes, histogram in zip(panels, HISTOGRAMS, strict=True):
            for number, name in enumerate(_names(rows)):
                line = [r for r in rows if (r["histogram"], r["policy"]) == (histogram, name) and r["load"] in LOADS]
                kept = [row for row in line if row["keeps_up"]]
                look: dict[str, Any] = {"ms": 3.5, "color": COLOURS[number], "label": name}
                axes.plot([row["load"] for row in kept], [row["p99_ms"] for row in kept], FORMS[number], **look)
            axes.set_yscale("log")
            axes.set_xlim(0, 1)
            label(axes, "load", "", histogram)
        panels[0].set_ylabel("p99 latency (ms)")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
        return png(figure)


def _padding(rows: Sequence[Row]) -> bytes:
    """Padding efficiency under backlog by histogram and policy."""
    names = _names(rows)
    width = 0.8 / len(names)
    with styled():
        figure = Figure((6.4, 3.1), layout="constrained")
        axes = figure.subplots()
        for number, name in enumerate(names):
            found = {row["histogram"]: row["efficiency"] for row in rows if _is(row, name, BACKLOG)}
            places = [place + (number - (len(names) - 1) / 2) * width for place in range(len(HISTOGRAMS))]
            axes.bar(places, [found[h] for h in HISTOGRAMS], width, color=COLOURS[number], label=name)
        axes.set_xticks(range(len(HISTOGRAMS)), HISTOGRAMS)
        axes.set_ylim(0, 1)
        axes.grid(axis="x", visible=False)
        label(axes, "", "real tokens of those computed")
        figure.legend(loc="outside lower center", ncols=3)
        return png(figure)


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["policy"] for row in rows))


def _is(row: Row, policy: str, share: float | str) -> bool:
    return bool(row["policy"] == policy and row["load"] == share)
