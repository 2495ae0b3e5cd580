"""Exactly-once delivery: a partition's results, its dead letters and its offset in one Kafka transaction.

aiokafka puts offsets into a transaction without the group's generation, so the group does not fence them (KIP-447).
Each input partition therefore has a transactional id, and a producer, of its own. Three rules make delivery exact:

1. Only the producer that initialised the id last can commit: the coordinator fences all others.
2. After initialising the id, its owner fetches the committed offset and continues from exactly that offset.
3. A transaction that failed, or whose outcome is unknown, is never continued. Its owner initialises the id again. The
   committed offset shows what happened: it is where the transaction would have moved it (committed), it has not moved
   (send everything again), or it is somewhere else (there is another owner).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence

from aiokafka import AIOKafkaProducer

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.kafka.cluster import connected
from streamer.kafka.errors import BrokerUnreachable, TopicMissing
from streamer.kafka.patches import close_producer
from streamer.kafka.producer import Acknowledgement
from streamer.kafka.transactional_ids import TransactionClient
from streamer.kafka.transactions import CLOSE_SECONDS, TransactionParticipant, Transactions
from streamer.settings import KafkaSettings

log = logging.getLogger(__name__)

_CONCURRENT_STARTS = 16  # Of producers.


class ExactlyOnce:
    """Delivery where everything sent for a partition, and its offset, becomes visible together or not at all.

    Call `assigned` before reading a partition, then `send` and `commit` in any order, and `revoked` at the end. Readers
    of the output must set `isolation.level=read_committed` to see only committed transactions.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        compression: str,
        *,
        transaction_timeout_ms: int = 60_000,
        prefix: str = "streamer",
        participant: TransactionParticipant | None = None,
    ) -> None:
        """transaction_timeout_ms: the broker aborts a transaction that is open for longer, because readers wait for its
        end. It should be well above the commit interval, at most the broker's `transaction.max.timeout.ms`, and at
        least a few seconds: the broker waits no longer than this for the replicas of its transaction log.
        prefix: of the transactional ids, `<prefix>/<group>/<topic>/<partition>`, so that an ACL can name them.
        participant: what each transaction publishes in addition to the results.
        """
        self._client = TransactionClient(kafka, compression, transaction_timeout_ms, prefix)
        self._participant = participant
        self._partitions: dict[TopicPartition, Transactions] = {}
        self._commit_timeout = kafka.request_timeout_ms / 1000
        # aiokafka sends no heartbeats while partitions are being assigned.
        self._assign_timeout = kafka.session_timeout_ms / 2000

    async def start(self, *topics: str) -> None:
        """Check that `topics` exist. Leaves no connection open. Raises BrokerUnreachable and TopicMissing."""
        if self._participant is not None:
            topics = (*topics, self._participant.topic)
        async with connected(self._client.kafka) as cluster:
            for topic in topics:
                if await cluster.topic(topic) is None:
                    raise TopicMissing(topic)

    async def stop(self) -> None:
        """Abort open transactions and close the connections."""
        await self.revoked(list(self._partitions))

    async def assigned(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Take over these partitions. After this returns, their former owner can no longer commit.

        1. Abort their transactions that this worker still has open.
        2. Initialise their transactional ids.
        3. Fetch their committed offsets.
        4. Let the participant take them over.

        Returns the committed offset of each partition that has one. Reading continues from it, whatever offset
        the consumer found before. Raises KafkaFault, and BrokerUnreachable after half of the session timeout.
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
                    await _close_all(producers)
                    raise
        except TimeoutError:
            raise BrokerUnreachable(
                f"kafka.bootstrap_servers {self._client.kafka.bootstrap_servers}: "
                f"no transactions within {self._assign_timeout:g} s"
            ) from None
        if self._participant is not None:
            try:
                await self._participant.assigned(partitions)
            except BaseException:
                await _close_all(producers)
                raise
        for partition, producer in zip(partitions, producers, strict=True):
            committed = offsets[partition]
            self._partitions[partition] = Transactions(self._client, partition, producer, committed, self._participant)
        return {partition: offset for partition, offset in offsets.items() if offset >= 0}

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Abort their open transactions and close their producers, within a few seconds. Commit before this."""
        closing = [self._partitions.pop(partition) for partition in partitions if partition in self._partitions]
        await asyncio.gather(*(transactions.close() for transactions in closing))
        if self._participant is not None:
            self._participant.revoked(partitions)

    async def send(self, partition: TopicPartition, next_offset: int, messages: Sequence[Message]) -> Awaitable[None]:
        """Send the results of a partition's next records; `next_offset` is the one after the last of them.

        Call this in the order of the records. It waits while the partition's commit runs. The returned awaitable ends
        once the broker has acknowledged everything inside the open transaction, or `commit` will have to send it again.
        Both raise PublishRefused if the broker refuses a message for good. Nothing is sent for a partition
        that is not, or no longer, ours.
        """
        transactions = self._partitions.get(partition)
        return Acknowledgement() if transactions is None else await transactions.send(next_offset, messages)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        """Commit everything that was sent for these partitions, each with the offset of its last `send`.

        The positions themselves are not used: they may lag behind what was sent. SKIPPED: a partition is not, or no
        longer, ours. FAILED: not done within the request timeout. It continues then, as it does when this call is
        cancelled, and the next call waits for it. Raises PublishRefused or KafkaFault if trying again did not help; the
        other partitions are committed.
        """
        tasks = [self._partitions[partition].start_commit() for partition in positions if partition in self._partitions]
        if tasks:
            await asyncio.wait(tasks, timeout=self._commit_timeout)
        outcomes = [CommitOutcome.SKIPPED] * (len(positions) - len(tasks)) + [_outcome(task) for task in tasks]
        if CommitOutcome.FAILED in outcomes:
            count = outcomes.count(CommitOutcome.FAILED)
            log.warning("%d partitions not committed within %g s, still waiting", count, self._commit_timeout)
            return CommitOutcome.FAILED
        return CommitOutcome.SKIPPED if CommitOutcome.SKIPPED in outcomes else CommitOutcome.DONE

    async def _init_transactional_ids(self, partitions: Sequence[TopicPartition]) -> list[AIOKafkaProducer]:
        """A producer for each partition. If one fails, closes all and raises KafkaFault."""
        limit = asyncio.Semaphore(_CONCURRENT_STARTS)

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
            await _close_all(producer for producer in results if not isinstance(producer, BaseException))
            raise


async def _close_all(producers: Iterable[AIOKafkaProducer]) -> None:
    await asyncio.gather(*(close_producer(producer, CLOSE_SECONDS) for producer in producers))


def _outcome(task: asyncio.Task[CommitOutcome]) -> CommitOutcome:
    """How a commit ended; FAILED if it is still running. Raises what the commit raised."""
    if not task.done():
        return CommitOutcome.FAILED
    return CommitOutcome.SKIPPED if task.cancelled() else task.result()
