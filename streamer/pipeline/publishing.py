"""Publish, acknowledge, commit: results leave in the order in which their records came, and offsets follow them.

    complete -> publish (in order, by partition) -> acknowledge -> commit

A commit never reaches past a record whose result is not acknowledged: the sequencer's position is the only source of
the offsets that are committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Collection

from streamer.events import CommitOutcome, TopicPartition
from streamer.pipeline.in_flight import CHUNK, Finished
from streamer.pipeline.lag import LagTracker
from streamer.pipeline.limits import Limits
from streamer.pipeline.sequencer import Release, Sequencer, Ticket
from streamer.ports import Delivery, Observer, Tracer
from streamer.trends import CountBuffer

log = logging.getLogger(__name__)

UNACKNOWLEDGED = 64  # Releases that were sent and whose acknowledgement is still to come.


class Publishing:
    """Sends what is next in line. `publish`, `acknowledge` and `commit` are three tasks that run until cancelled."""

    def __init__(
        self,
        delivery: Delivery,
        *,
        sequencer: Sequencer[Finished],
        lag: LagTracker,
        limits: Limits,
        observer: Observer,
        tracer: Tracer,
        count_buffer: CountBuffer | None,
    ) -> None:
        self._delivery = delivery
        self._sequencer = sequencer
        self._lag = lag
        self._limits = limits
        self._observer = observer
        self._tracer = tracer
        self._count_buffer = count_buffer
        self._completed: dict[TopicPartition, None] = {}  # Partitions that may have something to release.
        self._has_completed = asyncio.Event()
        self._has_acknowledged = asyncio.Event()
        self._sent: asyncio.Queue[tuple[Release[Finished], Awaitable[None]]] = asyncio.Queue(UNACKNOWLEDGED)
        self._committing = asyncio.Lock()
        self._commit_due = asyncio.Event()
        self._uncommitted = 0  # Results acknowledged since the last commit began.

    def complete(self, ticket: Ticket, finished: Finished) -> bool:
        """Take in a result; False, and nothing kept, where the record's assignment is over."""
        if not self._sequencer.complete(ticket, finished):
            return False
        self._completed[ticket.partition] = None
        self._has_completed.set()
        return True

    async def publish(self) -> None:
        """Send what is next in line, in order, without waiting for one release before the next.

        This is the only task that releases: two would overtake each other.
        """
        while True:
            await self._has_completed.wait()
            self._has_completed.clear()
            partitions, self._completed = self._completed, {}
            for partition in partitions:
                while (release := self._sequencer.release(partition, CHUNK)) is not None:
                    begin = time.perf_counter()
                    self._count(release)
                    messages = [message for finished in release.results for message in finished.outgoing.messages]
                    sent = await self._delivery.send(partition, release.next_offset, messages)
                    self._observer.stage("publish", time.perf_counter() - begin, len(release.results))
                    await self._sent.put((release, sent))

    def count_labels(self, labels: tuple[str, ...]) -> None:
        """What is released from now on has these labels: another model has taken over."""
        if self._count_buffer is not None:
            self._count_buffer.labels = labels

    def _count(self, release: Release[Finished]) -> None:
        """Count results for the trends before a commit can reach past them."""
        if self._count_buffer is not None:
            samples = [(finished.record.offset, finished.outgoing.sample) for finished in release.results]
            self._count_buffer.add(release.partition, release.next_offset, samples)

    async def acknowledge(self) -> None:
        """A release is done once all of it is safe with the delivery."""
        while True:
            release, sent = await self._sent.get()
            await sent
            self._sequencer.acknowledge(release)
            self._report(release)
            self._has_acknowledged.set()
            self._uncommitted += len(release.results)
            if self._uncommitted >= self._limits.commit_records:
                self._commit_due.set()

    def _report(self, release: Release[Finished]) -> None:
        now, wall = time.monotonic(), time.time()
        created = [finished.record.timestamp / 1000 for finished in release.results]
        tokens = sum(finished.tokens for finished in release.results)
        self._lag.published(release.partition, release.generation, release.next_offset, tokens, created[-1], now)
        self._observer.finished(
            [finished.outgoing for finished in release.results],
            [now - finished.read_at for finished in release.results],
            [max(0.0, wall - at) if at > 0 else 0.0 for at in created],  # Kafka writes -1 where there is none.
        )

    async def commit(self) -> None:
        """Commit at intervals, and earlier when there is much to commit."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.commit_interval):
                    await self._commit_due.wait()
            self._commit_due.clear()
            self._uncommitted = 0
            await self.commit_now()

    async def commit_now(self) -> None:
        """Commit what has been acknowledged up to here."""
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

    async def drain(self, partitions: Collection[TopicPartition], deadline: float) -> None:
        """Wait until all that was admitted of these partitions is acknowledged, or the deadline on the loop's clock."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self._sequencer.unfinished(partitions):
                    self._has_acknowledged.clear()
                    await self._has_acknowledged.wait()
        if left := self._sequencer.unfinished(partitions):
            log.warning("gave up on %d unfinished records; they will be read again", left)

    def wake(self) -> None:
        """Let a drain look again: partitions that it waits for may have been revoked."""
        self._has_acknowledged.set()
