"""At-least-once delivery: publish, wait for the acknowledgement, then commit."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.kafka.producer import Publisher
from streamer.kafka.source import Consumer


class AtLeastOnce:
    """Delivery that may publish a result twice after a crash, but never loses one."""

    def __init__(self, publisher: Publisher, consumer: Consumer) -> None:
        self._publisher = publisher
        self._consumer = consumer

    async def start(self, *topics: str) -> None:
        """See Publisher.start."""
        await self._publisher.start(*topics)

    async def stop(self) -> None:
        """See Publisher.stop."""
        await self._publisher.stop()

    async def assigned(self, _: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Does nothing: the consumer continues from its committed offsets."""
        return {}

    async def revoked(self, _: Sequence[TopicPartition]) -> None:
        """Does nothing: published results stay."""

    async def send(self, _: TopicPartition, __: int, messages: Sequence[Message]) -> Awaitable[None]:
        """See Publisher.send."""
        return await self._publisher.send(messages)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        """See Consumer.commit."""
        return await self._consumer.commit(positions)
