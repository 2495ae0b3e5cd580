"""An OpenTelemetry collector for the tests: takes OTLP over HTTP on loopback, and keeps the spans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What was sent to it, as bytes and as spans; `silent`, it takes requests and never answers."""

    def __init__(self, silent: bool = False) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.over = Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.requests.append((self.path, body))
                if silent:
                    collector.over.wait()
                    return
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def spans(self) -> list[Span]:
        """All of them, in the order of their coming."""
        return [
            span
            for _, body in self.requests
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, str | int]:
        """Who sent the first of them."""
        return attributes(ExportTraceServiceRequest.FromString(self.requests[0][1]).resource_spans[0].resource)


def attributes(of: object) -> dict[str, str | int]:
    """The attributes of a span, a link or a resource; text and integers."""
    pairs: list[KeyValue] = list(of.attributes)  # type: ignore[attr-defined]  # Generated, without a common type.
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in pairs}


@contextmanager
def collecting(silent: bool = False) -> Iterator[Collector]:
    """A collector that listens until the block ends."""
    collector = Collector(silent)
    thread = Thread(target=collector.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.over.set()
        collector.server.shutdown()
        collector.server.server_close()
        thread.join()
