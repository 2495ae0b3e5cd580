"""Infer, finish: batches to the device, one ahead of the one that runs, and predictions to results.

The device's clock: the cost table says when the device will be free. The next batch is chosen just before that, and
reading waits as long as the device is busy anyway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from streamer.events import DeadLetter, Outgoing, Prediction, Reason, Record
from streamer.formats.encode import Encoder
from streamer.moderation.step import Moderation
from streamer.pipeline.batching import Batch, Bucketer, CostTable, Policy, TokenBudget
from streamer.pipeline.cache import PredictionCache
from streamer.pipeline.in_flight import Admitted, Finished
from streamer.pipeline.isolation import IsolatingPredictor
from streamer.pipeline.limits import Limits
from streamer.pipeline.publishing import Publishing
from streamer.pipeline.threads import CpuThreads, epoch_milliseconds
from streamer.ports import Observer, Predict, Tracer
from streamer.text import Encoded, Markup, Vocabulary

_BATCHES_AHEAD = 2  # One on the device and one that waits for it.
# The next batch is chosen this long before the device is free: reviews that come until then can still be part of it.
_AHEAD_SECONDS = 0.003
_INLINE_RESULTS = 16  # Encoded without a thread: it takes less than a thread and back.


@dataclass(frozen=True, slots=True)
class Predictor:
    """What labels a review: the vocabulary that it is read with, the model, and what batches cost on it.

    labels: the model's, in the order of `LabelSet.columns`. markup: as of `visible_text`.
    """

    vocabulary: Vocabulary
    max_tokens: int
    predict: Predict
    costs: CostTable
    labels: tuple[str, ...]
    markup: Markup = "auto"


@dataclass(frozen=True, slots=True)
class ServingModel:
    """A predictor and the encoder that writes its results: swapped together."""

    predictor: Predictor
    encoder: Encoder

    def encode_all(self, texts: Sequence[str]) -> list[Encoded]:
        """Token ids of texts, in order."""
        predictor = self.predictor
        return predictor.vocabulary.encode_all(texts, predictor.max_tokens, predictor.markup)


class Inference:
    """Keeps the device busy. `infer` and `finish` are two tasks that run until they are cancelled."""

    def __init__(
        self,
        model: ServingModel,
        *,
        publishing: Publishing,
        threads: CpuThreads,
        limits: Limits,
        observer: Observer,
        tracer: Tracer,
        moderation: Moderation | None,
    ) -> None:
        self._publishing = publishing
        self._threads = threads
        self._limits = limits
        self._observer = observer
        self._tracer = tracer
        self._moderation = moderation
        self._device = ThreadPoolExecutor(1, "infer")
        self._has_waiting = asyncio.Event()
        self._slots = asyncio.Semaphore(_BATCHES_AHEAD)
        self._free_at = 0.0  # When the device will be free, by the cost table; monotonic.
        self._running: asyncio.Future[list[Prediction | Exception]] | None = None  # The last batch given to it.
        self._predicted: asyncio.Queue[tuple[Batch[Admitted], Awaitable[list[Prediction | Exception]]]]
        self._predicted = asyncio.Queue(_BATCHES_AHEAD)
        self.install(model)

    def install(self, model: ServingModel) -> None:
        """Predict with this model from here on; nothing may be waiting for another one."""
        limits = self._limits
        self.model = model
        self._publishing.count_labels(model.predictor.labels)
        self._predict = IsolatingPredictor(model.predictor.predict)
        self._cache = PredictionCache(limits.cache_entries)
        self._bucketer: Policy[Admitted] = (
            Bucketer(model.predictor.costs, limits.max_wait, limits.max_reviews, limits.max_padded_tokens)
            if limits.bucketing
            else TokenBudget(limits.max_reviews, limits.max_padded_tokens)
        )

    @property
    def waiting(self) -> int:
        """Reviews that wait for a batch."""
        return len(self._bucketer)

    def add(self, admitted: Admitted, now: float) -> None:
        """Let a review wait for its batch; `now` is monotonic."""
        self._bucketer.add(admitted, max(1, len(admitted.encoded)), now)
        self._has_waiting.set()

    def cached(self, encoded: Encoded) -> Prediction | None:
        """What was predicted for the same tokens before."""
        return self._cache.get(encoded)

    def busy_for(self) -> float:
        """Seconds until the device is free, by the cost table; 0 as soon as it is."""
        if self._running is None or self._running.done():
            return 0.0
        return max(0.0, self._free_at - time.monotonic())

    async def until_free(self, ahead: float) -> None:
        """Wait until the device is free, or will be in `ahead` seconds."""
        if self._running is not None and (seconds := self.busy_for() - ahead) > 0:
            await asyncio.wait((self._running,), timeout=seconds)

    async def infer(self) -> None:
        """Whenever the device is about to be free and something waits, give it the best batch."""
        loop = asyncio.get_running_loop()
        while True:
            await self._has_waiting.wait()
            await self._slots.acquire()
            await self.until_free(_AHEAD_SECONDS)
            now = time.monotonic()
            batch = self._bucketer.next_batch(now)
            if not len(self._bucketer):
                self._has_waiting.clear()
            if batch is None:
                self._slots.release()
                continue
            self._observer.batch(len(batch), batch.tokens, batch.length * len(batch), now - batch.oldest)
            self._free_at = max(now, self._free_at) + self.model.predictor.costs.cost(batch.length, len(batch))
            predicted = self._running = loop.run_in_executor(self._device, self._predict_batch, batch)
            predicted.add_done_callback(lambda _: self._slots.release())
            await self._predicted.put((batch, predicted))

    def _predict_batch(self, batch: Batch[Admitted]) -> list[Prediction | Exception]:
        """Run the model; in the one thread that may."""
        begin = time.perf_counter()
        records = (admitted.review.record for admitted in batch.items)
        with self._tracer.infer(records, len(batch), batch.tokens, batch.length):
            predictions = self._predict([admitted.encoded for admitted in batch.items])
        self._observer.stage("infer", time.perf_counter() - begin, len(batch))
        return predictions

    async def finish(self) -> None:
        """Encode predictions and put the results back in order."""
        while True:
            batch, predicted = await self._predicted.get()
            pairs = list(zip(batch.items, await predicted, strict=True))
            outgoings = await self._threads.run(partial(self._encode, pairs), len(pairs) <= _INLINE_RESULTS)
            for (admitted, prediction), outgoing in zip(pairs, outgoings, strict=True):
                finished = Finished(outgoing, admitted.review.record, admitted.tokens, admitted.read_at)
                accepted = self._publishing.complete(admitted.ticket, finished)
                # What belongs to an older generation may also belong to an older model.
                if accepted and isinstance(prediction, Prediction):
                    self._cache.put(admitted.encoded, prediction)

    def _encode(self, pairs: Sequence[tuple[Admitted, Prediction | Exception]]) -> list[Outgoing]:
        """Write results, and dead letters for what the model failed on; in a thread."""
        begin, now, encoder = time.perf_counter(), epoch_milliseconds(), self.model.encoder
        moderation = self._moderation
        outgoings = [
            encoder.labelled(
                admitted.review,
                prediction,
                now,
                None if moderation is None else moderation.apply(admitted.review, prediction),
            )
            if isinstance(prediction, Prediction)
            else encoder.dead_letter(_model_failed(admitted.review.record, prediction), now)
            for admitted, prediction in pairs
        ]
        self._observer.stage("encode", time.perf_counter() - begin, len(pairs))
        return outgoings

    def shutdown(self) -> None:
        """Start no batch any more, and do not wait for the one that runs."""
        self._device.shutdown(wait=False, cancel_futures=True)


def _model_failed(record: Record, error: Exception) -> DeadLetter:
    return DeadLetter(record, Reason.MODEL_FAILED, f"the model raised {type(error).__name__}")
