"""The worker's metrics, for Prometheus. All of them are in one table: `Metrics.__init__`."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import accumulate
from threading import Lock

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from streamer.events import REPLACED_VALUES, CommitOutcome, Outcome, Outgoing, Reason, TopicPartition

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_DELAYS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SHARES = (0, 0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1)
_RATIOS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)


def parse(page: str) -> list[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each sample on a worker's `/metrics`. Raises ValueError if the page is not valid."""
    return [
        (sample.name, dict(sample.labels), float(sample.value))
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]


class Durations(Collector):
    """A histogram that accepts many values at once: prometheus_client's takes 1.4 us for each, this one 0.2."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        """`buckets` are the upper bounds, in seconds, ascending, without infinity."""
        self._family = partial(HistogramMetricFamily, name, documentation)
        self._bounds = (*map(float, buckets), float("inf"))
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        self._lock = Lock()
        registry.register(self)

    def observe(self, values: Sequence[float]) -> None:
        """Count values, in seconds; bounds are inclusive."""
        with self._lock:
            for value in values:
                self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += sum(values)

    def collect(self) -> Iterable[Metric]:
        """The current histogram."""
        with self._lock:
            counts, total = list(accumulate(self._counts)), self._sum
        names = [*map(str, self._bounds[:-1]), "+Inf"]
        buckets = [(name, float(count)) for name, count in zip(names, counts, strict=True)]
        yield self._family(buckets=buckets, sum_value=total)


class Metrics:
    """Implements `streamer.ports.Observer`. Thread-safe, as prometheus_client is."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        counter, gauge, histogram = Counter, Gauge, Histogram
        # fmt: off
        self.records = counter("streamer_records", "Records finished, by outcome: labelled, tombstone, dead_letter, skipped.", ["outcome"], registry=registry)
        self.labels = counter("streamer_labels", "Results published, by label.", ["label"], registry=registry)
        self.dead_letters = counter("streamer_dead_letters", "Dead letters published, by reason.", ["reason"], registry=registry)
        self.replaced_values = counter("streamer_replaced_values", "Values that could not be used and were replaced, by field and cause.", ["field", "cause"], registry=registry)
        self.decisions = counter("streamer_decisions", "Results published, by moderation's action and rule; the rule is empty if none matched.", ["action", "rule"], registry=registry)
        self.latency = Durations("streamer_latency_seconds", "From reading a record to its result's acknowledgement.", _SECONDS, registry)
        self.age = Durations("streamer_age_seconds", "From a record's timestamp to its result's acknowledgement.", _SECONDS, registry)
        self.coverage = Durations("streamer_coverage_ratio", "Share of a review's words that the model knows.", _SHARES, registry)
        self.stage_seconds = histogram("streamer_stage_seconds", "Time of a stage for one chunk or batch.", ["stage"], buckets=_SECONDS, registry=registry)
        self.stage_reviews = counter("streamer_stage_reviews", "Reviews that went through a stage.", ["stage"], registry=registry)
        self.batch_reviews = histogram("streamer_batch_reviews", "Reviews in a batch.", buckets=_SIZES, registry=registry)
        self.batch_wait = histogram("streamer_batch_wait_seconds", "Wait of a batch's oldest review for its batch.", buckets=_SECONDS, registry=registry)
        self.padding = histogram("streamer_padding_efficiency_ratio", "Real tokens over tokens with padding, by batch.", buckets=_RATIOS, registry=registry)
        self.tokens = counter("streamer_tokens", "Tokens given to the model, without padding.", registry=registry)
        self.padded_tokens = counter("streamer_padded_tokens", "Tokens given to the model, padding included.", registry=registry)
        self.tokens_in_flight = gauge("streamer_tokens_in_flight", "Tokens admitted but not yet published.", registry=registry)
        self.reviews_waiting = gauge("streamer_reviews_waiting", "Reviews waiting for a batch.", registry=registry)
        self.paused_partitions = gauge("streamer_paused_partitions", "Partitions paused because too much is in flight.", registry=registry)
        self.lag_records = gauge("streamer_lag_records", "Records behind the end of the partition.", ["topic", "partition"], registry=registry)
        self.lag_seconds = gauge("streamer_lag_seconds", "Age of the last published record while there is lag.", ["topic", "partition"], registry=registry)
        self.cache_lookups = counter("streamer_cache_lookups", "Lookups in the cache of predictions, by result: hit, miss.", ["result"], registry=registry)
        self.commits = counter("streamer_commits", "Offset commits, by outcome: done, skipped, failed.", ["outcome"], registry=registry)
        self.rebalances = counter("streamer_rebalances", "Number of times that partitions were revoked.", registry=registry)
        self.loop_delay_seconds = histogram("streamer_loop_delay_seconds", "How much later than scheduled the event loop resumed.", buckets=_DELAYS, registry=registry)
        self.loop_delay_max = gauge("streamer_loop_delay_max_seconds", "The longest such delay since the start.", registry=registry)
        self.tasks = gauge("streamer_tasks", "Tasks of the event loop, including those that serve this page.", registry=registry)
        self.model_info = gauge("streamer_model_info", "1 for the model in use.", ["name", "version"], registry=registry)
        self.model_reloads = counter("streamer_model_reloads", "Reloads of the artefact, by outcome: done, unchanged, refused.", ["outcome"], registry=registry)
        self.trend_messages = counter("streamer_trend_messages", "Messages published to the trends topic.", registry=registry)
        self.trend_cells = counter("streamer_trend_cells", "Cells in these messages: one for each second of event time and group.", registry=registry)
        self.ready = gauge("streamer_ready", "1 while `/health/ready` answers 200, else 0.", registry=registry)
        # fmt: on
        ProcessCollector(registry=registry)
        self.tasks.set_function(_tasks)
        self._longest_delay = 0.0
        # Start at 0: Prometheus sees an increase only in a series that already exists.
        for outcome in Outcome:
            self.records.labels(outcome.value)
        for reason in Reason:
            self.dead_letters.labels(reason.value)
        for replaced in REPLACED_VALUES:
            self.replaced_values.labels(*replaced)
        for ended in CommitOutcome:
            self.commits.labels(ended.value)
        for reloaded in ("done", "unchanged", "refused"):
            self.model_reloads.labels(reloaded)

    def render(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def finished(
        self, outgoings: Sequence[Outgoing], since_read: Sequence[float], since_created: Sequence[float]
    ) -> None:
        """Results were acknowledged; there is one time for each."""
        # Counted here first: looking up a child by its labels and adding to it takes 3 us, too much for each record.
        kinds = Counts((o.outcome, o.label, o.reason, o.action, o.rule) for o in outgoings)
        for (outcome, label, reason, action, rule), count in kinds.items():
            self.records.labels(outcome.value).inc(count)
            if outcome is Outcome.LABELLED:
                self.labels.labels(label).inc(count)
            elif outcome is Outcome.DEAD_LETTER:
                self.dead_letters.labels(reason).inc(count)
            if action is not None:
                self.decisions.labels(action, rule or "").inc(count)
        self.latency.observe(since_read)
        self.age.observe(since_created)
        self.coverage.observe([o.coverage for o in outgoings if o.coverage is not None])

    def replaced(self, field: str, cause: str, count: int) -> None:
        """Values could not be used."""
        self.replaced_values.labels(field, cause).inc(count)

    def outcomes(self) -> dict[str, int]:
        """Records by outcome, as `skipped`, and values that could not be used, as `event_time unreadable`; no zeros."""
        found: dict[str, int] = {}
        for counter in (self.records, self.replaced_values):
            for sample in next(iter(counter.collect())).samples:
                if sample.name.endswith("_total") and sample.value:
                    found[" ".join(sample.labels.values())] = int(sample.value)
        return found

    def stage(self, name: str, seconds: float, reviews: int) -> None:
        """A stage has processed a chunk or a batch."""
        self.stage_seconds.labels(name).observe(seconds)
        self.stage_reviews.labels(name).inc(reviews)

    def batch(self, reviews: int, tokens: int, padded: int, waited: float) -> None:
        """A batch goes to the device; `padded` is its tokens with padding."""
        self.batch_reviews.observe(reviews)
        self.batch_wait.observe(waited)
        self.padding.observe(tokens / padded)
        self.tokens.inc(tokens)
        self.padded_tokens.inc(padded)

    def in_flight(self, tokens: int, waiting: int, paused: int) -> None:
        """The records that the worker holds now."""
        self.tokens_in_flight.set(tokens)
        self.reviews_waiting.set(waiting)
        self.paused_partitions.set(paused)

    def cache(self, hit: bool) -> None:
        """A prediction was looked up in the cache."""
        self.cache_lookups.labels("hit" if hit else "miss").inc()

    def lag(self, partition: TopicPartition, records: int, seconds: float) -> None:
        """How far behind a partition is."""
        self.lag_records.labels(*map(str, partition)).set(records)
        self.lag_seconds.labels(*map(str, partition)).set(seconds)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Partitions now belong to another worker: stop reporting their lag."""
        self.rebalances.inc(bool(partitions))
        for partition in partitions:
            for metric in (self.lag_records, self.lag_seconds):
                metric.remove(*map(str, partition))

    def commit(self, outcome: CommitOutcome) -> None:
        """A commit has ended."""
        self.commits.labels(outcome.value).inc()

    def counted(self, messages: int, cells: int) -> None:
        """Counts were published for the trends."""
        self.trend_messages.inc(messages)
        self.trend_cells.inc(cells)

    def loop_delay(self, seconds: float) -> None:
        """The event loop resumed late."""
        self.loop_delay_seconds.observe(seconds)
        self._longest_delay = max(self._longest_delay, seconds)
        self.loop_delay_max.set(self._longest_delay)

    def model(self, name: str, version: str) -> None:
        """This model is now in use."""
        self.model_info.clear()
        self.model_info.labels(name, version).set(1)

    def reload(self, outcome: str) -> None:
        """An artefact was reloaded."""
        self.model_reloads.labels(outcome).inc()


def _tasks() -> int:
    """The number of tasks of the running event loop; 0 if there is none."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
