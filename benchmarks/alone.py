"""The pipeline's stages one at a time, each on what the one before it made, timed in core-seconds."""

from __future__ import annotations

import asyncio
import gc
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeVar

import torch
import uvloop

from streamer.events import Message, Prediction, Record, Review, TopicPartition
from streamer.formats.encode import Encoder
from streamer.kafka import Consumer, Publisher
from streamer.models.torchscript import Model
from streamer.pipeline.batching import Batch, Bucketer
from streamer.pipeline.in_flight import CHUNK
from streamer.pipeline.inference import Predictor
from streamer.pipeline.publishing import UNACKNOWLEDGED
from streamer.pipeline.reading import POLL_SECONDS
from streamer.service.build import decoder, encoder, limits
from streamer.settings import Settings
from streamer.text import Encoded, normalise_all, visible_text
from streamer.text.words import split_all

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Spent:
    """Core-seconds over all threads of this process, and seconds on the wall."""

    cpu: float
    wall: float


Stage = Callable[[], Spent]


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def read(self) -> Spent:
        """Spent so far."""
        return Spent(time.process_time() - self._cpu, time.perf_counter() - self._wall)


@dataclass(frozen=True, slots=True)
class Way:
    """What each stage makes of the reviews, for the next one to take. Batches are of numbers of reviews."""

    records: Sequence[Record]
    reviews: Sequence[Review]
    encoded: Sequence[Encoded]
    batches: Sequence[Batch[int]]
    predictions: Sequence[Sequence[Prediction]]  # By batch.
    releases: Sequence[Sequence[Message]]

    @classmethod
    def of(cls, records: Sequence[Record], model: Model, predictor: Predictor, settings: Settings) -> Way:
        """All stages one after the other, once. Raises ValueError for a record that is no review."""
        reviews = [decoded for decoded in map(decoder(settings).decode, records) if isinstance(decoded, Review)]
        if len(reviews) < len(records):
            raise ValueError("a record is no review")
        texts = [review.text for review in reviews]
        encoded = [
            one for chunk in _pieces(texts) for one in predictor.vocabulary.encode_all(chunk, predictor.max_tokens)
        ]
        batches = bucketed(encoded, predictor, settings)
        predictions = [model.predict([encoded[item] for item in batch.items]) for batch in batches]
        write = encoder(settings, model)
        messages = [
            write.labelled(reviews[item], prediction, time.time_ns() // 1_000_000).message
            for batch, predicted in zip(batches, predictions, strict=True)
            for item, prediction in zip(batch.items, predicted, strict=True)
        ]
        return cls(records, reviews, encoded, batches, predictions, in_turn(messages))


def bucketed(encoded: Sequence[Encoded], predictor: Predictor, settings: Settings) -> list[Batch[int]]:
    """Batches as under backlog: as many wait as the cap on tokens lets in; time goes on by what batches cost."""
    bounds = limits(settings)
    bucketer: Bucketer[int] = Bucketer(predictor.costs, bounds.max_wait, bounds.max_reviews, bounds.max_padded_tokens)
    batches: list[Batch[int]] = []
    added = waiting = 0
    now = 0.0
    while added < len(encoded) or len(bucketer):
        while added < len(encoded) and waiting < bounds.max_tokens_in_flight:
            length = max(1, len(encoded[added]))
            bucketer.add(added, length, now)
            added, waiting = added + 1, waiting + length
        batch = bucketer.next_batch(now)
        if batch is None:
            raise RuntimeError("reviews wait and there is no batch: this is a bug")
        batches.append(batch)
        waiting -= batch.tokens
        now += predictor.costs.cost(batch.length, len(batch))
    return batches


def in_turn(messages: Sequence[Message]) -> list[list[Message]]:
    """Releases as the sequencer makes them, of one source partition each, the partitions by turns."""
    partitions: defaultdict[int, list[Message]] = defaultdict(list)
    for message in messages:
        partitions[message.source_partition].append(message)
    return [release for turn in zip_longest(*map(_pieces, partitions.values())) for release in turn if release]


def pure_stages(way: Way, model: Model, predictor: Predictor, settings: Settings) -> dict[str, Stage]:
    """Decode, tokenise and its parts, bucket, encode."""
    texts = list(_pieces([review.text for review in way.reviews]))
    normal = [normalise_all(chunk) for chunk in texts]
    tokens = []
    for chunk in normal:
        split, marks = split_all(chunk)
        tokens.append([marks.get(token, token) for token in split if token.strip()])
    write = encoder(settings, model)
    return {
        "decode": lambda: _each(decoder(settings).decode, way.records),
        "tokenise": lambda: _each(lambda chunk: predictor.vocabulary.encode_all(chunk, predictor.max_tokens), texts),
        "visible text": lambda: _each(lambda chunk: list(map(visible_text, chunk)), texts),
        "normalise": lambda: _each(normalise_all, texts),
        "segment": lambda: _each(split_all, normal),
        "look up": lambda: _each(predictor.vocabulary.pieces, tokens),
        "bucket": lambda: _timed(lambda: bucketed(way.encoded, predictor, settings)),
        "encode": lambda: _timed(lambda: _encode(way, write)),
    }


def _encode(way: Way, write: Encoder) -> None:
    for batch, predicted in zip(way.batches, way.predictions, strict=True):
        now = time.time_ns() // 1_000_000
        for item, prediction in zip(batch.items, predicted, strict=True):
            write.labelled(way.reviews[item], prediction, now)


def infer_stage(way: Way, model: Model, threads: int, evidence_tokens: int) -> Stage:
    """Predict the batches; the model is left with what it had."""

    def infer() -> Spent:
        before = torch.get_num_threads(), model.evidence_tokens
        torch.set_num_threads(threads)
        model.evidence_tokens = evidence_tokens
        try:
            return _each(lambda batch: model.predict([way.encoded[item] for item in batch.items]), way.batches)
        finally:
            torch.set_num_threads(before[0])
            model.evidence_tokens = before[1]

    return infer


def kafka_stages(way: Way, settings: Settings) -> dict[str, Stage]:
    """Consume the input topic, and publish what became of it, on the broker of the settings."""
    return {
        "consume": lambda: _run(consume(settings, len(way.records)))[0],
        "publish": lambda: _run(publish(settings, way.releases)),
    }


def read(settings: Settings, count: int) -> list[Record]:
    """The first `count` records of the input topic."""
    return _run(consume(settings, count, keep=True))[1]


async def consume(settings: Settings, count: int, keep: bool = False) -> tuple[Spent, list[Record]]:
    """Read so many records in a group of its own, from its assignment on; with `keep`, these records."""
    kept: list[Record] = []
    watches: list[Stopwatch] = []
    kafka = settings.kafka.model_copy(update={"group_id": f"stages-{uuid.uuid4().hex}"})
    consumer = Consumer(kafka, settings.input.topic)

    async def on_assigned(_: Sequence[TopicPartition]) -> None:
        watches.append(Stopwatch())

    async def on_revoked(_: Sequence[TopicPartition]) -> None: ...

    await consumer.start(on_assigned, on_revoked)
    try:
        seen = 0
        while seen < count:
            for records in (await consumer.poll(POLL_SECONDS)).values():
                seen += len(records)
                if keep:
                    kept.extend(records)
        return watches[-1].read(), kept
    finally:
        await consumer.stop()


async def publish(settings: Settings, releases: Sequence[Sequence[Message]]) -> Spent:
    """Send the releases in order, with as many unacknowledged as the pipeline has, until all are acknowledged."""
    publisher = Publisher(settings.kafka, settings.output.compression)
    await publisher.start(settings.output.topic)
    try:
        watch = Stopwatch()
        sent: deque[Any] = deque()
        for release in releases:
            sent.append(await publisher.send(release))
            if len(sent) > UNACKNOWLEDGED:
                await sent.popleft()
        while sent:
            await sent.popleft()
        return watch.read()
    finally:
        await publisher.stop()


def timed(stages: Mapping[str, Stage], rounds: int) -> dict[str, list[Spent]]:
    """What each stage took in each round, the order of the stages reversed every other round."""
    taken: dict[str, list[Spent]] = {name: [] for name in stages}
    for number in range(rounds):
        for name in list(stages) if number % 2 == 0 else reversed(list(stages)):
            gc.collect()
            gc.freeze()  # As the service does: else each collection looks through all of the reviews.
            try:
                taken[name].append(stages[name]())
            finally:
                gc.unfreeze()
    return taken


def _run(work: Coroutine[Any, Any, Value]) -> Value:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _timed(work: Callable[[], object]) -> Spent:
    watch = Stopwatch()
    work()
    return watch.read()


def _each(work: Callable[[Item], object], items: Sequence[Item]) -> Spent:
    """In pieces, each of which is dropped when the next is done, as in the pipeline."""
    watch = Stopwatch()
    for piece in _pieces(items):
        list(map(work, piece))
    return watch.read()


def _pieces(items: Sequence[Item]) -> Iterator[list[Item]]:
    return (list(items[begin : begin + CHUNK]) for begin in range(0, len(items), CHUNK))
