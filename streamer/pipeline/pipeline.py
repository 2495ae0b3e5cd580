"""The way of one review, from the source to the commit, and the life cycle of the tasks on it:

    read -> prepare (decode, moderate, tokenise) -> admit (to its bucket) -> infer -> finish (moderate, encode)
         -> publish -> acknowledge -> commit

`reading` has the first three, `inference` the next two, `publishing` the rest. A review's place in its partition
travels with it as a Ticket; the sequencer puts the results back in order before they are published. Everything that
waits is in the bucketer, the sequencer or a bounded queue, and all of it counts against one cap on tokens in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

from streamer.events import TopicPartition
from streamer.formats.decode import Decoder
from streamer.moderation.step import Moderation
from streamer.pipeline.in_flight import Finished
from streamer.pipeline.inference import Inference, ServingModel
from streamer.pipeline.lag import LagTracker
from streamer.pipeline.limits import Limits
from streamer.pipeline.publishing import Publishing
from streamer.pipeline.reading import Reading
from streamer.pipeline.sequencer import Sequencer
from streamer.pipeline.threads import CpuThreads
from streamer.ports import Delivery, NullTracer, Observer, Source, Tracer
from streamer.trends import CountBuffer

log = logging.getLogger(__name__)

_LAST_COMMIT_SECONDS = 2.0  # The least for the last commit, even past the deadline.
_LAG_SECONDS = 1.0
_LOOP_DELAY_SECONDS = 0.02


class Pipeline:
    """One worker. `run` once; `stop` from a signal handler; the source awaits `on_assigned` and `on_revoked`."""

    def __init__(
        self,
        source: Source,
        delivery: Delivery,
        *,
        model: ServingModel,
        decoder: Decoder,
        limits: Limits,
        observer: Observer,
        tracer: Tracer | None = None,
        count_buffer: CountBuffer | None = None,
        moderation: Moderation | None = None,
    ) -> None:
        """`count_buffer`: where to count results for the trends; the delivery publishes it with its commits."""
        tracer = tracer or NullTracer()
        self._source = source
        self._delivery = delivery
        self._limits = limits
        self._observer = observer
        self._stopping = asyncio.Event()
        self._ended = False  # The stages have ended: nothing will be acknowledged any more.
        self._threads = CpuThreads()
        self._sequencer: Sequencer[Finished] = Sequencer()
        self._lag = LagTracker()
        self._publishing = Publishing(
            delivery,
            sequencer=self._sequencer,
            lag=self._lag,
            limits=limits,
            observer=observer,
            tracer=tracer,
            count_buffer=count_buffer,
        )
        self._inference = Inference(
            model,
            publishing=self._publishing,
            threads=self._threads,
            limits=limits,
            observer=observer,
            tracer=tracer,
            moderation=moderation,
        )
        self._reading = Reading(
            source,
            decoder,
            inference=self._inference,
            publishing=self._publishing,
            sequencer=self._sequencer,
            lag=self._lag,
            threads=self._threads,
            limits=limits,
            observer=observer,
            moderation=moderation,
        )

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
                reader = group.create_task(self._reading.run())
                publishing, inference = self._publishing, self._inference
                stages = (
                    *(inference.infer, inference.finish),
                    *(publishing.publish, publishing.acknowledge, publishing.commit),
                    *(self._report_lag, self._report_loop_delay),
                )
                tasks = [group.create_task(stage()) for stage in stages]
                stopping = group.create_task(self._stopping.wait())
                await asyncio.wait((reader, stopping), return_when=asyncio.FIRST_COMPLETED)
                # A poll that is cancelled has handed out nothing; the records stay with the source.
                for task in (reader, stopping):
                    task.cancel()
                await asyncio.wait((reader,))
                deadline = loop.time() + self._limits.drain_timeout
                await self._publishing.drain(self._sequencer.assigned, deadline)
                for task in tasks:
                    task.cancel()
        finally:
            self._ended = True
            self._inference.shutdown()
            self._threads.shutdown()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(max(deadline, loop.time() + _LAST_COMMIT_SECONDS)):
                    await self._publishing.commit_now()
        if self._reading.fault is not None:
            raise self._reading.fault

    def stop(self) -> None:
        """Stop reading and drain."""
        self._stopping.set()

    def swap(self, model: ServingModel) -> None:
        """Go on with another model, once what was read before is finished: each review is one model's from end to end.

        Until then nothing more is read; polling goes on.
        """
        self._reading.swap(model)

    async def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """The source now reads these partitions, from their committed offsets."""
        self._source.seek(await self._delivery.assigned(partitions))
        generation = self._sequencer.assign(partitions)
        self._lag.assign(partitions, generation, time.monotonic())
        self._reading.revoking = frozenset()
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
        self._reading.revoking = frozenset(partitions)
        try:
            if not self._ended:
                deadline = asyncio.get_running_loop().time() + self._limits.revoke_timeout
                await self._publishing.drain(self._reading.revoking, deadline)
            await self._publishing.commit_now()
        finally:
            self._sequencer.revoke(partitions)
            self._lag.revoke(partitions)
            self._publishing.wake()
            self._observer.revoked(partitions)
            await self._delivery.revoked(partitions)

    def not_ready_reason(self, stalled_after: float) -> str | None:
        """Why the worker is not ready, in words; None when it is. `stalled_after` is in seconds."""
        if self._stopping.is_set():
            return "stopping"
        self._lag.positions(self._source.positions())
        return self._lag.not_ready_reason(self._source.watermarks(), time.monotonic(), time.time(), stalled_after)

    async def _report_lag(self) -> None:
        """Report how far behind each partition is."""
        while True:
            self._lag.positions(self._source.positions())
            for partition, lag in self._lag.lags(self._source.watermarks(), time.time()).items():
                self._observer.lag(partition, lag.records, lag.seconds)
            await asyncio.sleep(_LAG_SECONDS)

    async def _report_loop_delay(self) -> None:
        """Report how much later than asked the event loop comes back: heartbeats depend on it."""
        while True:
            begin = time.monotonic()
            await asyncio.sleep(_LOOP_DELAY_SECONDS)
            self._observer.loop_delay(max(0.0, time.monotonic() - begin - _LOOP_DELAY_SECONDS))


def _names(partitions: Sequence[TopicPartition]) -> str:
    return ", ".join(map(str, partitions)) or "none"
