"""Exactly-once delivery: a partition's results, its dead letters and its offset in one Kafka transaction.

aiokafka puts offsets into a transaction without the group's generation, so the group does not fence them (KIP-447).
Each input partition therefore has a transactional id, and a producer, of its own. Three rules make it exact:

1. Whoever took the id last is the only one who can commit: the coordinator refuses all before him.
2. Having taken it, he asks for the committed offset, and goes on from there and nowhere else.
3. A transaction whose end is unknown, or that went wrong, is never picked up again. Its owner takes the id anew, and
   the offset says which it was: moved to where he wanted it (it was committed), unmoved (send all again), or
   elsewhere (another owner has gone on).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence

from aiokafka import AIOKafkaProducer

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.kafka.cluster import connected
from streamer.kafka.counts import TrendPublisher
from streamer.kafka.errors import BrokerUnreachable, TopicMissing
from streamer.kafka.producer import Acknowledgement
from streamer.kafka.security import client_options
from streamer.kafka.transactional_ids import TransactionClient, close
from streamer.kafka.transactions import Transactions
from streamer.settings import KafkaSettings

log = logging.getLogger(__name__)

_STARTS = 16  # Producers that connect at a time.


class ExactlyOnce:
    """Delivery where everything sent for a partition, and its offset, becomes visible at once, or never.

    `assigned` before anything is read, then `send` and `commit` in any order, and `revoked` in the end. Readers of
    the output topics see committed transactions only if they ask for it (`isolation.level=read_committed`).
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        compression: str,
        transaction_timeout_ms: int = 60_000,
        prefix: str = "streamer",
        counts: TrendPublisher | None = None,
    ) -> None:
        """transaction_timeout_ms: after so long the broker aborts an open transaction, for readers wait behind it.
        Well above the commit interval, at most the broker's `transaction.max.timeout.ms`, and some seconds: the
        broker also waits no longer for the replicas of its transaction log.
        prefix: of the transactional ids, `<prefix>/<group>/<topic>/<partition>`: what an ACL can name.
        counts: what each transaction publishes of the trends.
        """
        self._client = TransactionClient(kafka, client_options(kafka), compression, transaction_timeout_ms, prefix)
        self._counts = counts
        self._partitions: dict[TopicPartition, Transactions] = {}
        self._commit_timeout = kafka.request_timeout_ms / 1000
        # aiokafka sends no heartbeats while partitions are being assigned.
        self._assign_timeout = kafka.session_timeout_ms / 2000

    async def start(self, *topics: str) -> None:
        """Look whether `topics` are there; nothing stays connected. Raises BrokerUnreachable and TopicMissing."""
        async with connected(self._client.kafka) as cluster:
            for topic in (*topics, *([self._counts.topic] if self._counts else [])):
                if await cluster.topic(topic) is None:
                    raise TopicMissing(topic)

    async def stop(self) -> None:
        """Abort what is open and close the connections."""
        await self.revoked(list(self._partitions))

    async def assigned(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """These partitions are ours as soon as this returns: their former owner can commit nothing any more.

        Returns the next offset of each that has one committed: the place to read on from, whatever the consumer
        found before this. Raises KafkaFault, and BrokerUnreachable after half of the session timeout.
        """
        await self.revoked(partitions)
        if not partitions:
            return {}
        try:
            async with asyncio.timeout(self._assign_timeout):
                producers = await self._init_transactional_ids(partitions)
                try:
                    offsets = await self._client.committed(partitions)
                except BaseException:
                    await _each(close(producer) for producer in producers)
                    raise
        except TimeoutError:
            raise BrokerUnreachable(
                f"kafka.bootstrap_servers {self._client.kafka.bootstrap_servers}: "
                f"no transactions within {self._assign_timeout:g} s"
            ) from None
        if self._counts is not None:
            try:
                await self._counts.assigned(partitions)
            except BaseException:
                await _each(close(producer) for producer in producers)
                raise
        for partition, producer in zip(partitions, producers, strict=True):
            committed = offsets[partition]
            self._partitions[partition] = Transactions(self._client, partition, producer, committed, self._counts)
        return {partition: offset for partition, offset in offsets.items() if offset >= 0}

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Abort what is open of these partitions and close their producers, within some seconds. Commit before."""
        given_up = [self._partitions.pop(partition) for partition in partitions if partition in self._partitions]
        await _each(transactions.close() for transactions in given_up)
        if self._counts is not None:
            self._counts.revoked(partitions)

    async def send(self, partition: TopicPartition, next_offset: int, messages: Sequence[Message]) -> Awaitable[None]:
        """Take over what the next records of a partition have become; `next_offset` is the one after the last.

        To be called in their order. Waits while the partition's commit runs. The awaitable returned ends once the
        broker has acknowledged all inside the open transaction, or it is known that `commit` has to send it again.
        Both raise PublishRefused where the broker refuses a message for good. Nothing is sent of a partition that
        is not, or no longer, ours.
        """
        transactions = self._partitions.get(partition)
        return Acknowledgement(()) if transactions is None else await transactions.send(next_offset, messages)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        """Commit all that was sent of these partitions, each with the offset of its last `send`.

        The positions themselves do not matter: they may lag behind what was sent. SKIPPED: a partition is not, or
        no longer, ours. FAILED: not done within the request timeout; it goes on, as it does when this call is
        cancelled, and the next call waits for it again. Raises PublishRefused or KafkaFault where trying again did
        not help, with the other partitions committed.
        """
        tasks = [self._partitions[partition].ending() for partition in positions if partition in self._partitions]
        if tasks:
            await asyncio.wait(tasks, timeout=self._commit_timeout)
        outcomes = [CommitOutcome.SKIPPED] * (len(positions) - len(tasks)) + [_outcome(task) for task in tasks]
        if CommitOutcome.FAILED in outcomes:
            count = outcomes.count(CommitOutcome.FAILED)
            log.warning("%d partitions not committed within %g s, waiting on", count, self._commit_timeout)
            return CommitOutcome.FAILED
        return CommitOutcome.SKIPPED if CommitOutcome.SKIPPED in outcomes else CommitOutcome.DONE

    async def _init_transactional_ids(self, partitions: Sequence[TopicPartition]) -> list[AIOKafkaProducer]:
        """A producer for each. Raises KafkaFault, having closed them all."""
        limit = asyncio.Semaphore(_STARTS)

        async def init_transactional_id(partition: TopicPartition) -> AIOKafkaProducer:
            async with limit:
                return await self._client.init_transactional_id(partition)

        tasks = [asyncio.create_task(init_transactional_id(partition)) for partition in partitions]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await _each(close(producer) for producer in results if not isinstance(producer, BaseException))
            raise


async def _each(closing: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*closing)


def _outcome(task: asyncio.Task[CommitOutcome]) -> CommitOutcome:
    """Raises what the commit raised."""
    if not task.done():
        return CommitOutcome.FAILED
    return CommitOutcome.SKIPPED if task.cancelled() else task.result()
