"""What traces cost a batch of 128 reviews, all of them from traces of their own: `python -m benchmarks.tracing`.

CPU time of the thread that infers, and the memory of a span that waits to be sent.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from streamer.events import Record
from streamer.observe.tracing import Spans
from streamer.ports import NullTracer, Tracer
from streamer.settings import Settings

_REVIEWS = 128
_RECORDS = [
    Record("reviews", i % 6, i, 0, b"k", b"{}", (("traceparent", b"00-%032x-00f067aa0ba902b7-01" % (i + 1)),))
    for i in range(_REVIEWS)
]


class _Sink(SpanExporter):
    """Takes spans, after so many seconds each time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        time.sleep(self._seconds)
        return SpanExportResult.SUCCESS


def microseconds(tracer: Tracer, batches: int) -> float:
    """CPU time for a batch."""
    begin = time.thread_time()
    for _ in range(batches):
        with tracer.infer((record for record in _RECORDS), _REVIEWS, 5000, 60):
            pass
    return (time.thread_time() - begin) / batches * 1e6


def spans(ratio: float, links: int, sink: SpanExporter) -> Spans:
    """Spans to the sink."""
    return Spans(Settings.model_validate({"tracing": {"sample_ratio": ratio, "max_links": links}}), sink)


def kilobytes(links: int, count: int = 100) -> float:
    """Memory of a span that waits."""
    tracer = spans(1.0, links, _Sink(3600))
    tracemalloc.start()
    microseconds(tracer, count)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held / count / 1024


def main() -> None:
    print(f"off: {microseconds(NullTracer(), 200_000):.1f} us a batch")
    for links in (32, 128):
        for ratio in (0.1, 1.0):
            cost = microseconds(spans(ratio, links, _Sink(0)), 500)
            print(f"sample_ratio {ratio}, max_links {links}: {cost:.0f} us a batch")
        print(f"max_links {links}: {kilobytes(links):.0f} KB a span")


if __name__ == "__main__":
    main()
