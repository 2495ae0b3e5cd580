"""Read, prepare, admit: from the source to a review's bucket.

    poll -> prepare (decode, moderate, tokenise; in a thread) -> admit (order, bucket)

Reading pauses while too much is in flight and while a new model waits for what was read before; polling goes on, so
that the group never takes a busy worker for a dead one.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from streamer.events import DeadLetter, Decoded, Outgoing, Record, Replaced, Review, Skipped, TopicPartition
from streamer.formats.dead_letters import DeadLetterLimit
from streamer.formats.decode import Decoder
from streamer.formats.encode import MAX_GROUP
from streamer.moderation.step import Moderation
from streamer.pipeline.in_flight import CHUNK, Admitted, Chunk, Finished, chunks, tokens_in_flight
from streamer.pipeline.inference import Inference, ServingModel
from streamer.pipeline.lag import LagTracker
from streamer.pipeline.limits import Limits
from streamer.pipeline.publishing import Publishing
from streamer.pipeline.sequencer import Sequencer
from streamer.pipeline.threads import CpuThreads, epoch_milliseconds
from streamer.ports import Observer, Source
from streamer.text import Encoded

log = logging.getLogger(__name__)
replacements = logging.getLogger("streamer.replaced")  # `streamer.observe.logs` limits its rate.
# What the log says, a template each, which the rate limit tells apart. Texts that are null or missing are only counted:
# they are no fault.
REPLACEMENTS = {
    Replaced("event_time", "unreadable"): "an event time cannot be read; the record's is used: %s",
    Replaced("event_time", "in_the_future"): "an event time is more than a day ahead; the record's is used: %s",
    Replaced("id", "not_a_scalar"): "an id is neither text nor number, so the review has none: %s",
    Replaced("id", "not_utf8"): "a CloudEvent's id is not UTF-8, so the review has none: %s",
    Replaced("group", "not_a_scalar"): "a group is neither text nor number, so the review has none: %s",
    Replaced("group", "too_long"): f"a group has more than {MAX_GROUP} characters, by which trends count it: %s",
}

POLL_SECONDS = 0.2
_PAUSED_POLL_SECONDS = 0.02
# While the device is busy there is no hurry to read: fetched a few at a time, reviews cost the broker and us twice what
# the model does. Reading goes on this long before the device is free.
_READ_AHEAD_SECONDS = 0.012
_INLINE_BYTES = 16_384  # Decoded and tokenised without a thread: it takes a millisecond or two.


class TooManyDeadLetters(Exception):
    """So many of the latest records were invalid that the fault must be upstream."""


class Reading:
    """Fills the buckets. `run` until the source ends, is cancelled, or too many records are invalid."""

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        *,
        inference: Inference,
        publishing: Publishing,
        sequencer: Sequencer[Finished],
        lag: LagTracker,
        threads: CpuThreads,
        limits: Limits,
        observer: Observer,
        moderation: Moderation | None,
    ) -> None:
        self._source = source
        self._decoder = decoder
        self._inference = inference
        self._publishing = publishing
        self._sequencer = sequencer
        self._lag = lag
        self._threads = threads
        self._limits = limits
        self._observer = observer
        self._moderation = moderation
        self._dead_letters = DeadLetterLimit(limits.dead_letter_ratio, limits.dead_letter_window)
        self._next_model: ServingModel | None = None
        self._paused = 0
        self.revoking: frozenset[TopicPartition] = frozenset()  # Nothing of these partitions is admitted any more.
        self.fault: TooManyDeadLetters | None = None

    def swap(self, model: ServingModel) -> None:
        """Go on with another model, once what was read before is finished."""
        self._next_model = model

    async def run(self) -> None:
        """Poll the source, paused or not."""
        backlog = False  # Whether the last poll gave a whole chunk.
        while self.fault is None:
            self._install_next_model()
            self._apply_backpressure()
            if not self._paused and not backlog and self._inference.busy_for() > _READ_AHEAD_SECONDS:
                self._source.pause()
                await self._inference.until_free(_READ_AHEAD_SECONDS)
                self._source.resume()
            polled = await self._source.poll(_PAUSED_POLL_SECONDS if self._paused else POLL_SECONDS)
            if polled is None:
                return
            # Nothing is awaited between the poll and here: a later assignment must not adopt these records.
            generations = {partition: self._sequencer.generation(partition) for partition in polled}
            read_at = time.monotonic()
            backlog = sum(map(len, polled.values())) >= CHUNK
            for chunk in chunks(polled):
                prepared = iter(await self._prepared(chunk))
                for partition, records in chunk:
                    self._admit(partition, generations[partition], islice(prepared, len(records)), read_at)
                    if self.fault is not None:
                        return

    def _install_next_model(self) -> None:
        """Each review is one model's from end to end, so the old model finishes what was read first."""
        if self._next_model is not None and not self._sequencer.unfinished(self._sequencer.assigned):
            self._inference.install(self._next_model)
            encoder = self._next_model.encoder
            log.info("labelling with %s %s from here on", encoder.model_name, encoder.model_version)
            self._next_model = None

    def _apply_backpressure(self) -> None:
        tokens = self._lag.tokens_in_flight
        if tokens >= self._limits.max_tokens_in_flight or self._next_model is not None:
            self._paused = self._source.pause()
        elif self._paused:
            self._source.resume()
            self._paused = 0
        self._observer.in_flight(tokens, self._inference.waiting, self._paused)

    async def _prepared(self, chunk: Chunk) -> list[tuple[Decoded, Encoded | None]]:
        records = [record for _, piece in chunk for record in piece]
        inline = sum(len(record.value or b"") for record in records) <= _INLINE_BYTES
        return await self._threads.run(partial(self._prepare, records), inline)

    def _prepare(self, records: Sequence[Record]) -> list[tuple[Decoded, Encoded | None]]:
        """Decode, moderate (what the review alone decides) and tokenise; in a thread."""
        begin = time.perf_counter()
        now = epoch_milliseconds()
        decoded = [self._decoder.decode(record, now) for record in records]
        self._count_replaced(decoded)
        if (moderation := self._moderation) is not None:
            decoded = [moderation.applicable(what) if isinstance(what, Review) else what for what in decoded]
        texts = [review.text for review in decoded if isinstance(review, Review)]
        encoded = iter(self._inference.model.encode_all(texts))
        prepared = [(what, next(encoded) if isinstance(what, Review) else None) for what in decoded]
        self._observer.stage("prepare", time.perf_counter() - begin, len(records))
        return prepared

    def _count_replaced(self, decoded: Sequence[Decoded]) -> None:
        """Count and say what could not be used; the log has each field and cause once in a while."""
        found: Counter[Replaced] = Counter()
        first: dict[Replaced, str] = {}
        for review in decoded:
            if isinstance(review, Review) and review.replaced:
                for replaced in review.replaced:
                    found[replaced] += 1
                    first.setdefault(replaced, review.record.identity)
        for replaced, count in found.items():
            self._observer.replaced(replaced.field, replaced.cause, count)
            if (template := REPLACEMENTS.get(replaced)) is not None:
                replacements.warning(template, first[replaced])

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
            if partition in self.revoking or generation != self._sequencer.generation(partition):
                continue  # Revoked meanwhile: its next owner reads these records again.
            reason = decoded.reason if isinstance(decoded, DeadLetter) else None
            if not isinstance(decoded, Skipped) and self._dead_letters.observe(reason):
                self.fault = self._too_many(partition)
                return
            ticket = self._sequencer.admit(partition, decoded.record.offset)
            if ticket is None:
                continue
            tokens = tokens_in_flight(decoded.record, encoded)
            self._lag.admitted(partition, ticket.offset, tokens, now)
            outgoing = self._without_model(decoded, encoded)
            if outgoing is not None:
                self._publishing.complete(ticket, Finished(outgoing, decoded.record, tokens, read_at))
            elif isinstance(decoded, Review) and encoded is not None:
                self._inference.add(Admitted(ticket, decoded, encoded, tokens, read_at), now)

    def _without_model(self, decoded: Decoded, encoded: Encoded | None) -> Outgoing | None:
        """The result of what needs no model: dead letters, tombstones, and texts predicted before."""
        model = self._inference.model
        if isinstance(decoded, DeadLetter):
            return model.encoder.dead_letter(decoded, epoch_milliseconds())
        if isinstance(decoded, Skipped):
            return model.encoder.skipped()
        if not isinstance(decoded, Review):
            return model.encoder.tombstone(decoded, epoch_milliseconds())
        if encoded is None or not self._limits.cache_entries:
            return None
        prediction = self._inference.cached(encoded)
        self._observer.cache(prediction is not None)
        if prediction is None:
            return None
        result = None if self._moderation is None else self._moderation.apply(decoded, prediction)
        return model.encoder.labelled(decoded, prediction, epoch_milliseconds(), result)

    def _too_many(self, partition: TopicPartition) -> TooManyDeadLetters:
        ratio, window = self._limits.dead_letter_ratio, self._limits.dead_letter_window
        reasons = ", ".join(f"{reason} {count}" for reason, count in self._dead_letters.reasons())
        fault = TooManyDeadLetters(
            f"more than {ratio:.0%} of the last {window} records of {partition.topic} were invalid: {reasons}"
        )
        log.error("%s", fault)
        return fault
