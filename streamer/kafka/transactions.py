"""The transactions of one input partition, one after the other; the rules stand in `streamer.kafka.exactly_once`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Generator, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, KafkaError, ProducerFenced

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.kafka.counts import TrendPublisher
from streamer.kafka.errors import KafkaFault, PublishRefused
from streamer.kafka.producer import Acknowledgement, mark_retrieved, send_batches
from streamer.kafka.transactional_ids import (
    CLOSE_SECONDS,
    REFUSED,
    RETRY_SECONDS,
    TransactionClient,
    close,
    name_of,
    words,
)
from streamer.trends import CountDelta

log = logging.getLogger(__name__)

_FENCED = (InvalidProducerEpoch, ProducerFenced)
# What a transaction may break with. aiokafka asserts its state, which a failure beside us may have changed.
_BREAKS = (AssertionError, IllegalOperation, KafkaError, PublishRefused)
_TRIES = 5  # Times that a transaction is sent.


class _Release(NamedTuple):
    """What was sent in one go, kept until it is committed."""

    next_offset: int
    messages: Sequence[Message]


class Transactions:
    """One input partition: one transaction after the other, each from one commit to the next."""

    def __init__(
        self,
        brokers: TransactionClient,
        partition: TopicPartition,
        producer: AIOKafkaProducer,
        committed: int,
        counts: TrendPublisher | None = None,
    ) -> None:
        self._client = brokers
        self._partition = partition
        self._producer = producer
        self._committed = committed  # -1 where nothing is.
        self._counts = counts
        self._counted: CountDelta | None = None  # The last of what the open transaction publishes of the trends.
        self._lock = asyncio.Lock()  # Nothing may be sent while the transaction ends.
        self._releases: list[_Release] = []  # Of the open transaction, in order.
        self._acknowledgements: list[Acknowledgement] = []  # Likewise.
        self._opened_at: float | None = None  # Monotonic; None where no transaction is open.
        self._broken: BaseException | None = None  # Why nothing can be done before the id is taken anew.
        self._lost_at: float | None = None  # Since when the partition is another's; monotonic.
        self._ending: asyncio.Task[CommitOutcome] | None = None

    async def send(self, next_offset: int, messages: Sequence[Message]) -> Awaitable[None]:
        """See ExactlyOnce.send."""
        async with self._lock:
            if self._lost_at is not None:
                return Acknowledgement(())
            acknowledgement = Acknowledgement(())
            try:
                if self._broken is None:
                    acknowledgement = await self._send_batches(messages)
            except BaseException as error:
                # Part of it may be in the transaction, without its offset. Was it cancelled, it is not ours to send.
                self._broken = error
                if not isinstance(error, _BREAKS) or _hopeless(error):
                    raise
            self._releases.append(_Release(next_offset, messages))
            return _Sent(acknowledgement)

    def ending(self) -> asyncio.Task[CommitOutcome]:
        """The commit, as a task of its own: half a commit would leave it unknown what is committed."""
        if self._ending is None or self._ending.done():
            self._ending = asyncio.create_task(self._commit())
            self._ending.add_done_callback(mark_retrieved)
        return self._ending

    async def close(self) -> None:
        """Abort the open transaction, for its readers' sake: the next owner would, but may be long in coming."""
        if self._ending is not None:
            await asyncio.wait((self._ending,), timeout=CLOSE_SECONDS)
            self._ending.cancel()
            await asyncio.wait((self._ending,))
        self._lost_at = time.monotonic()
        if self._opened_at is not None and self._broken is None:
            with contextlib.suppress(TimeoutError, *_BREAKS):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._producer.abort_transaction()
        await close(self._producer)

    async def _commit(self) -> CommitOutcome:
        """End the transaction, sending it again as often as need be."""
        async with self._lock:
            tries = 1
            while self._lost_at is None and (self._releases or self._broken is not None):
                try:
                    await (self._end() if self._broken is None else self._renew(self._broken))
                except BaseException as error:
                    self._broken = error
                    if not isinstance(error, _BREAKS):
                        raise
                    if _hopeless(error) or tries == _TRIES:
                        raise _fault(self._partition, error) from None
                    if tries > 1:
                        await asyncio.sleep(RETRY_SECONDS)
                    tries += 1
            if self._lost_at is None:
                return CommitOutcome.DONE
            if time.monotonic() - self._lost_at > self._client.patience:
                raise KafkaFault(f"{name_of(self._partition)} is another worker's, but the group has not said so")
            return CommitOutcome.SKIPPED

    async def _end(self) -> None:
        """1. All of it is acknowledged: aiokafka itself would commit without what was refused.
        2. So is what was counted up to the offset.
        3. The offset goes into the transaction.
        4. It is committed.
        """
        for acknowledgement in self._acknowledgements:
            await acknowledgement
        offset = self._releases[-1].next_offset
        if self._counts is not None and (counted := self._counts.pending(self._partition, offset)):
            self._counted = counted[-1]
            await (await send_batches(self._producer, self._counts.messages(counted)))
        group = self._client.kafka.group_id
        await self._producer.send_offsets_to_transaction({KafkaPartition(*self._partition): offset}, group)
        await self._producer.commit_transaction()
        self._settle(offset)

    async def _renew(self, broken: BaseException) -> None:
        """1. Fenced before the broker may have aborted the transaction by itself: there is a new owner.
        2. So there is if the offset is elsewhere. Looked at beforehand, not to fence him.
        3. Take the id anew: whatever is under way of the old transaction is committed or aborted by then.
        4. By the offset: it was committed, or there is a new owner, or all is to be sent again.
        """
        if self._fenced(broken) and not self._may_have_timed_out():
            return await self._lose()
        end = self._releases[-1].next_offset if self._releases else self._committed
        if await self._offset(stable=False) not in (self._committed, end):
            return await self._lose()
        await close(self._producer)
        self._producer = await self._client.init_transactional_id(self._partition)
        offset = await self._offset(stable=True)
        if offset == end:
            self._settle(offset)
        elif offset != self._committed:
            await self._lose()
        else:
            log.warning("transaction of %s broke, sending it again: %s", name_of(self._partition), words(broken))
            self._opened_at, self._broken, self._acknowledgements = None, None, []
            for release in self._releases:
                await self._send_batches(release.messages)

    async def _send_batches(self, messages: Sequence[Message]) -> Acknowledgement:
        if self._opened_at is None:
            self._opened_at = time.monotonic()  # Before the broker's clock starts.
            await self._producer.begin_transaction()
        acknowledgement = await send_batches(self._producer, messages)
        self._acknowledgements.append(acknowledgement)
        return acknowledgement

    async def _offset(self, stable: bool) -> int:
        return (await self._client.committed([self._partition], stable))[self._partition]

    def _fenced(self, broken: BaseException) -> bool:
        """By what it broke with, or by what came of anything sent: aiokafka may tell of a consequence first."""
        sent = (error for acknowledgement in self._acknowledgements for error in acknowledgement.errors())
        return any(isinstance(_cause(error), _FENCED) for error in (broken, *sent))

    def _may_have_timed_out(self) -> bool:
        return (
            self._opened_at is not None
            and time.monotonic() - self._opened_at >= self._client.transaction_timeout_ms / 1000
        )

    def _settle(self, committed: int) -> None:
        self._committed = committed
        if self._counts is not None and self._counted is not None and self._counted.end <= committed:
            self._counts.published(self._counted)
        self._counted = None
        self._releases, self._acknowledgements, self._opened_at, self._broken = [], [], None, None

    async def _lose(self) -> None:
        log.warning("%s is another worker's: dropped what was not committed", name_of(self._partition))
        self._lost_at = time.monotonic()
        self._settle(self._committed)
        await close(self._producer)


class _Sent:
    """Awaits an acknowledgement, and leaves to the commit what that can mend. May be dropped like it."""

    def __init__(self, acknowledgement: Acknowledgement) -> None:
        self._acknowledgement = acknowledgement

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        try:
            await self._acknowledgement
        except PublishRefused as error:
            if _hopeless(error):
                raise


def _cause(error: BaseException) -> BaseException | None:
    """Kafka's own error."""
    return error.__cause__ if isinstance(error, PublishRefused) else error


def _hopeless(error: BaseException) -> bool:
    return isinstance(_cause(error), REFUSED)


def _fault(partition: TopicPartition, error: BaseException) -> KafkaFault:
    if isinstance(error, PublishRefused):
        return error
    return KafkaFault(f"transaction of {name_of(partition)}: {words(error)}")
