"""The pipeline without Kafka: what labels files, and tries rules on them."""

from __future__ import annotations

from dataclasses import replace

from streamer.events import TopicPartition
from streamer.observe.metrics import Metrics
from streamer.pipeline.inference import ServingModel
from streamer.pipeline.pipeline import Pipeline
from streamer.ports import Delivery, Source
from streamer.service.build import decoder, encoder, limits, load_model, moderation, predictor
from streamer.settings import Settings

# A source without offsets is worked to its end, however slowly its results are written.
_NEVER_SECONDS = 1e8


async def label_all(settings: Settings, source: Source, partition: TopicPartition, delivery: Delivery) -> Metrics:
    """Label all records of the one partition of a source that ends, without Kafka: a message each, held or not.

    Returns what was counted.
    """
    model = load_model(settings)
    bounds = replace(limits(settings), drain_timeout=_NEVER_SECONDS)
    writing = replace(encoder(settings, model), review_topic=None)
    metrics = Metrics()
    pipeline = Pipeline(
        source,
        delivery,
        model=ServingModel(predictor(model, settings), writing),
        decoder=decoder(settings),
        limits=bounds,
        observer=metrics,
        moderation=moderation(settings),
    )
    await pipeline.on_assigned([partition])
    await pipeline.run()
    return metrics
