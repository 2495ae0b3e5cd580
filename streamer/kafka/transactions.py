"""The transactions of one input partition, one after the other. `streamer.kafka.exactly_once` has the rules, and
`streamer.kafka.transaction_state` the states and their transitions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Generator, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, KafkaError, ProducerFenced

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.kafka.errors import KafkaFault, PublishRefused, describe
from streamer.kafka.patches import close_producer, mark_retrieved
from streamer.kafka.producer import Acknowledgement, send_batches
from streamer.kafka.transaction_state import (
    Broken,
    Closed,
    Committing,
    Idle,
    Lost,
    Open,
    Recovering,
    Release,
    State,
    Transaction,
    transition,
)
from streamer.kafka.transactional_ids import PERMANENT_ERRORS, RETRY_SECONDS, TransactionClient

log = logging.getLogger(__name__)

_FENCED = (InvalidProducerEpoch, ProducerFenced)
# Errors that break a transaction. aiokafka asserts its state, which a concurrent failure may have changed.
_BREAKING = (AssertionError, IllegalOperation, KafkaError, PublishRefused)
_MAX_ATTEMPTS = 5  # To commit a transaction.
CLOSE_SECONDS = 1.5  # For each of the three steps of closing: each may hang if its broker does.


class TransactionParticipant(Protocol):
    """What each transaction publishes in addition to the results: `streamer.trends.publisher.TrendPublisher`."""

    topic: str

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """These partitions are ours, and no former owner can commit any more."""
        ...

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """These partitions are no longer ours."""
        ...

    def pending_messages(self, partition: TopicPartition, next_offset: int) -> Sequence[Message]:
        """What to publish in the transaction that commits `next_offset`. Returns the same until it is published."""
        ...

    def mark_published(self, partition: TopicPartition, next_offset: int) -> None:
        """The transaction that committed `next_offset` has published the last result of `pending_messages`."""
        ...


class Transactions:
    """A sequence of transactions, each from one commit to the next."""

    def __init__(
        self,
        client: TransactionClient,
        partition: TopicPartition,
        producer: AIOKafkaProducer,
        committed: int,
        participant: TransactionParticipant | None = None,
    ) -> None:
        """producer: with the partition's transactional id. committed: the group's committed offset, -1 if none."""
        self._client = client
        self._partition = partition
        self._producer = producer
        self._committed = committed
        self._participant = participant
        self._state: State = Idle()
        self._lock = asyncio.Lock()  # Held while something is sent, and while the transaction ends.
        self._commit_task: asyncio.Task[CommitOutcome] | None = None

    @property
    def state(self) -> State:
        return self._state

    async def send(self, next_offset: int, messages: Sequence[Message]) -> Awaitable[None]:
        """See ExactlyOnce.send."""
        async with self._lock:
            state = self._state
            if isinstance(state, Lost | Closed):
                return Acknowledgement()
            acknowledgement = Acknowledgement()
            if isinstance(state, Idle | Open):
                try:
                    transaction = state.transaction if isinstance(state, Open) else await self._begin([])
                    acknowledgement = await self._send_messages(transaction, messages)
                except BaseException as error:
                    # Part of it may be in the transaction, without its offset. A cancelled send is not repeated.
                    self._break(error)
                    if not isinstance(error, _BREAKING) or _is_permanent(error):
                        raise
            if isinstance(self._state, Open | Broken):
                self._state.transaction.releases.append(Release(next_offset, messages))
            return _Sent(acknowledgement)

    def start_commit(self) -> asyncio.Task[CommitOutcome]:
        """The commit, as its own task: cancelling it half-way would leave the outcome unknown."""
        if self._commit_task is None or self._commit_task.done():
            self._commit_task = asyncio.create_task(self._commit())
            self._commit_task.add_done_callback(mark_retrieved)
        return self._commit_task

    async def close(self) -> None:
        """Abort the open transaction, since readers of the output wait for its end, and close the producer."""
        if self._commit_task is not None:
            await asyncio.wait((self._commit_task,), timeout=CLOSE_SECONDS)
            self._commit_task.cancel()
            await asyncio.wait((self._commit_task,))
        was_open = isinstance(self._state, Open)
        self._enter(Closed())
        if was_open:
            with contextlib.suppress(TimeoutError, *_BREAKING):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._producer.abort_transaction()
        await close_producer(self._producer, CLOSE_SECONDS)

    async def _commit(self) -> CommitOutcome:
        """Commit the transaction. Recover it each time it breaks, up to the limit of attempts."""
        async with self._lock:
            attempt = 1
            while isinstance(self._state, Open | Broken):
                try:
                    if isinstance(self._state, Open):
                        await self._end(self._state.transaction)
                    else:
                        await self._recover(self._state)
                except BaseException as error:
                    self._break(error)
                    if not isinstance(error, _BREAKING):
                        raise
                    if _is_permanent(error) or attempt == _MAX_ATTEMPTS:
                        raise _fault(self._partition, error) from None
                    if attempt > 1:
                        await asyncio.sleep(RETRY_SECONDS)
                    attempt += 1
            if isinstance(self._state, Idle):
                return CommitOutcome.DONE
            if isinstance(self._state, Lost) and time.monotonic() - self._state.since > self._client.rebalance_seconds:
                raise KafkaFault(f"{self._partition} is another worker's, but the group has not said so")
            return CommitOutcome.SKIPPED

    async def _end(self, transaction: Transaction) -> None:
        """1. Everything is acknowledged: aiokafka itself would commit without the refused messages.
        2. The participant's messages up to the offset are published and acknowledged.
        3. The offset is added to the transaction.
        4. The transaction is committed.
        """
        self._enter(Committing(transaction))
        for acknowledgement in transaction.acknowledgements:
            await acknowledgement
        offset = transaction.next_offset(self._committed)
        if self._participant is not None:
            messages = self._participant.pending_messages(self._partition, offset)
            await (await send_batches(self._producer, messages))
        group = self._client.kafka.group_id
        await self._producer.send_offsets_to_transaction({KafkaPartition(*self._partition): offset}, group)
        await self._producer.commit_transaction()
        self._mark_committed(offset)

    async def _recover(self, broken: Broken) -> None:
        """1. Fenced before the broker may have aborted the transaction by itself: there is a new owner.
        2. The committed offset is somewhere else: there is a new owner. Check before step 3, which would fence it.
        3. Initialise the id again: after that, the old transaction has been committed or aborted.
        4. The offset shows whether it was committed, there is a new owner, or everything must be sent again.
        """
        transaction = broken.transaction
        self._enter(Recovering(transaction))
        if _is_fenced(broken) and not self._may_have_timed_out(transaction):
            return await self._mark_lost()
        end = transaction.next_offset(self._committed)
        if await self._committed_offset(require_stable=False) not in (self._committed, end):
            return await self._mark_lost()
        await close_producer(self._producer, CLOSE_SECONDS)
        self._producer = await self._client.init_transactional_id(self._partition)
        offset = await self._committed_offset(require_stable=True)
        if offset == end:
            self._mark_committed(offset)
        elif offset != self._committed:
            await self._mark_lost()
        else:
            log.warning("transaction of %s broke, sending it again: %s", self._partition, describe(broken.cause))
            again = await self._begin(transaction.releases)
            for release in transaction.releases:
                await self._send_messages(again, release.messages)

    async def _begin(self, releases: list[Release]) -> Transaction:
        transaction = Transaction(time.monotonic(), releases)
        self._enter(Open(transaction))
        await self._producer.begin_transaction()
        return transaction

    async def _send_messages(self, transaction: Transaction, messages: Sequence[Message]) -> Acknowledgement:
        acknowledgement = await send_batches(self._producer, messages)
        transaction.acknowledgements.append(acknowledgement)
        return acknowledgement

    def _mark_committed(self, committed: int) -> None:
        """The transaction is committed."""
        self._committed = committed
        if self._participant is not None:
            self._participant.mark_published(self._partition, committed)
        self._enter(Idle())

    async def _mark_lost(self) -> None:
        log.warning("%s belongs to another worker: dropped what was not committed", self._partition)
        self._enter(Lost(time.monotonic()))
        await close_producer(self._producer, CLOSE_SECONDS)

    def _break(self, cause: BaseException) -> None:
        if isinstance(self._state, Open | Committing | Recovering):
            self._enter(Broken(self._state.transaction, cause))

    def _enter(self, state: State) -> None:
        self._state = transition(self._state, state)

    def _may_have_timed_out(self, transaction: Transaction) -> bool:
        """Whether the broker may have aborted it because of its timeout."""
        return time.monotonic() - transaction.opened_at >= self._client.transaction_timeout_ms / 1000

    async def _committed_offset(self, require_stable: bool) -> int:
        return (await self._client.committed([self._partition], require_stable))[self._partition]


class _Sent:
    """Awaits an acknowledgement. Raises only permanent errors; the commit recovers from the others. May be dropped."""

    def __init__(self, acknowledgement: Acknowledgement) -> None:
        self._acknowledgement = acknowledgement

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        try:
            await self._acknowledgement
        except PublishRefused as error:
            if _is_permanent(error):
                raise


def _is_fenced(broken: Broken) -> bool:
    """Whether the cause, or any error of a send, is fencing: aiokafka may report a later error first."""
    sent = (error for acknowledgement in broken.transaction.acknowledgements for error in acknowledgement.errors())
    return any(isinstance(_kafka_error(error), _FENCED) for error in (broken.cause, *sent))


def _is_permanent(error: BaseException) -> bool:
    return isinstance(_kafka_error(error), PERMANENT_ERRORS)


def _kafka_error(error: BaseException) -> BaseException | None:
    """The error that Kafka reported."""
    return error.__cause__ if isinstance(error, PublishRefused) else error


def _fault(partition: TopicPartition, error: BaseException) -> KafkaFault:
    if isinstance(error, PublishRefused):
        return error
    return KafkaFault(f"transaction of {partition}: {describe(error)}")
