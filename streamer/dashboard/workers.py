"""Workers' rates, lag, latency, batches and dead letters, from their `/metrics`. Pure: callers pass the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamer.observe.quantile import histogram_quantile

Sample = tuple[str, dict[str, str], float]  # Name, labels, value.
Buckets = dict[float, float]  # Upper bound to the count at or below it.

_KEPT = 300  # Points of a chart.
_RECENT_SECONDS = 60.0  # Quantiles and batch sizes cover this long.


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A worker's counters at one time, which is in seconds since the epoch."""

    at: float
    records: dict[str, float]
    dead: dict[str, float]
    latency: Buckets
    batches: Buckets
    commits: dict[str, float]
    tokens: float
    padded: float
    lag: float
    lag_seconds: float
    in_flight: float
    waiting: float
    paused: float
    loop_delay: float
    model: str


def snapshot(at: float, samples: Iterable[Sample]) -> Snapshot:
    """A snapshot from the samples of one page; missing metrics are 0."""
    by_name: dict[str, list[tuple[dict[str, str], float]]] = {}
    for name, labels, value in samples:
        by_name.setdefault(name, []).append((labels, value))

    def total(name: str) -> float:
        return sum(value for _, value in by_name.get(name, ()))

    def by(name: str, label: str) -> dict[str, float]:
        return {labels.get(label, ""): value for labels, value in by_name.get(name, ())}

    def buckets(name: str) -> Buckets:
        return {float(labels["le"]): value for labels, value in by_name.get(f"{name}_bucket", ())}

    model = next((labels for labels, _ in by_name.get("streamer_model_info", ())), {})
    return Snapshot(
        at=at,
        records=by("streamer_records_total", "outcome"),
        dead=by("streamer_dead_letters_total", "reason"),
        latency=buckets("streamer_latency_seconds"),
        batches=buckets("streamer_batch_reviews"),
        commits=by("streamer_commits_total", "outcome"),
        tokens=total("streamer_tokens_total"),
        padded=total("streamer_padded_tokens_total"),
        lag=total("streamer_lag_records"),
        lag_seconds=max((value for _, value in by_name.get("streamer_lag_seconds", ())), default=0.0),
        in_flight=total("streamer_tokens_in_flight"),
        waiting=total("streamer_reviews_waiting"),
        paused=total("streamer_paused_partitions"),
        loop_delay=total("streamer_loop_delay_max_seconds"),
        model=f"{model.get('name', '')} {model.get('version', '')}".strip(),
    )


def since(earlier: Buckets, later: Buckets) -> Buckets:
    """The buckets of the observations between two times."""
    return {bound: count - earlier.get(bound, 0.0) for bound, count in later.items()}


def shape(buckets: Buckets) -> list[tuple[str, int]]:
    """Each bucket's own count, with its upper bound as text."""
    bounds, below, found = sorted(buckets), 0.0, []
    for bound in bounds:
        found.append(("more" if bound == float("inf") else f"{bound:g}", int(buckets[bound] - below)))
        below = buckets[bound]
    return found


@dataclass
class Worker:
    """One worker over the last minutes."""

    url: str
    error: str | None = "not read yet"
    snapshots: deque[Snapshot] = field(default_factory=deque)
    points: deque[tuple[float, float, float, float | None, float | None]] = field(
        default_factory=lambda: deque(maxlen=_KEPT)
    )

    def observe(self, now: Snapshot) -> None:
        """Add a snapshot. If the counters have become smaller, the process is a new one."""
        if self.snapshots and sum(now.records.values()) < sum(self.snapshots[-1].records.values()):
            self.snapshots.clear()
        self.error = None
        self.snapshots.append(now)
        while len(self.snapshots) > 2 and self.snapshots[1].at <= now.at - _RECENT_SECONDS:
            self.snapshots.popleft()
        if len(self.snapshots) > 1:
            before = self.snapshots[-2]
            seconds = max(1e-3, now.at - before.at)
            rate = (sum(now.records.values()) - sum(before.records.values())) / seconds
            took = since(before.latency, now.latency)
            self.points.append((now.at, rate, now.lag, histogram_quantile(took, 0.5), histogram_quantile(took, 0.95)))

    def failed(self, why: str) -> None:
        """The worker did not answer."""
        self.error = why

    def as_json(self) -> dict[str, Any]:
        """For a page: figures of the last minute."""
        if not self.snapshots:
            return {"url": self.url, "error": self.error}
        first, last = self.snapshots[0], self.snapshots[-1]
        took, batches = since(first.latency, last.latency), since(first.batches, last.batches)
        padded = last.padded - first.padded
        return {
            "url": self.url,
            "error": self.error,
            "model": last.model,
            "rate": self.points[-1][1] if self.points else None,
            "records": last.records,
            "lag": last.lag,
            "lag_seconds": last.lag_seconds,
            "p50": histogram_quantile(took, 0.5),
            "p95": histogram_quantile(took, 0.95),
            "padding": (last.tokens - first.tokens) / padded if padded else None,
            "batches": shape(batches),
            "batch_median": histogram_quantile(batches, 0.5),
            "dead": {reason: count for reason, count in last.dead.items() if count},
            "commits": last.commits,
            "in_flight": last.in_flight,
            "waiting": last.waiting,
            "paused": last.paused,
            "loop_delay": last.loop_delay,
        }


@dataclass
class Workers:
    """All workers of the settings. `version` increases each time they are read."""

    workers: list[Worker]
    version: int = 0

    def points(self, after: float) -> list[list[float | None]]:
        """Time, reviews a second, lag and latencies of all workers together, after a time.

        Workers are read at the same times. A latency is that of the worst worker.
        """
        merged: dict[int, list[tuple[float, float, float, float | None, float | None]]] = {}
        for worker in self.workers:
            for point in worker.points:
                if point[0] > after:
                    merged.setdefault(round(point[0]), []).append(point)
        return [
            [at, sum(p[1] for p in points), sum(p[2] for p in points), _worst(points, 3), _worst(points, 4)]
            for at, points in sorted(merged.items())
        ]

    def as_json(self) -> list[dict[str, Any]]:
        """For a page: one entry for each worker."""
        return [worker.as_json() for worker in self.workers]


def _worst(points: Sequence[tuple[float, float, float, float | None, float | None]], place: int) -> float | None:
    return max((found for point in points if (found := point[place]) is not None), default=None)
