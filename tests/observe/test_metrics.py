"""Everything that the pipeline tells its observer reaches Prometheus."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamer.events import CommitOutcome, Message, Outcome, Outgoing, Reason, TopicPartition
from streamer.observe.metrics import CONTENT_TYPE, Durations, Metrics
from streamer.ports import Observer

PARTITION = TopicPartition("reviews", 3)
MESSAGE = Message("out", None, None, (), 0, 0)

# What each method of the observer is told, and the samples that must then have these values.
TOLD: dict[str, list[tuple[Callable[[Metrics], None], list[tuple[str, dict[str, str], float]]]]] = {
    "finished": [
        (
            lambda metrics: metrics.finished(
                [Outgoing(Outcome.LABELLED, MESSAGE, label="positive")] * 2, [0.2, 0.3], [7.0, 1.0]
            ),
            [
                ("streamer_records_total", {"outcome": "labelled"}, 2),
                ("streamer_labels_total", {"label": "positive"}, 2),
                ("streamer_latency_seconds_sum", {}, 0.5),
                ("streamer_age_seconds_sum", {}, 8.0),
            ],
        ),
        (
            lambda metrics: metrics.finished(
                [Outgoing(Outcome.DEAD_LETTER, MESSAGE, reason=Reason.NOT_JSON)], [0.2], [7.0]
            ),
            [
                ("streamer_records_total", {"outcome": "dead_letter"}, 1),
                ("streamer_dead_letters_total", {"reason": "not_json"}, 1),
                ("streamer_latency_seconds_count", {}, 1),
            ],
        ),
        (
            lambda metrics: metrics.finished(
                [Outgoing(Outcome.LABELLED, MESSAGE, None, "negative", "block", "abuse", (MESSAGE,))] * 2
                + [Outgoing(Outcome.LABELLED, MESSAGE, None, "positive", "allow")],
                [0.2] * 3,
                [7.0] * 3,
            ),
            [
                ("streamer_records_total", {"outcome": "labelled"}, 3),
                ("streamer_decisions_total", {"action": "block", "rule": "abuse"}, 2),
                ("streamer_decisions_total", {"action": "allow", "rule": ""}, 1),
            ],
        ),
        (
            lambda metrics: metrics.finished([Outgoing(Outcome.TOMBSTONE, MESSAGE)], [0.2], [7.0]),
            [("streamer_records_total", {"outcome": "tombstone"}, 1)],
        ),
    ],
    "stage": [
        (
            lambda metrics: metrics.stage("prepare", 0.5, 12),
            [
                ("streamer_stage_seconds_sum", {"stage": "prepare"}, 0.5),
                ("streamer_stage_reviews_total", {"stage": "prepare"}, 12),
            ],
        )
    ],
    "batch": [
        (
            lambda metrics: metrics.batch(8, 300, 400, 0.02),
            [
                ("streamer_batch_reviews_sum", {}, 8),
                ("streamer_batch_wait_seconds_sum", {}, 0.02),
                ("streamer_padding_efficiency_ratio_sum", {}, 0.75),
                ("streamer_tokens_total", {}, 300),
                ("streamer_padded_tokens_total", {}, 400),
            ],
        )
    ],
    "in_flight": [
        (
            lambda metrics: metrics.in_flight(900, 12, 2),
            [
                ("streamer_tokens_in_flight", {}, 900),
                ("streamer_reviews_waiting", {}, 12),
                ("streamer_paused_partitions", {}, 2),
            ],
        )
    ],
    "cache": [
        (lambda metrics: metrics.cache(True), [("streamer_cache_lookups_total", {"result": "hit"}, 1)]),
        (lambda metrics: metrics.cache(False), [("streamer_cache_lookups_total", {"result": "miss"}, 1)]),
    ],
    "lag": [
        (
            lambda metrics: metrics.lag(PARTITION, 40, 2.5),
            [
                ("streamer_lag_records", {"topic": "reviews", "partition": "3"}, 40),
                ("streamer_lag_seconds", {"topic": "reviews", "partition": "3"}, 2.5),
            ],
        )
    ],
    "revoked": [(lambda metrics: metrics.revoked([PARTITION]), [("streamer_rebalances_total", {}, 1)])],
    "commit": [
        (
            lambda metrics, outcome=outcome: metrics.commit(outcome),  # type: ignore[misc]
            [("streamer_commits_total", {"outcome": outcome.value}, 1)],
        )
        for outcome in CommitOutcome
    ],
    "loop_delay": [
        (
            lambda metrics: metrics.loop_delay(0.3),
            [("streamer_loop_delay_seconds_sum", {}, 0.3), ("streamer_loop_delay_max_seconds", {}, 0.3)],
        )
    ],
    "replaced": [
        (
            lambda metrics: metrics.replaced("event_time", "unreadable", 3),
            [("streamer_replaced_values_total", {"field": "event_time", "cause": "unreadable"}, 3.0)],
        )
    ],
}


def test_metrics_are_an_observer() -> None:
    """With all of its methods, each of which is tried below."""
    observer: Observer = Metrics()
    methods = {name for name, _ in inspect.getmembers(Observer, inspect.isfunction) if not name.startswith("_")}
    assert set(TOLD) == methods
    assert all(callable(getattr(observer, name)) for name in methods)


@pytest.mark.parametrize(
    ("tell", "samples"),
    [pytest.param(*case, id=f"{name}-{number}") for name, cases in TOLD.items() for number, case in enumerate(cases)],
)
def test_what_is_told_is_counted(
    tell: Callable[[Metrics], None], samples: list[tuple[str, dict[str, str], float]]
) -> None:
    """In the metric of that name, with these labels."""
    metrics = Metrics()
    tell(metrics)
    actual = [(name, labels, metrics.registry.get_sample_value(name, labels)) for name, labels, _ in samples]
    assert actual == samples


def test_the_lag_of_a_lost_partition_is_no_longer_shown() -> None:
    """Its new owner shows it; a partition whose lag was never told does no harm."""
    metrics = Metrics()
    metrics.lag(PARTITION, 40, 2.5)
    metrics.revoked([PARTITION, TopicPartition("reviews", 4)])
    assert b"streamer_lag_records{" not in metrics.render()
    assert b"streamer_lag_seconds{" not in metrics.render()


def test_losing_no_partition_is_no_rebalance() -> None:
    """Kafka tells of that too, at the first assignment."""
    metrics = Metrics()
    metrics.revoked([])
    assert metrics.registry.get_sample_value("streamer_rebalances_total") == 0


def test_the_longest_delay_stays() -> None:
    """Through shorter ones."""
    metrics = Metrics()
    for seconds in (0.1, 0.3, 0.2):
        metrics.loop_delay(seconds)
    assert metrics.registry.get_sample_value("streamer_loop_delay_max_seconds") == 0.3


def told() -> Metrics:
    """Metrics that were told everything once."""
    metrics = Metrics()
    for cases in TOLD.values():
        for tell, _ in cases:
            tell(metrics)
    return metrics


def test_names_follow_prometheus_s_rules() -> None:
    """One prefix, base units, `_total` for counters only, and a sentence of help."""
    for family in told().registry.collect():
        if family.name.startswith("process_"):
            continue  # prometheus_client's own, by the names that every exporter gives them.
        assert re.fullmatch(r"streamer(_[a-z]+)+", family.name)
        assert not re.search(r"_(ms|milliseconds|minutes|percent|bytes_|kb|count|sum|bucket|total)$", family.name)
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter") or sample.name.endswith("_created")
            assert all(re.fullmatch(r"[a-z]+", label) for label in sample.labels if label != "le")


def test_what_is_alerted_on_begins_at_0() -> None:
    """Prometheus sees no increase on a series that begins with its first event."""
    metrics = Metrics()
    for reason in Reason:
        assert metrics.registry.get_sample_value("streamer_dead_letters_total", {"reason": reason.value}) == 0
    for outcome in CommitOutcome:
        assert metrics.registry.get_sample_value("streamer_commits_total", {"outcome": outcome.value}) == 0
    assert metrics.registry.get_sample_value("streamer_model_reloads_total", {"outcome": "refused"}) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="prometheus_client reads /proc")
def test_the_process_s_memory_is_told() -> None:
    """With its CPU time and its start, by prometheus_client."""
    memory = Metrics().registry.get_sample_value("process_resident_memory_bytes")
    assert memory is not None
    assert memory > 10_000_000


def test_what_is_rendered_can_be_parsed() -> None:
    """By Prometheus's own parser, to the same families."""
    metrics = told()
    parsed = {family.name for family in text_string_to_metric_families(metrics.render().decode())}
    assert {family.name for family in metrics.registry.collect()} <= parsed


def test_the_content_type_is_that_of_the_text_format() -> None:
    """Scrapers go by it."""
    assert CONTENT_TYPE.startswith("text/plain; version=")


def test_many_durations_at_once_count_as_prometheus_clients_own_histogram_does() -> None:
    """On a bound, between two and above all of them."""
    bounds, values = (0.001, 0.5, 1, 60), [0.0, 0.001, 0.2, 1.0, 1.5, 60.0, 61.0]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    durations = Durations("d", "doc", bounds, ours)
    histogram = Histogram("d", "doc", buckets=bounds, registry=theirs)
    durations.observe(values)
    durations.observe([])
    for value in values:
        histogram.observe(value)
    expected = [line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line]
    assert generate_latest(ours).decode().splitlines() == expected
