"""Publishes what was counted for the trends, with each commit, so that no offset is counted twice.

1. A new owner of a partition looks for its last counts in the trends topic. Their end is where it begins to count,
   whatever offset is committed, and its epoch is higher than theirs.
2. Before offsets are committed, the counts up to just these are published and acknowledged; in a transaction, inside.
3. Readers drop what owners before the newest publish, and undo what he did not see: `streamer.trends.reader`.

So a crash between 2 and the commit, or an operator who sets offsets back, counts nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.formats.cloudevents import cloudevent_headers
from streamer.formats.times import rfc3339
from streamer.kafka.latest import latest
from streamer.kafka.producer import AtLeastOnce, Publisher, mark_retrieved
from streamer.settings import KafkaSettings
from streamer.trends import EVENT_TYPE, CountBuffer, CountDelta, encode, next_epoch, source_key

log = logging.getLogger(__name__)


class TrendPublisher:
    """The ledger of a worker, and the topic that it is published to."""

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        count_buffer: CountBuffer,
        generation: Callable[[], int],
        published: Callable[[int, int], None] = lambda _messages, _cells: None,
    ) -> None:
        """generation: the group's, at this moment. published: told of how many messages and cells there were."""
        self.topic = topic
        self._kafka = kafka
        self._count_buffer = count_buffer
        self._generation = generation
        self._published = published
        self._timeout = kafka.request_timeout_ms / 1000

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Find out where to begin with each, and at which epoch: see `streamer.trends.next_epoch`.

        To be called when no former owner can commit any more. aiokafka sends no heartbeats meanwhile: where it takes
        longer than the session timeout, the group gives the partitions to others, and nothing is lost. Raises
        KafkaFault where it cannot be found out within the request timeout.
        """
        if not partitions:
            return
        found = await latest(self._kafka, self.topic, partitions, self._timeout)
        for partition in partitions:
            epoch, begin = next_epoch(found.get(partition), self._generation(), _milliseconds())
            self._count_buffer.assign(partition, epoch, begin)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """See CountBuffer.revoke."""
        self._count_buffer.revoke(partitions)

    def pending(self, partition: TopicPartition, position: int) -> list[CountDelta]:
        """See CountBuffer.upto."""
        return self._count_buffer.pending(partition, position)

    def published(self, last: CountDelta) -> None:
        """See CountBuffer.published."""
        self._count_buffer.published(last)

    def messages(self, counted: Sequence[CountDelta]) -> list[Message]:
        """What to publish: all of a source in one partition, in order."""
        self._published(len(counted), sum(len(counts.cells) for counts in counted))
        return [self._message(counts) for counts in counted]

    def _message(self, counted: CountDelta) -> Message:
        key, now = source_key(counted.source), _milliseconds()
        identity = b"%s/%d-%d" % (key, counted.begin, counted.end)
        headers = cloudevent_headers(identity, counted.source.topic, EVENT_TYPE, rfc3339(now))
        number = counted.source.partition
        return Message(self.topic, key, encode(counted), headers, now, number, number)


class TrendDelivery:
    """At-least-once delivery that publishes counts before each commit."""

    def __init__(self, delivery: AtLeastOnce, publisher: Publisher, counts: TrendPublisher, timeout: float) -> None:
        """`timeout`: seconds that a commit waits for its counts."""
        self._delivery = delivery
        self._publisher = publisher
        self._counts = counts
        self._timeout = timeout
        self._publishing: asyncio.Task[None] | None = None

    async def start(self, *topics: str) -> None:
        """See AtLeastOnce.start."""
        await self._delivery.start(*topics, self._counts.topic)

    async def stop(self) -> None:
        """See AtLeastOnce.stop."""
        if self._publishing is not None:
            self._publishing.cancel()
        await self._delivery.stop()

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """See AtLeastOnce.assigned and Counts.assigned."""
        await self._counts.assigned(partitions)
        return await self._delivery.assigned(partitions)

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Counts that were not published are the next owner's."""
        self._counts.revoked(partitions)
        await self._delivery.revoked(partitions)

    async def send(self, partition: TopicPartition, next_offset: int, messages: Sequence[Message]) -> Awaitable[None]:
        """See AtLeastOnce.send."""
        return await self._delivery.send(partition, next_offset, messages)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        """1. What was counted up to these positions is published and acknowledged.
        2. The positions are committed.

        FAILED where the first takes longer than the timeout: it goes on, as it does when this call is cancelled, and
        the next call waits for it. Raises PublishRefused where it cannot be done, again at each call from then on.
        """
        try:
            async with asyncio.timeout(self._timeout):
                if self._publishing is not None:
                    await asyncio.shield(self._publishing)
                self._publishing = asyncio.create_task(self._publish(positions))
                self._publishing.add_done_callback(mark_retrieved)
                await asyncio.shield(self._publishing)
        except TimeoutError:
            log.warning("counts of the trends not acknowledged within %g s, waiting on", self._timeout)
            return CommitOutcome.FAILED
        return await self._delivery.commit(positions)

    async def _publish(self, positions: Mapping[TopicPartition, int]) -> None:
        counted = {partition: self._counts.pending(partition, position) for partition, position in positions.items()}
        messages = [message for counts in counted.values() for message in self._counts.messages(counts)]
        if messages:
            await (await self._publisher.send(messages))
        for counts in counted.values():
            if counts:
                self._counts.published(counts[-1])


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
