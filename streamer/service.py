"""One worker, put together from the settings: model, Kafka, pipeline, metrics. What `streamer run` runs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

from streamer.events import TopicPartition
from streamer.formats.decode import Decoder, value_format
from streamer.formats.encode import Encoder
from streamer.kafka import AtLeastOnce, Consumer, ExactlyOnce, Publisher, read_backwards
from streamer.labels import LabelSet
from streamer.models.artefact import BUNDLED, Manifest
from streamer.models.cost_table import measure_costs
from streamer.models.reload import Reloader
from streamer.models.torchscript import Model, load
from streamer.moderation.rules import Rule, Rules
from streamer.moderation.step import Moderation
from streamer.observe.cores import available_cores
from streamer.observe.metrics import CONTENT_TYPE, Metrics
from streamer.observe.pages import application, serve
from streamer.pipeline.inference import Predictor, ServingModel
from streamer.pipeline.limits import Limits
from streamer.pipeline.pipeline import Pipeline
from streamer.ports import Delivery, Source, Tracer
from streamer.settings import Settings, SettingsError
from streamer.trends import CountBuffer
from streamer.trends.publisher import TrendDelivery, TrendPublisher

log = logging.getLogger(__name__)

# What a batch costs besides the model: to choose it, to hand it over, and to publish its results by partition. Without
# it, batches of 55 reviews looked as good as ones of 100, and a review took 0.42 ms of CPU instead of 0.32.
_BATCH_SECONDS = 0.002
# Reviews in flight are some ten objects each and make no cycles: to look through them whenever there are 700 more, the
# default, took a seventh of the event loop's time. aiokafka makes cycles, with buffers in them: so every few seconds.
_GC_OBJECTS = 100_000
_GC_SECONDS = 2.0
# How long closing the connections may take once everything is drained or given up.
_CLOSE_SECONDS = 5.0
# A source without offsets is worked to its end, however slowly its results are written.
_NEVER_SECONDS = 1e8


def load_model(settings: Settings, workers: int = 1) -> Model:
    """The artefact of the settings, checked and loaded.

    Raises ModelError if it is refused, and SettingsError for settings that ask for what it does not have.
    """
    chosen = settings.model
    model = load(
        chosen.path or BUNDLED,
        chosen.device,
        chosen.precision,
        chosen.threads or max(1, available_cores() // (2 * workers)),
        settings.output.evidence_tokens,
        chosen.sha256,
    )
    low, high = chosen.uncertain_low, chosen.uncertain_high
    if not model.labels.binary and (low is not None or high is not None):
        raise SettingsError("model.uncertain_low, model.uncertain_high: only a model with two labels has such a band")
    try:
        model.labels = model.labels.with_band(low, high)
    except ValueError as error:
        raise SettingsError(f"model.uncertain_low, model.uncertain_high: {error} (one is the artefact's)") from None
    check_rule_labels(settings, model.labels)
    manifest = model.manifest
    log.info("model %s %s in %s on %s", manifest.name, manifest.version, model.precision, model.device)
    return model


def check_rule_labels(settings: Settings, labels: LabelSet) -> None:
    """Raises SettingsError for a moderation rule that asks for a label which the model does not have."""
    for rule in settings.moderation.rules:
        if set(rule.label) - set(labels.names):
            raise SettingsError(
                f"moderation.rules.{rule.name}.label: the model has no such label; it has {', '.join(labels.names)}"
            )


def predictor(model: Model, settings: Settings) -> Predictor:
    """The model as the pipeline sees it, with the cost of batches measured on this machine."""
    batching = settings.batching
    costs = measure_costs(model.predict, model.manifest.max_tokens, batching.max_reviews, batching.max_padded_tokens)
    columns = model.labels.columns
    return Predictor(model.vocabulary, model.manifest.max_tokens, model.predict, costs.plus(_BATCH_SECONDS), columns)


def serving_model(model: Model, settings: Settings) -> ServingModel:
    """What the pipeline swaps as one: the predictor, and the encoder that writes its results."""
    return ServingModel(predictor(model, settings), encoder(settings, model))


def decoder(settings: Settings) -> Decoder:
    """How the settings say to read input records."""
    given = settings.input
    return Decoder(
        value_format=value_format(given.format, given.text_field),
        id_field=given.id_field,
        event_time_field=given.event_time_field,
        group_field=given.group_field,
        max_bytes=given.max_bytes,
        keep_fields=any(rule.field is not None for rule in settings.moderation.rules),
    )


def moderation(settings: Settings) -> Moderation | None:
    """The moderation step with the rules of the settings, compiled; None where there are none."""
    given = [
        Rule(
            name=r.name,
            action=r.action,
            labels=r.label,
            score_min=r.score_min,
            score_max=r.score_max,
            groups=r.group,
            pattern=r.pattern,
            field=r.field,
            equals=r.equals,
        )
        for r in settings.moderation.rules
    ]
    return Moderation(Rules(given, settings.moderation.default)) if given else None


def topics(settings: Settings) -> tuple[str, ...]:
    """What the service writes to."""
    held = (settings.review_topic,) if settings.moderation.rules else ()
    return (settings.output.topic, settings.dead_letter_topic, *held)


def encoder(settings: Settings, model: Model) -> Encoder:
    """How the settings say to write results."""
    return Encoder(
        topic=settings.output.topic,
        dead_letter_topic=settings.dead_letter_topic,
        group_id=settings.kafka.group_id,
        model_name=model.manifest.name,
        model_version=model.manifest.version,
        include_input=settings.output.include_input,
        value_format=value_format(settings.input.format, settings.input.text_field),
        review_topic=settings.review_topic,
    )


def limits(settings: Settings) -> Limits:
    """The pipeline's bounds, in seconds instead of milliseconds."""
    batching, pipeline = settings.batching, settings.pipeline
    return Limits(
        bucketing=batching.policy == "length",
        max_wait=batching.max_wait_ms / 1000,
        max_reviews=batching.max_reviews,
        max_padded_tokens=batching.max_padded_tokens,
        max_tokens_in_flight=batching.max_tokens_in_flight,
        commit_interval=pipeline.commit_interval_ms / 1000,
        commit_records=pipeline.commit_max_records,
        revoke_timeout=pipeline.revoke_timeout_ms / 1000,
        drain_timeout=pipeline.drain_timeout_ms / 1000,
        cache_entries=settings.model.cache_entries,
        dead_letter_ratio=settings.dead_letters.max_ratio,
        dead_letter_window=settings.dead_letters.window,
    )


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
        count_buffer = CountBuffer() if settings.trends.enabled else None
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


async def label_all(settings: Settings, source: Source, partition: TopicPartition, delivery: Delivery) -> None:
    """Label all records of the one partition of a source that ends, without Kafka: a message each, held or not."""
    model = load_model(settings)
    bounds = replace(limits(settings), drain_timeout=_NEVER_SECONDS)
    writing = replace(encoder(settings, model), review_topic=None)
    pipeline = Pipeline(
        source,
        delivery,
        model=ServingModel(predictor(model, settings), writing),
        decoder=decoder(settings),
        limits=bounds,
        observer=Metrics(),
        moderation=moderation(settings),
    )
    await pipeline.on_assigned([partition])
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
