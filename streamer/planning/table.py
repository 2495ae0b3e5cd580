"""Prints a plan for `streamer plan`: a table for people, JSON for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streamer.planning.plan import Plan
from streamer.planning.profile import Profile

_WIDTH = 110  # If there is no terminal.
_BOUNDS = {"python": "Python, under the GIL", "model": "the model", "cores": "the cores"}


def show(plan: Plan, profile: Profile, console: Console | None = None) -> None:
    """Print a plan as a table."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH, file=console.file)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in rows(plan, profile):
        table.add_row(name, escape(value))
    console.print(table)


def rows(plan: Plan, profile: Profile) -> list[tuple[str, str]]:
    """Name and value of each line."""
    worker, latency = plan.worker, plan.latency
    total = f"{plan.cores:,} cores" + (f", {plan.gpus:,} GPUs" if plan.gpus else "")
    bounds = ", ".join(f"{_BOUNDS[name]} {bound:,.0f}" for name, bound in worker.bounds.items())
    return [
        ("planned for", f"{_rate(plan.rate)} reviews/s of {plan.mean_tokens:g} tokens on average"),
        ("profile", f"{profile.name}, {profile.precision} on {profile.device}: {profile.measured}"),
        ("one worker", f"{worker.rate:,.0f} reviews/s at most, on {worker.cores:.1f} cores"),
        ("", f"a review costs {worker.cpu_ms:.2f} ms of CPU: {worker.gil_ms:.2f} under the GIL; model {_model(plan)}"),
        ("workers", f"{plan.workers:,}, busy to {plan.utilisation:.0%}"),
        ("place", f"{total}: {plan.hosts:,} hosts with up to {plan.workers_per_host:,} workers each"),
        ("partitions", f"{plan.partitions:,}"),
        ("memory", f"{plan.memory_gib:,.0f} GiB"),
        ("latency", f"{latency.p50:,.0f} ms median, {latency.p95:,.0f} at 95 %, {latency.p99:,.0f} at 99 %"),
        ("network in", f"{plan.traffic_in.raw:,.1f} MB/s, compressed {plan.traffic_in.compressed:,.1f}"),
        ("network out", f"{plan.traffic_out.raw:,.1f} MB/s, compressed {plan.traffic_out.compressed:,.1f}"),
        ("broker disk", f"{plan.disk_gb_per_day:,.0f} GB a day, input and output, all replicas"),
        ("a new worker", f"serves after {plan.start_seconds:.0f} s"),
        ("a worker by", f"{bounds} reviews/s; {profile.derate:.0%} of the least is reached"),
        ("bottleneck", plan.advice),
    ]


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:g}"


def _model(plan: Plan) -> str:
    return f"{plan.worker.model_ms:.3f} ms on the {'GPU' if plan.gpus else 'CPU'}"


def as_json(plan: Plan, profile: Profile) -> dict[str, Any]:
    """The fields of the plan, and the profile that it is based on."""
    return {**asdict(plan), "profile": {"name": profile.name, "measured": profile.measured, "device": profile.device}}
