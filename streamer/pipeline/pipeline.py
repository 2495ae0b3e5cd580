"""The way of one review, from the source to the commit:

    read -> prepare (decode, tokenise) -> admit (to its bucket) -> infer -> finish (encode) -> publish
         -> acknowledge -> commit

Each step is a method of that name. A review's place in its partition travels with it as a Ticket; the
sequencer puts the results back in order before they are published. Everything that waits, waits in the
bucketer, the sequencer or a bounded queue, and all of it counts against one cap on tokens in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple, TypeVar

from streamer.events import (
    CommitOutcome,
    DeadLetter,
    Decoded,
    Outgoing,
    Prediction,
    Reason,
    Record,
    Review,
    TopicPartition,
)
from streamer.formats.codec import DeadLetterLimit, Decoder, Encoder
from streamer.labels import UNNAMED_COLUMNS
from streamer.pipeline.batching import Batch, Bucketer, CostTable, Policy, TokenBudget
from streamer.pipeline.cache import PredictionCache
from streamer.pipeline.isolation import IsolatingPredictor
from streamer.pipeline.lag import LagTracker
from streamer.pipeline.sequencer import Release, Sequencer, Ticket
from streamer.ports import Delivery, NullTracer, Observer, Predict, Source, Tracer
from streamer.text import Encoded, Vocabulary
from streamer.trends import CountBuffer

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_CHUNK = 256  # Records handled in one go: bounds how long the loop is held.
_POLL_SECONDS = 0.2
_PAUSED_POLL_SECONDS = 0.02
_BATCHES_AHEAD = 2  # One on the device and one that waits for it.
# The next batch is put together so long before the device is free: what comes until then can still be part of it.
_AHEAD_SECONDS = 0.003
# While the device is busy there is no hurry to read: fetched a few at a time, reviews cost the broker and us twice what
# the model does. So long before the device is free, reading goes on.
_READ_AHEAD_SECONDS = 0.012
_INLINE_BYTES = 16_384  # So little is decoded and tokenised at once, without a thread: within a millisecond or two.
_INLINE_RESULTS = 16  # Likewise encoded.
_UNACKNOWLEDGED = 64  # Releases handed over whose acknowledgement is still to come.
_LAST_COMMIT_SECONDS = 2.0  # At least so long for the last commit, even past the deadline.
_BYTES_PER_TOKEN = 64  # A record with more counts by its bytes: the cap on tokens bounds memory as well.
_WATCH_SECONDS = 1.0
_PROBE_SECONDS = 0.02


class TooManyDeadLetters(Exception):
    """So many of the latest records were invalid that the fault must be upstream."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the pipeline; times in seconds. docs/operations.md says what each is for."""

    bucketing: bool = True
    max_wait: float = 0.02
    max_reviews: int = 256
    max_padded_tokens: int = 16_384
    max_tokens_in_flight: int = 262_144
    commit_interval: float = 1.0
    commit_records: int = 20_000
    revoke_timeout: float = 10.0
    drain_timeout: float = 25.0
    cache_entries: int = 4096
    dead_letter_ratio: float = 0.5
    dead_letter_window: int = 1000


@dataclass(frozen=True, slots=True)
class Predictor:
    """What labels a review: the vocabulary that it is read with, the model, and what batches cost on it.

    labels: the model's, in the order of `LabelSet.columns`.
    """

    vocabulary: Vocabulary
    max_tokens: int
    predict: Predict
    costs: CostTable
    labels: tuple[str, ...] = UNNAMED_COLUMNS


class _Admitted(NamedTuple):
    """A review on its way through the model; the rest is as in _Finished."""

    ticket: Ticket
    review: Review
    encoded: Encoded
    tokens: int
    read_at: float


class _Finished(NamedTuple):
    """A record whose result waits for its turn to be published; `read_at` is monotonic."""

    outgoing: Outgoing
    record: Record
    tokens: int  # What it counts against the cap in flight; at least 1.
    read_at: float


class Pipeline:
    """One worker. `run` once; `stop` from a signal handler; the source awaits `on_assigned` and `on_revoked`."""

    def __init__(
        self,
        source: Source,
        delivery: Delivery,
        predictor: Predictor,
        decoder: Decoder,
        encoder: Encoder,
        limits: Limits,
        observer: Observer,
        count_buffer: CountBuffer | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """`ledger`: where to count results for the trends; the delivery publishes it with its commits."""
        self._source = source
        self._delivery = delivery
        self._decoder = decoder
        self._limits = limits
        self._observer = observer
        self._count_buffer = count_buffer
        self._tracer: Tracer = tracer or NullTracer()
        self._next: tuple[Predictor, Encoder] | None = None
        self._install_model(predictor, encoder)
        self._sequencer: Sequencer[_Finished] = Sequencer()
        self._lag = LagTracker()
        self._dead_letters = DeadLetterLimit(limits.dead_letter_ratio, limits.dead_letter_window)
        self._too_many: TooManyDeadLetters | None = None
        self._over = False  # The stages have ended: nothing will be acknowledged any more.
        self._revoking: frozenset[TopicPartition] = frozenset()
        self._completed: dict[TopicPartition, None] = {}  # Partitions that may have something to release.
        self._stopping = asyncio.Event()
        self._has_waiting = asyncio.Event()
        self._has_completed = asyncio.Event()
        self._has_acknowledged = asyncio.Event()
        self._slots = asyncio.Semaphore(_BATCHES_AHEAD)
        self._free_at = 0.0  # When the device will be free, by the cost table; monotonic.
        self._running: asyncio.Future[list[Prediction | Exception]] | None = None  # The last batch given to it.
        self._predicted: asyncio.Queue[tuple[Batch[_Admitted], Awaitable[list[Prediction | Exception]]]]
        self._predicted = asyncio.Queue(_BATCHES_AHEAD)
        self._sent: asyncio.Queue[tuple[Release[_Finished], Awaitable[None]]] = asyncio.Queue(_UNACKNOWLEDGED)
        self._committing = asyncio.Lock()
        self._commit_due = asyncio.Event()
        self._uncommitted = 0  # Results acknowledged since the last commit began.
        self._device = ThreadPoolExecutor(1, "infer")
        self._cpu = ThreadPoolExecutor(2, "cpu")  # One decodes and tokenises, one encodes: no batch waits for a chunk.

    # Life cycle

    async def run(self) -> None:
        """Work until `stop`, or until the source ends.

        1. Read, until told to stop, the source ends or too many records are invalid.
        2. Finish what is in flight, within the drain timeout.
        3. Commit what was published.

        Raises TooManyDeadLetters after these steps. Whatever the source or the delivery raises, or a bug, ends
        the run at once with step 3.
        """
        loop = asyncio.get_running_loop()
        deadline = 0.0
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read())
                stages = (self._infer, self._finish, self._publish, self._acknowledge, self._commit)
                tasks = [group.create_task(stage()) for stage in (*stages, self._watch, self._probe)]
                stopping = group.create_task(self._stopping.wait())
                await asyncio.wait((reader, stopping), return_when=asyncio.FIRST_COMPLETED)
                # A poll that is cancelled has handed out nothing; the records stay with the source.
                for task in (reader, stopping):
                    task.cancel()
                await asyncio.wait((reader,))
                deadline = loop.time() + self._limits.drain_timeout
                await self._drain(self._sequencer.assigned, deadline)
                for task in tasks:
                    task.cancel()
        finally:
            self._over = True
            self._device.shutdown(wait=False, cancel_futures=True)
            self._cpu.shutdown(wait=False, cancel_futures=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(max(deadline, loop.time() + _LAST_COMMIT_SECONDS)):
                    await self._commit_now()
        if self._too_many is not None:
            raise self._too_many

    def stop(self) -> None:
        """Stop reading and drain."""
        self._stopping.set()

    def swap(self, predictor: Predictor, encoder: Encoder) -> None:
        """Go on with another model, once what was read before is done: each review is one model's from end to end.

        Until then nothing more is read; polling goes on.
        """
        self._next = predictor, encoder

    def _install_model(self, predictor: Predictor, encoder: Encoder) -> None:
        limits = self._limits
        self._predictor = predictor
        self._encoder = encoder
        self._predict = IsolatingPredictor(predictor.predict)
        if self._count_buffer is not None:
            self._count_buffer.labels = predictor.labels
        self._cache = PredictionCache(limits.cache_entries)
        self._bucketer: Policy[_Admitted]
        if limits.bucketing:
            self._bucketer = Bucketer(predictor.costs, limits.max_wait, limits.max_reviews, limits.max_padded_tokens)
        else:
            self._bucketer = TokenBudget(limits.max_reviews, limits.max_padded_tokens)

    async def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """The source now reads these partitions, from their committed offsets."""
        self._source.seek(await self._delivery.assigned(partitions))
        generation = self._sequencer.assign(partitions)
        self._lag.assign(partitions, generation, time.monotonic())
        self._revoking = frozenset()
        log.info("assigned partitions: %s", _names(partitions))

    async def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """These partitions are to be given up; the group waits until this returns.

        1. Admit no more of them.
        2. Finish what is in flight, within the revoke timeout.
        3. Commit what was published.
        4. Forget the rest: what completes later belongs to a generation that is over, and what was sent and not
           committed is taken back where the delivery can.
        """
        if partitions:
            log.info("revoked partitions: %s", _names(partitions))
        self._revoking = frozenset(partitions)
        try:
            if not self._over:
                await self._drain(self._revoking, asyncio.get_running_loop().time() + self._limits.revoke_timeout)
            await self._commit_now()
        finally:
            self._sequencer.revoke(partitions)
            self._lag.revoke(partitions)
            self._has_acknowledged.set()  # A drain that waits for these need not.
            self._observer.revoked(partitions)
            await self._delivery.revoked(partitions)

    def not_ready_reason(self, stalled_after: float) -> str | None:
        """Why the worker is not ready, in words; None when it is. `stalled_after` is in seconds."""
        if self._stopping.is_set():
            return "stopping"
        self._lag.positions(self._source.positions())
        return self._lag.not_ready_reason(self._source.watermarks(), time.monotonic(), time.time(), stalled_after)

    # The way of one review

    async def _read(self) -> None:
        """Poll the source, paused or not, so that the group never takes a busy worker for a dead one."""
        paused = 0
        backlog = False  # Whether there was as much to read as is handled in one go.
        while True:
            tokens = self._lag.tokens_in_flight
            if self._next is not None and not self._sequencer.unfinished(self._sequencer.assigned):
                self._install_model(*self._next)
                self._next = None
                log.info("labelling with %s %s from here on", self._encoder.model_name, self._encoder.model_version)
            if tokens >= self._limits.max_tokens_in_flight or self._next is not None:
                paused = self._source.pause()
            elif paused:
                self._source.resume()
                paused = 0
            self._observer.in_flight(tokens, len(self._bucketer), paused)
            if not paused and not backlog and self._busy_for() > _READ_AHEAD_SECONDS:
                self._source.pause()
                await self._until_free(_READ_AHEAD_SECONDS)
                self._source.resume()
            polled = await self._source.poll(_PAUSED_POLL_SECONDS if paused else _POLL_SECONDS)
            if polled is None:
                return
            # At once, with nothing awaited between: a later assignment must not adopt these records.
            generations = {partition: self._sequencer.generation(partition) for partition in polled}
            read_at = time.monotonic()
            backlog = sum(map(len, polled.values())) >= _CHUNK
            for chunk in _chunks(polled):
                records = [record for _, piece in chunk for record in piece]
                small = sum(len(record.value or b"") for record in records) <= _INLINE_BYTES
                prepared = iter(await self._on_cpu(partial(self._prepare, records), small))
                for partition, piece in chunk:
                    self._admit(partition, generations[partition], islice(prepared, len(piece)), read_at)
                    if self._too_many is not None:
                        return

    def _prepare(self, records: Sequence[Record]) -> list[tuple[Decoded, Encoded | None]]:
        """Decode and tokenise; in a thread."""
        begin = time.perf_counter()
        decoded = [self._decoder.decode(record) for record in records]
        texts = [review.text for review in decoded if isinstance(review, Review)]
        encoded = iter(self._predictor.vocabulary.encode_all(texts, self._predictor.max_tokens))
        prepared = [(what, next(encoded) if isinstance(what, Review) else None) for what in decoded]
        self._observer.stage("prepare", time.perf_counter() - begin, len(records))
        return prepared

    def _admit(
        self,
        partition: TopicPartition,
        generation: int | None,
        prepared: Iterator[tuple[Decoded, Encoded | None]],
        read_at: float,
    ) -> None:
        """Give each record its place in the order; let reviews wait for a batch, complete what needs none.

        The record that passes the dead-letter limit and all after it are not admitted.
        """
        now = time.monotonic()
        for decoded, encoded in prepared:
            if partition in self._revoking or generation != self._sequencer.generation(partition):
                continue  # Given up meanwhile: its next owner reads these records again.
            if self._dead_letters.observe(isinstance(decoded, DeadLetter)):
                ratio, window = self._limits.dead_letter_ratio, self._limits.dead_letter_window
                self._too_many = TooManyDeadLetters(
                    f"more than {ratio:.0%} of the last {window} records of {partition.topic} were invalid"
                )
                return
            ticket = self._sequencer.admit(partition, decoded.record.offset)
            if ticket is None:
                continue
            tokens = _load(decoded.record, encoded)
            self._lag.admitted(partition, ticket.offset, tokens, now)
            outgoing = self._immediate(decoded, encoded)
            if outgoing is not None:
                self._complete(ticket, _Finished(outgoing, decoded.record, tokens, read_at))
            elif isinstance(decoded, Review) and encoded is not None:
                admitted = _Admitted(ticket, decoded, encoded, tokens, read_at)
                self._bucketer.add(admitted, max(1, len(encoded)), now)
                self._has_waiting.set()

    def _immediate(self, decoded: Decoded, encoded: Encoded | None) -> Outgoing | None:
        """What needs no model: dead letters, tombstones, and texts judged before."""
        if isinstance(decoded, DeadLetter):
            return self._encoder.dead_letter(decoded, _milliseconds())
        if not isinstance(decoded, Review):
            return self._encoder.tombstone(decoded, _milliseconds())
        prediction = self._cache.get(encoded) if encoded is not None and self._limits.cache_entries else None
        if self._limits.cache_entries:
            self._observer.cache(prediction is not None)
        return None if prediction is None else self._encoder.labelled(decoded, prediction, _milliseconds())

    async def _infer(self) -> None:
        """Whenever the device is about to be free and something waits, give it the best batch."""
        loop = asyncio.get_running_loop()
        while True:
            await self._has_waiting.wait()
            await self._slots.acquire()
            await self._until_free(_AHEAD_SECONDS)
            now = time.monotonic()
            batch = self._bucketer.next_batch(now)
            if not len(self._bucketer):
                self._has_waiting.clear()
            if batch is None:
                self._slots.release()
                continue
            self._observer.batch(len(batch), batch.tokens, batch.length * len(batch), now - batch.oldest)
            self._free_at = max(now, self._free_at) + self._predictor.costs.cost(batch.length, len(batch))
            predicted = self._running = loop.run_in_executor(self._device, self._predict_batch, batch)
            predicted.add_done_callback(lambda _: self._slots.release())
            await self._predicted.put((batch, predicted))

    def _busy_for(self) -> float:
        """Seconds until the device is free, by the cost table; 0 as soon as it is."""
        if self._running is None or self._running.done():
            return 0.0
        return max(0.0, self._free_at - time.monotonic())

    async def _until_free(self, ahead: float) -> None:
        """Wait until the device is free, or will be in `ahead` seconds."""
        if self._running is not None and (seconds := self._busy_for() - ahead) > 0:
            await asyncio.wait((self._running,), timeout=seconds)

    def _predict_batch(self, batch: Batch[_Admitted]) -> list[Prediction | Exception]:
        """Ask the model; in the one thread that may."""
        begin = time.perf_counter()
        records = (admitted.review.record for admitted in batch.items)
        with self._tracer.infer(records, len(batch), batch.tokens, batch.length):
            predictions = self._predict([admitted.encoded for admitted in batch.items])
        self._observer.stage("infer", time.perf_counter() - begin, len(batch))
        return predictions

    async def _finish(self) -> None:
        """Encode verdicts and give them to the sequencer."""
        while True:
            batch, predicted = await self._predicted.get()
            pairs = list(zip(batch.items, await predicted, strict=True))
            outgoings = await self._on_cpu(partial(self._encode, pairs), len(pairs) <= _INLINE_RESULTS)
            for (admitted, prediction), outgoing in zip(pairs, outgoings, strict=True):
                finished = _Finished(outgoing, admitted.review.record, admitted.tokens, admitted.read_at)
                # What is of an older generation may also be of an older model.
                if self._complete(admitted.ticket, finished) and isinstance(prediction, Prediction):
                    self._cache.put(admitted.encoded, prediction)

    def _encode(self, pairs: Sequence[tuple[_Admitted, Prediction | Exception]]) -> list[Outgoing]:
        """Write results, and dead letters for what the model failed on; in a thread."""
        begin, now = time.perf_counter(), _milliseconds()
        outgoings = [
            self._encoder.labelled(admitted.review, prediction, now)
            if isinstance(prediction, Prediction)
            else self._encoder.dead_letter(_failed(admitted.review.record, prediction), now)
            for admitted, prediction in pairs
        ]
        self._observer.stage("encode", time.perf_counter() - begin, len(pairs))
        return outgoings

    def _complete(self, ticket: Ticket, finished: _Finished) -> bool:
        if not self._sequencer.complete(ticket, finished):
            return False
        self._completed[ticket.partition] = None
        self._has_completed.set()
        return True

    async def _publish(self) -> None:
        """Hand over what is next in line, in order, without waiting for one release before the next.

        This is the only task that releases: two would overtake each other.
        """
        while True:
            await self._has_completed.wait()
            self._has_completed.clear()
            partitions, self._completed = self._completed, {}
            for partition in partitions:
                while (release := self._sequencer.release(partition, _CHUNK)) is not None:
                    begin = time.perf_counter()
                    if self._count_buffer is not None:  # Before a commit can reach so far.
                        counted = [(finished.record.offset, finished.outgoing.sample) for finished in release.results]
                        self._count_buffer.add(partition, release.next_offset, counted)
                    messages = [message for finished in release.results for message in finished.outgoing.messages]
                    sent = await self._delivery.send(partition, release.next_offset, messages)
                    self._observer.stage("publish", time.perf_counter() - begin, len(release.results))
                    await self._sent.put((release, sent))

    async def _acknowledge(self) -> None:
        """A release is done once all of it is safe at the other side."""
        while True:
            release, sent = await self._sent.get()
            await sent
            self._sequencer.acknowledge(release)
            now, wall = time.monotonic(), time.time()
            created_at = release.results[-1].record.timestamp / 1000
            tokens = sum(finished.tokens for finished in release.results)
            self._lag.published(release.partition, release.generation, release.next_offset, tokens, created_at, now)
            created = [finished.record.timestamp / 1000 for finished in release.results]
            self._observer.finished(
                [finished.outgoing for finished in release.results],
                [now - finished.read_at for finished in release.results],
                [max(0.0, wall - at) if at > 0 else 0.0 for at in created],  # Kafka writes -1 where there is none.
            )
            self._has_acknowledged.set()
            self._uncommitted += len(release.results)
            if self._uncommitted >= self._limits.commit_records:
                self._commit_due.set()

    async def _commit(self) -> None:
        """Commit at intervals, and whenever there is much to commit."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.commit_interval):
                    await self._commit_due.wait()
            self._commit_due.clear()
            self._uncommitted = 0
            await self._commit_now()

    async def _commit_now(self) -> None:
        async with self._committing:  # Else a slow commit could land after a newer one.
            positions = self._sequencer.positions()
            if not positions:
                return
            with self._tracer.commit(positions) as ended:
                outcome = await self._delivery.commit(positions)
                ended(outcome)
            self._observer.commit(outcome)
            if outcome is CommitOutcome.DONE:
                self._sequencer.committed(positions)

    # Beside the way

    async def _drain(self, partitions: Collection[TopicPartition], deadline: float) -> None:
        """Until all that was admitted of these partitions is acknowledged, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self._sequencer.unfinished(partitions):
                    self._has_acknowledged.clear()
                    await self._has_acknowledged.wait()
        if left := self._sequencer.unfinished(partitions):
            log.warning("gave up on %d unfinished records; they will be read again", left)

    async def _watch(self) -> None:
        """Report how far behind each partition is."""
        while True:
            self._lag.positions(self._source.positions())
            for partition, lag in self._lag.lags(self._source.watermarks(), time.time()).items():
                self._observer.lag(partition, lag.records, lag.seconds)
            await asyncio.sleep(_WATCH_SECONDS)

    async def _probe(self) -> None:
        """Report how much later than asked the loop comes back: heartbeats live on it."""
        while True:
            begin = time.monotonic()
            await asyncio.sleep(_PROBE_SECONDS)
            self._observer.loop_delay(max(0.0, time.monotonic() - begin - _PROBE_SECONDS))

    async def _on_cpu(self, work: Callable[[], Value], small: bool) -> Value:
        """Do it in a thread; what is small at once: a thread and back take longer."""
        if small:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._cpu, work)


def _chunks(
    polled: Mapping[TopicPartition, Sequence[Record]],
) -> Iterator[list[tuple[TopicPartition, Sequence[Record]]]]:
    """Records by partition in portions of `_CHUNK` over all partitions: a thread is asked once for each portion."""
    chunk: list[tuple[TopicPartition, Sequence[Record]]] = []
    room = _CHUNK
    for partition, records in polled.items():
        begin = 0
        while begin < len(records):
            piece = records[begin : begin + room]
            chunk.append((partition, piece))
            begin, room = begin + len(piece), room - len(piece)
            if not room:
                yield chunk
                chunk, room = [], _CHUNK
    if chunk:
        yield chunk


def _failed(record: Record, error: Exception) -> DeadLetter:
    return DeadLetter(record, Reason.MODEL_FAILED, f"the model raised {type(error).__name__}")


def _load(record: Record, encoded: Encoded | None) -> int:
    """What a record counts against the cap in flight: its tokens, or its bytes where it has many for its tokens."""
    return max(1, len(encoded or ()), len(record.value or b"") // _BYTES_PER_TOKEN)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _names(partitions: Sequence[TopicPartition]) -> str:
    return ", ".join(f"{partition.topic}/{partition.partition}" for partition in partitions) or "none"
