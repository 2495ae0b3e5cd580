"""Traces: what spans say and to whom they link, on hand-written ends, and by a real worker to a real collector."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from streamer.events import CommitOutcome, Headers, Prediction, Record
from streamer.observe.tracing import Spans, start
from streamer.pipeline.limits import Limits
from streamer.settings import Settings, SettingsError, load
from streamer.text import Encoded
from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.brokers.ports import ReservedPorts
from tests.checkers import check
from tests.collector import attributes, collecting
from tests.jobs import Job
from tests.pipeline.test_pipeline import FIRST, review
from tests.pipeline.test_pipeline import running as pipeline
from tests.texts import reviews
from tests.workers import running


def spans_to(exporter: SpanExporter, ratio: float = 1.0, links: int = 32) -> Spans:
    tracing = {"enabled": True, "sample_ratio": ratio, "max_links": links}
    return Spans(Settings.model_validate({"tracing": tracing, "kafka": {"group_id": "judges"}}), exporter)


def parent(number: int, flags: str = "01") -> tuple[str, bytes]:
    return "traceparent", f"00-{number:032x}-00f067aa0ba902b7-{flags}".encode()


def record(offset: int, *headers: tuple[str, bytes | None]) -> Record:
    return Record("reviews", 2, offset, 0, b"k", b"a text that stays here", headers)


async def ended(spans: Spans, exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    await spans.stop()
    return list(exporter.get_finished_spans())


def linked(span: ReadableSpan) -> list[int]:
    return [link.context.trace_id for link in span.links]


async def test_a_batch_and_a_commit_are_spans() -> None:
    """By the semantic conventions for messaging, each the root of a trace of its own."""
    exporter = InMemorySpanExporter()
    spans = spans_to(exporter)
    async with pipeline(tracer=spans) as bench:
        bench.source.put(FIRST, review("good good"), review("bad"))
        await bench.until(sent=2)
    found = await ended(spans, exporter)
    batches = [span for span in found if span.name == "infer reviews"]
    commits = [span for span in found if span.name == "commit reviews"]
    assert len(batches) + len(commits) == len(found)
    assert {span.kind for span in batches} == {SpanKind.CONSUMER}
    assert {span.kind for span in commits} == {SpanKind.CLIENT}
    assert all(span.parent is None and span.status.status_code is StatusCode.UNSET for span in found)
    assert len({span.context.trace_id for span in found if span.context}) == len(found)
    for span in found:
        said = dict(span.attributes or {})
        assert said["messaging.system"] == "kafka"
        assert said["messaging.destination.name"] == "reviews"
        assert said["messaging.consumer.group.name"] == "judges"
    told = [dict(span.attributes or {}) for span in batches]
    assert sum(int(str(said["messaging.batch.message_count"])) for said in told) == 2
    assert sum(int(str(said["streamer.batch.tokens"])) for said in told) == 3
    assert {said["messaging.operation.type"] for said in told} == {"process"}
    (committed,) = [dict(span.attributes or {}) for span in commits]
    assert (committed["messaging.operation.type"], committed["streamer.commit.outcome"]) == ("settle", "done")


async def test_links_say_whose_reviews_are_in_a_batch() -> None:
    """Trace and span as in `traceparent`, with the record's place; not to what upstream has not sampled."""
    exporter = InMemorySpanExporter()
    spans = spans_to(exporter)
    records = [
        record(7, parent(1), ("tracestate", b"a=b")),
        record(8),
        record(9, parent(2, "00")),
        record(10, parent(3)),
    ]
    with spans.infer(records, 4, 40, 10):
        pass
    (span,) = await ended(spans, exporter)
    assert linked(span) == [1, 3]
    link = span.links[0]
    assert (link.context.span_id, link.context.trace_state.get("a")) == (0x00F067AA0BA902B7, "b")
    assert dict(link.attributes or {}) == {"messaging.destination.partition.id": "2", "messaging.kafka.offset": 7}


@pytest.mark.parametrize("links", [0, 1, 3])
async def test_links_are_capped(links: int) -> None:
    """The first ones are kept, and no more records are looked at."""
    exporter = InMemorySpanExporter()
    spans = spans_to(exporter, links=links)
    looked = iter([record(number, parent(number)) for number in range(1, 6)])
    with spans.infer(looked, 5, 50, 10):
        pass
    (span,) = await ended(spans, exporter)
    assert linked(span) == list(range(1, links + 1))
    assert len(list(looked)) == 5 - links - 1


async def test_sampling_is_decided_at_the_head() -> None:
    """Of what is not sampled nothing is sent, and no record is looked at."""
    exporter = InMemorySpanExporter()
    spans = spans_to(exporter, ratio=0.0)
    looked = iter([record(1, parent(1))])
    with spans.infer(looked, 1, 10, 10), spans.commit({FIRST: 1}) as tell:
        tell(CommitOutcome.FAILED)
    assert await ended(spans, exporter) == []
    assert len(list(looked)) == 1


async def test_a_share_is_sampled() -> None:
    """About as many as asked for."""
    exporter = InMemorySpanExporter()
    spans = spans_to(exporter, ratio=0.25)
    for _ in range(400):
        with spans.commit({}):
            pass
    assert 50 < len(await ended(spans, exporter)) < 150


async def test_an_error_leaves_its_type_and_not_its_words() -> None:
    """They might quote the review."""
    exporter = InMemorySpanExporter()
    spans = spans_to(exporter)
    with pytest.raises(RuntimeError), spans.infer([record(1)], 1, 10, 10):
        raise RuntimeError("a text that stays here")
    (span,) = await ended(spans, exporter)
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "RuntimeError"
    assert "a text" not in span.to_json()


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (CommitOutcome.DONE, StatusCode.UNSET),
        (CommitOutcome.SKIPPED, StatusCode.UNSET),
        (CommitOutcome.FAILED, StatusCode.ERROR),
    ],
)
async def test_a_commit_that_failed_is_an_error(outcome: CommitOutcome, status: StatusCode) -> None:
    """One that was skipped is another worker's to do."""
    exporter = InMemorySpanExporter()
    spans = spans_to(exporter)
    with spans.commit({FIRST: 1}) as tell:
        tell(outcome)
    (span,) = await ended(spans, exporter)
    assert (span.status.status_code, (span.attributes or {})["streamer.commit.outcome"]) == (status, outcome.value)


ANY_HEADER = st.tuples(st.sampled_from(["traceparent", "tracestate", "x"]), st.none() | st.binary(max_size=600))
SPARE = spans_to(InMemorySpanExporter())


@given(st.lists(ANY_HEADER | st.just(parent(7)), max_size=4).map(tuple))
def test_no_header_is_too_strange(headers: Headers) -> None:
    """Whatever upstream writes, the batch is judged."""
    with SPARE.infer([record(1, *headers)], 1, 10, 10):
        pass


class Stuck(SpanExporter):
    """A collector that never answers."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        time.sleep(3600)
        return SpanExportResult.FAILURE


async def test_a_collector_that_never_answers_holds_nobody_up() -> None:
    """Spans are dropped, the pipeline works on, and stopping takes two seconds."""
    spans = spans_to(Stuck())

    def predict(reviews: Sequence[Encoded]) -> list[Prediction]:
        return [Prediction("positive", 0.9, 0.9, len(review), False) for review in reviews]

    async with pipeline(Limits(cache_entries=0, max_reviews=1), predict, spans) as bench:
        bench.source.put(FIRST, *[review("good")] * 700)  # More batches than the queue has room for.
        async with asyncio.timeout(60):
            while len(bench.delivery.sent) < 700:
                await asyncio.sleep(0.01)
    begin = time.monotonic()
    await spans.stop()
    assert 1.5 < time.monotonic() - begin < 10


# The settings


@pytest.mark.parametrize(
    "endpoint", ["collector:4318", "grpc://collector:4317", "http://", "http://u:p@collector:4318"]
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    """By name, without quoting it: it may hold a password."""
    with pytest.raises(SettingsError, match=r"^tracing .*endpoint must") as caught:
        load({"tracing": {"endpoint": endpoint}})
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_BSP_MAX_QUEUE_SIZE", "-1"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000")]
)
def test_a_standard_variable_that_is_wrong_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Rather than a traceback."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="OTEL"):
        start(load({"tracing": {"enabled": True}}))


_WITHOUT = "import sys; sys.modules['opentelemetry'] = None; from streamer.cli import app; app(['run'])"


def test_without_the_extra_the_command_says_what_to_install() -> None:
    """With exit code 2, before the model is loaded."""
    environment = os.environ | {"STREAMER_TRACING__ENABLED": "true"}
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "python -m pip install 'sentiment-streamer[tracing]'" in done.stderr
    assert "Traceback" not in done.stderr


# A real worker, a real broker


@pytest.fixture
def job(cluster: Cluster, make_topic: MakeTopic) -> Job:
    job = Job(cluster, make_topic, partitions=3)
    job.settings |= {
        "STREAMER_TRACING__ENABLED": "true",
        "STREAMER_TRACING__SAMPLE_RATIO": "1",
        "STREAMER_TRACING__MAX_LINKS": "128",
        "STREAMER_BATCHING__MAX_REVIEWS": "64",
    }
    return job


@pytest.mark.slow
@pytest.mark.requires("storage")
def test_spans_of_a_worker_reach_a_collector(job: Job, tmp_path: Path) -> None:
    """Over OTLP: every review is linked to the trace that it came with, and leaves with the same header."""
    with collecting() as collector:
        job.settings |= {"STREAMER_TRACING__ENDPOINT": collector.endpoint, "OTEL_SERVICE_NAME": "judges"}
        produced = job.fill(500)
        with running(job.environment, tmp_path / "log") as worker:
            worker.wait_for(500)
            assert worker.stop() == 0, worker.log
    results = job.results(500)
    check(produced, results).assert_clean()
    assert {path for path, _ in collector.requests} == {"/v1/traces"}
    assert collector.resource["service.name"] == "judges"
    batches = [span for span in collector.spans if span.name == f"infer {job.input}"]
    assert sum(int(attributes(span)["messaging.batch.message_count"]) for span in batches) == 500
    links = [(link.trace_id.hex(), link.span_id.hex()) for span in batches for link in span.links]
    headers = [(dict(result.headers)["traceparent"] or b"").decode().split("-") for result in results]
    # One of them is the trace of number 0, which is no trace.
    assert sorted(links) == sorted((trace, span) for _, trace, span, _ in headers if int(trace, 16))
    assert len(links) == 499
    commits = [span for span in collector.spans if span.name == f"commit {job.input}"]
    assert "done" in {attributes(span)["streamer.commit.outcome"] for span in commits}
    sent = b"".join(body for _, body in collector.requests)
    assert not any(text[:12].encode() in sent for text in reviews(500) if len(text) >= 12)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["away", "silent"])
@pytest.mark.requires("storage")
def test_a_worker_needs_no_collector(job: Job, tmp_path: Path, fault: str) -> None:
    """It labels, drains and ends with 0, in time, and its log is not full of it."""
    with collecting(silent=True) as collector, ReservedPorts(1) as reserved:
        away = f"http://127.0.0.1:{reserved.ports[0]}"
        job.settings |= {"STREAMER_TRACING__ENDPOINT": away if fault == "away" else collector.endpoint}
        produced = job.fill(500)
        with running(job.environment, tmp_path / "log") as worker:
            worker.wait_for(500)
            begin = time.monotonic()
            assert worker.stop() == 0, worker.log
            assert time.monotonic() - begin < 20
        assert len(worker.log.splitlines()) < 30, worker.log
        assert bool(collector.requests) == (fault == "silent")
    check(produced, job.results(500)).assert_clean()
    job.assert_offsets_at_the_end()
