"""Publishes the counts of the trends with each commit, so that no offset is counted twice.

1. A new owner of a partition looks up its last counts in the trends topic. It counts from where they end, whatever
   offset is committed, and its epoch is higher than theirs.
2. Before offsets are committed, the counts up to exactly these are published and acknowledged. With exactly-once
   delivery this happens in the same transaction.
3. Readers drop counts that former owners publish later, and undo counts that the new owner did not see: see
   `streamer.trends.reader`.

So neither a crash between 2 and the commit nor an operator who resets offsets causes double counting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.formats.cloudevents import cloudevent_headers
from streamer.formats.times import rfc3339
from streamer.ports import Delivery
from streamer.trends.buffer import CountBuffer, next_epoch
from streamer.trends.message import EVENT_TYPE, CountDelta, encode, source_key
from streamer.trends.recovery import OpenEndReader, last_counts

log = logging.getLogger(__name__)


class MessagePublisher(Protocol):
    """Publishes outside of transactions: `streamer.kafka.Publisher`."""

    async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
        """Send messages, in this order. The returned awaitable ends once all are acknowledged."""
        ...


class ClosableDelivery(Delivery, Protocol):
    """A delivery that can be started and stopped: `streamer.kafka.AtLeastOnce`."""

    async def start(self, *topics: str) -> None: ...

    async def stop(self) -> None: ...


class TrendPublisher:
    """Turns a worker's counts into messages of the trends topic.

    Within transactions it is a `streamer.kafka.TransactionParticipant`; otherwise `TrendDelivery` publishes them.
    """

    def __init__(
        self,
        topic: str,
        count_buffer: CountBuffer,
        *,
        open_reader: OpenEndReader,
        generation: Callable[[], int],
        on_published: Callable[[int, int], None] = lambda _messages, _cells: None,
    ) -> None:
        """open_reader: a reader of `topic` from its end. generation: returns that of the consumer group.

        on_published: called with the numbers of published messages and cells.
        """
        self.topic = topic
        self._count_buffer = count_buffer
        self._open_reader = open_reader
        self._generation = generation
        self._on_published = on_published
        self._unconfirmed: dict[TopicPartition, CountDelta] = {}  # The last counts that `pending_messages` returned.

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Find out where to start counting in each partition, and with which epoch: see `streamer.trends.next_epoch`.

        Call this once no former owner can commit any more. aiokafka sends no heartbeats meanwhile: if it takes longer
        than the session timeout, the group gives the partitions to others, and nothing is lost. Raises what the reader
        raises.
        """
        if not partitions:
            return
        found = await last_counts(self._open_reader, self.topic, partitions)
        for partition in partitions:
            epoch, begin = next_epoch(found.get(partition), self._generation(), _milliseconds())
            self._count_buffer.assign(partition, epoch, begin)
            self._unconfirmed.pop(partition, None)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget unpublished counts: the next owner counts those records."""
        self._count_buffer.revoke(partitions)
        for partition in partitions:
            self._unconfirmed.pop(partition, None)

    def pending_messages(self, partition: TopicPartition, next_offset: int) -> list[Message]:
        """The messages to publish before `next_offset` is committed: all of a source to one partition, in order.

        Returns the same, or more, until `mark_published` is called.
        """
        pending = self._count_buffer.pending(partition, next_offset)
        if not pending:
            return []
        self._unconfirmed[partition] = pending[-1]
        self._on_published(len(pending), sum(len(counts.cells) for counts in pending))
        return [self._message(counts) for counts in pending]

    def mark_published(self, partition: TopicPartition, next_offset: int) -> None:
        """The last result of `pending_messages` is published, if it does not go beyond `next_offset`."""
        last = self._unconfirmed.pop(partition, None)
        if last is not None and last.end <= next_offset:
            self._count_buffer.published(last)

    def _message(self, counts: CountDelta) -> Message:
        key, now = source_key(counts.source), _milliseconds()
        identity = b"%s/%d-%d" % (key, counts.begin, counts.end)
        headers = cloudevent_headers(identity, counts.source.topic, EVENT_TYPE, rfc3339(now))
        partition = counts.source.partition
        return Message(
            topic=self.topic,
            key=key,
            value=encode(counts),
            headers=headers,
            timestamp=now,
            source_partition=partition,
            partition=partition,
        )


class TrendDelivery:
    """At-least-once delivery that publishes the counts before each commit."""

    def __init__(
        self, delivery: ClosableDelivery, publisher: MessagePublisher, trends: TrendPublisher, timeout: float
    ) -> None:
        """timeout: how many seconds a commit waits for its counts to be acknowledged."""
        self._delivery = delivery
        self._publisher = publisher
        self._trends = trends
        self._timeout = timeout
        self._publishing: asyncio.Task[None] | None = None

    async def start(self, *topics: str) -> None:
        """Start the delivery, which also checks that the trends topic exists."""
        await self._delivery.start(*topics, self._trends.topic)

    async def stop(self) -> None:
        """Stop publishing counts, then stop the delivery."""
        if self._publishing is not None:
            self._publishing.cancel()
        await self._delivery.stop()

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """See TrendPublisher.assigned."""
        await self._trends.assigned(partitions)
        return await self._delivery.assigned(partitions)

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """See TrendPublisher.revoked."""
        self._trends.revoked(partitions)
        await self._delivery.revoked(partitions)

    async def send(self, partition: TopicPartition, next_offset: int, messages: Sequence[Message]) -> Awaitable[None]:
        """Send results; counts are published by `commit`."""
        return await self._delivery.send(partition, next_offset, messages)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        """1. Publish the counts up to these positions, and wait for the acknowledgement.
        2. Commit the positions.

        FAILED if the first step takes longer than the timeout. It then continues, as it does after a cancellation,
        and the next call waits for it. Raises what the publisher raises, again at each later call.
        """
        try:
            async with asyncio.timeout(self._timeout):
                if self._publishing is not None:
                    await asyncio.shield(self._publishing)
                self._publishing = asyncio.create_task(self._publish(positions))
                # Its error is raised by the next commit, if there is one.
                self._publishing.add_done_callback(lambda task: task.cancelled() or task.exception())
                await asyncio.shield(self._publishing)
        except TimeoutError:
            log.warning("counts of the trends not acknowledged within %g s, still waiting", self._timeout)
            return CommitOutcome.FAILED
        return await self._delivery.commit(positions)

    async def _publish(self, positions: Mapping[TopicPartition, int]) -> None:
        messages = [
            message
            for partition, next_offset in positions.items()
            for message in self._trends.pending_messages(partition, next_offset)
        ]
        if messages:
            await (await self._publisher.send(messages))
        for partition, next_offset in positions.items():
            self._trends.mark_published(partition, next_offset)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
