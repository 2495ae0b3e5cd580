"""OpenTelemetry traces: a span for each batch, linked to the traces of its records, and one for each commit.

Names and attributes are those of the semantic conventions for messaging (opentelemetry.io/docs/specs/semconv/messaging,
still in development there); other attributes begin with `streamer.`. A span contains the position of a review's
record, but never its text, its key or an error's message.

Spans wait in a bounded queue, and a separate thread sends them. If the collector is unreachable or slow, they are
dropped. Nothing waits for them except `stop`, for two seconds at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Thread
from urllib.parse import urlsplit
from uuid import uuid4

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streamer import __version__
from streamer.events import CommitOutcome, Record, TopicPartition
from streamer.settings import Settings, SettingsError

SERVICE = "sentiment-streamer"
_TRACES_PATH = "/v1/traces"
_FLUSH_SECONDS = 2.0
# A span with 32 links is 26 KB, and the SDK's default is four times as many.
_QUEUE = 512
_ROOT = Context()  # Each span begins its own trace: a batch has as many parents as reviews.
_PROPAGATOR = TraceContextTextMapPropagator()


def start(settings: Settings) -> Spans:
    """Spans that are sent to `tracing.endpoint` or that of `OTEL_EXPORTER_OTLP_*`. Raises SettingsError."""
    endpoint = settings.tracing.endpoint
    if endpoint is not None and urlsplit(endpoint).path in ("", "/"):
        endpoint = endpoint.rstrip("/") + _TRACES_PATH
    try:
        return Spans(settings, OTLPSpanExporter(endpoint))
    except ValueError as error:  # One of the standard variables.
        raise SettingsError(f"tracing: OTEL_* variables: {error}") from None


class Spans:
    """Implements `streamer.ports.Tracer`."""

    def __init__(self, settings: Settings, exporter: SpanExporter) -> None:
        """Raises ValueError if the SDK's own variables are invalid."""
        tracing, kafka = settings.tracing, settings.kafka
        self._topic = settings.input.topic
        self._links = tracing.max_links
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(tracing.sample_ratio),
            resource=_resource(),
            shutdown_on_exit=False,  # It would wait for an unreachable collector.
            span_limits=SpanLimits(max_links=max(1, tracing.max_links)),
        )
        chosen = {OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE} & os.environ.keys()
        self._provider.add_span_processor(BatchSpanProcessor(exporter, None if chosen else _QUEUE))
        self._tracer = self._provider.get_tracer("streamer", __version__)
        self._common = {
            "messaging.system": "kafka",
            "messaging.destination.name": self._topic,
            "messaging.consumer.group.name": kafka.group_id,
            "messaging.client.id": kafka.client_id,
        }

    @contextlib.contextmanager
    def infer(self, records: Iterable[Record], reviews: int, tokens: int, length: int) -> Iterator[None]:
        """A span of kind consumer, linked to the records' trace contexts, up to `tracing.max_links`."""
        span = self._tracer.start_span(f"infer {self._topic}", _ROOT, SpanKind.CONSUMER)
        if not span.is_recording():
            yield
            return
        with _ended(span):
            span.set_attributes(
                self._common
                | {
                    "messaging.operation.name": "infer",
                    "messaging.operation.type": "process",
                    "messaging.batch.message_count": reviews,
                    "streamer.batch.tokens": tokens,
                    "streamer.batch.padded_tokens": reviews * length,
                    "streamer.batch.longest": length,
                }
            )
            self._link(span, records)
            yield

    @contextlib.contextmanager
    def commit(self, positions: Mapping[TopicPartition, int]) -> Iterator[Callable[[CommitOutcome], None]]:
        """A span of kind client; a failed commit is an error, a skipped one is not."""
        span = self._tracer.start_span(f"commit {self._topic}", _ROOT, SpanKind.CLIENT)

        def ended(outcome: CommitOutcome) -> None:
            span.set_attribute("streamer.commit.outcome", outcome.value)
            if outcome is CommitOutcome.FAILED:
                span.set_attribute("error.type", outcome.value)
                span.set_status(Status(StatusCode.ERROR))

        with _ended(span):
            span.set_attributes(
                self._common
                | {
                    "messaging.operation.name": "commit",
                    "messaging.operation.type": "settle",
                    "streamer.commit.partitions": len(positions),
                }
            )
            yield ended

    async def stop(self) -> None:
        """Send the remaining spans within two seconds; spans not sent by then are dropped."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # The loop has closed without waiting.
                loop.call_soon_threadsafe(done.set)

        # Neither the loop nor the interpreter waits for a daemon thread at exit.
        Thread(target=shut_down, name="spans", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await done.wait()

    def _link(self, span: Span, records: Iterable[Record]) -> None:
        left = self._links
        for record in records:
            if not left:
                return
            context = _context(record)
            if context is not None:
                where: dict[str, str | int] = {
                    "messaging.destination.partition.id": str(record.partition),
                    "messaging.kafka.offset": record.offset,
                }
                span.add_link(context, where)
                left -= 1


def _context(record: Record) -> SpanContext | None:
    """The context in the record's `traceparent` (W3C Trace Context); None if there is none or it is not sampled."""
    carrier = {
        name: value.decode("ascii", "replace")
        for name, value in record.headers
        if value is not None and name in ("traceparent", "tracestate")
    }
    if "traceparent" not in carrier:
        return None
    context = get_current_span(_PROPAGATOR.extract(carrier, _ROOT)).get_span_context()
    return context if context.is_valid and context.trace_flags.sampled else None


@contextlib.contextmanager
def _ended(span: Span) -> Iterator[None]:
    """Ends the span. Records only the type of an error, since its message might quote the text."""
    try:
        yield
    except BaseException as error:
        span.set_attribute("error.type", type(error).__qualname__)
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        span.end()


def _resource() -> Resource:
    """The attributes of this service; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` take precedence."""
    ours = {"service.name": SERVICE, "service.version": __version__, "service.instance.id": str(uuid4())}
    return Resource.create(ours).merge(OTELResourceDetector().detect())
