"""One worker, from its start to its end: model, Kafka, pipeline, metrics. What `streamer run` runs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from streamer.kafka import AtLeastOnce, Consumer, ExactlyOnce, Publisher, read_backwards
from streamer.models.artefact import Manifest
from streamer.models.reload import Reloader
from streamer.models.torchscript import Model
from streamer.observe.metrics import CONTENT_TYPE, Metrics
from streamer.observe.pages import application, serve
from streamer.pipeline.pipeline import Pipeline
from streamer.ports import Tracer
from streamer.service.build import decoder, limits, moderation, serving_model, topics
from streamer.settings import Settings, SettingsError
from streamer.trends import CountBuffer
from streamer.trends.publisher import TrendDelivery, TrendPublisher

log = logging.getLogger(__name__)

# Reviews in flight are some ten objects each and make no cycles: to look through them whenever there are 700 more, the
# default, took a seventh of the event loop's time. aiokafka makes cycles, with buffers in them: so every few seconds.
_GC_OBJECTS = 100_000
_GC_SECONDS = 2.0
# How long closing the connections may take once everything is drained or given up.
_CLOSE_SECONDS = 5.0


async def work(
    settings: Settings,
    model: Model,
    metrics: Metrics,
    started: Callable[[Pipeline], None],
    again: Callable[[], Model] | None = None,
) -> None:
    """Run one worker until a signal stops it.

    1. Start the producer, then the consumer: nothing is read that cannot be published.
    2. Work. On SIGTERM or SIGINT stop reading, drain, commit; on a second one give up at once.
    3. Close the producer, then the consumer: the group hears of us until the very end.

    `started` is called with the pipeline once it runs; `again` loads the model anew when it has changed.
    Raises what the pipeline raises, and KafkaFault.
    """
    async with contextlib.AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(_traces(settings))
        consumer = Consumer(settings.kafka, settings.input.topic)
        stack.push_async_callback(_close, consumer.stop)
        count_buffer = CountBuffer(model.labels.columns) if settings.trends.enabled else None
        delivery = _delivery(settings, consumer, count_buffer, metrics)
        await delivery.start(*topics(settings))
        stack.push_async_callback(_close, delivery.stop)
        pipeline = Pipeline(
            consumer,
            delivery,
            model=serving_model(model, settings),
            decoder=decoder(settings),
            limits=limits(settings),
            observer=metrics,
            tracer=tracer,
            count_buffer=count_buffer,
            moderation=moderation(settings),
        )
        await consumer.start(pipeline.on_assigned, pipeline.on_revoked)
        await stack.enter_async_context(_pages(settings, metrics, pipeline))
        if again is not None:
            await stack.enter_async_context(_reloading(settings, model, again, pipeline, metrics))
        _stop_on_signals(pipeline)
        # What lives from here on is short-lived: the model and the libraries need no more looking through.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_OBJECTS, 10, 10)
        started(pipeline)
        async with _beside(_collect()):
            await pipeline.run()


def can_trace(settings: Settings) -> None:
    """Raises SettingsError where traces are asked for and OpenTelemetry is not installed."""
    if settings.tracing.enabled and not all(map(_installed, ("opentelemetry.sdk", "opentelemetry.exporter.otlp"))):
        raise SettingsError("tracing.enabled: needs OpenTelemetry: python -m pip install 'sentiment-streamer[tracing]'")


def _installed(module: str) -> bool:
    with contextlib.suppress(ModuleNotFoundError):  # Of what it is in.
        return importlib.util.find_spec(module) is not None
    return False


@contextlib.asynccontextmanager
async def _traces(settings: Settings) -> AsyncIterator[Tracer | None]:
    """Where spans go, until everything else is closed."""
    if not settings.tracing.enabled:
        yield None
        return
    from streamer.observe.tracing import start  # Of an extra, and a tenth of a second.

    spans = start(settings)
    try:
        yield spans
    finally:
        await spans.stop()


def _delivery(
    settings: Settings, consumer: Consumer, count_buffer: CountBuffer | None, metrics: Metrics
) -> AtLeastOnce | TrendDelivery | ExactlyOnce:
    kafka, compression = settings.kafka, settings.output.compression
    timeout = kafka.request_timeout_ms / 1000
    trends = None
    if count_buffer is not None:
        trends = TrendPublisher(
            settings.trend_topic,
            count_buffer,
            open_reader=lambda: read_backwards(kafka, settings.trend_topic, timeout),
            generation=lambda: consumer.generation,
            on_published=metrics.counted,
        )
    if settings.delivery == "exactly_once":
        return ExactlyOnce(
            kafka,
            compression,
            transaction_timeout_ms=kafka.transaction_timeout_ms,
            prefix=kafka.transactional_id_prefix,
            participant=trends,
        )
    publisher = Publisher(kafka, compression)
    delivery = AtLeastOnce(publisher, consumer)
    return delivery if trends is None else TrendDelivery(delivery, publisher, trends, timeout)


@contextlib.asynccontextmanager
async def _pages(settings: Settings, metrics: Metrics, pipeline: Pipeline) -> AsyncIterator[None]:
    if not settings.http.enabled:
        yield
        return
    stalled_after = settings.http.stalled_after_ms / 1000

    def render() -> bytes:
        metrics.ready.set(pipeline.not_ready_reason(stalled_after) is None)
        return metrics.render()

    pages = application(render, CONTENT_TYPE, lambda: pipeline.not_ready_reason(stalled_after))
    async with serve(pages, settings.http.host, settings.http.port):
        yield


@contextlib.asynccontextmanager
async def _reloading(
    settings: Settings, model: Model, again: Callable[[], Model], pipeline: Pipeline, metrics: Metrics
) -> AsyncIterator[None]:
    def load() -> tuple[Manifest, Callable[[], None]]:
        new = again()
        serving = serving_model(new, settings)
        return new.manifest, lambda: pipeline.swap(serving)

    reloader = Reloader(settings, model.manifest, load, metrics)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.ask)
    async with _beside(reloader.run()):
        yield


async def _collect() -> None:
    """Look through what is in flight for cycles that hold memory: some milliseconds, every few seconds."""
    while True:
        await asyncio.sleep(_GC_SECONDS)
        gc.collect()


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work that goes on until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()


async def _close(stop: Callable[[], object]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await stop()  # type: ignore[misc]  # A coroutine function.


def _stop_on_signals(pipeline: Pipeline) -> None:
    """The first signal drains; the second ends the process at once, uncommitted work to be read again."""
    loop = asyncio.get_running_loop()
    signalled = False

    def stop(number: int) -> None:
        nonlocal signalled
        if signalled:
            log.warning("second signal, ending at once")
            os._exit(128 + number)
        signalled = True
        log.info("%s: draining", signal.Signals(number).name)
        pipeline.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
