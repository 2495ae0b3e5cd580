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
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    IllegalOperation,
    IncompatibleBrokerVersion,
    InvalidProducerEpoch,
    InvalidTopicError,
    InvalidTransactionTimeout,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.kafka.cluster import connected
from streamer.kafka.errors import BrokerUnreachable, KafkaFault, PublishRefused, TopicMissing
from streamer.kafka.producer import BATCH_BYTES, Acknowledgement, hand_over, looked_at
from streamer.kafka.security import client_options
from streamer.settings import KafkaSettings

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_FENCED = (InvalidProducerEpoch, ProducerFenced)
# No use in trying again.
_REFUSED = (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    InvalidTopicError,
    InvalidTransactionTimeout,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
# What a transaction may break with. aiokafka asserts its state, which a failure beside us may have changed.
_BREAKS = (AssertionError, IllegalOperation, KafkaError, PublishRefused)
_TRIES = 5  # Times that a transaction is sent.
_RETRY_SECONDS = 0.5
_CLOSE_SECONDS = 1.5  # For each of the three steps of closing: each may hang where a broker does.
_STARTS = 16  # Producers that connect at a time.
_UNSTABLE_OFFSET_COMMIT = 88  # A transaction over this offset is being ended (KIP-447); not in aiokafka's list.
_UNSTABLE_SECONDS = 0.02


class ExactlyOnce:
    """Delivery where everything sent for a partition, and its offset, becomes visible at once, or never.

    `assigned` before anything is read, then `send` and `commit` in any order, and `revoked` in the end. Readers of
    the output topics see committed transactions only if they ask for it (`isolation.level=read_committed`).
    """

    def __init__(
        self, kafka: KafkaSettings, compression: str, transaction_timeout_ms: int = 60_000, prefix: str = "streamer"
    ) -> None:
        """transaction_timeout_ms: after so long the broker aborts an open transaction, for readers wait behind it.
        Well above the commit interval, at most the broker's `transaction.max.timeout.ms`, and some seconds: the
        broker also waits no longer for the replicas of its transaction log.
        prefix: of the transactional ids, `<prefix>/<group>/<topic>/<partition>`: what an ACL can name.
        """
        self._brokers = _Brokers(kafka, client_options(kafka), compression, transaction_timeout_ms, prefix)
        self._partitions: dict[TopicPartition, _Transactions] = {}
        self._commit_timeout = kafka.request_timeout_ms / 1000
        # aiokafka sends no heartbeats while partitions are being assigned.
        self._assign_timeout = kafka.session_timeout_ms / 2000

    async def start(self, *topics: str) -> None:
        """Look whether `topics` are there; nothing stays connected. Raises BrokerUnreachable and TopicMissing."""
        async with connected(self._brokers.kafka) as cluster:
            for topic in topics:
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
                producers = await self._take(partitions)
                try:
                    offsets = await self._brokers.committed(partitions)
                except BaseException:
                    await _each(_close(producer) for producer in producers)
                    raise
        except TimeoutError:
            raise BrokerUnreachable(
                f"kafka.bootstrap_servers {self._brokers.kafka.bootstrap_servers}: "
                f"no transactions within {self._assign_timeout:g} s"
            ) from None
        for partition, producer in zip(partitions, producers, strict=True):
            self._partitions[partition] = _Transactions(self._brokers, partition, producer, offsets[partition])
        return {partition: offset for partition, offset in offsets.items() if offset >= 0}

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Abort what is open of these partitions and close their producers, within some seconds. Commit before."""
        given_up = [self._partitions.pop(partition) for partition in partitions if partition in self._partitions]
        await _each(transactions.close() for transactions in given_up)

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

    async def _take(self, partitions: Sequence[TopicPartition]) -> list[AIOKafkaProducer]:
        """A producer for each. Raises KafkaFault, having closed them all."""
        limit = asyncio.Semaphore(_STARTS)

        async def take(partition: TopicPartition) -> AIOKafkaProducer:
            async with limit:
                return await self._brokers.take(partition)

        tasks = [asyncio.create_task(take(partition)) for partition in partitions]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await _each(_close(producer) for producer in results if not isinstance(producer, BaseException))
            raise


class _Release(NamedTuple):
    """What was sent in one go, kept until it is committed."""

    next_offset: int
    messages: Sequence[Message]


class _Transactions:
    """One input partition: one transaction after the other, each from one commit to the next."""

    def __init__(
        self, brokers: _Brokers, partition: TopicPartition, producer: AIOKafkaProducer, committed: int
    ) -> None:
        self._brokers = brokers
        self._partition = partition
        self._producer = producer
        self._committed = committed  # -1 where nothing is.
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
                    acknowledgement = await self._hand_over(messages)
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
            self._ending.add_done_callback(looked_at)
        return self._ending

    async def close(self) -> None:
        """Abort the open transaction, for its readers' sake: the next owner would, but may be long in coming."""
        if self._ending is not None:
            await asyncio.wait((self._ending,), timeout=_CLOSE_SECONDS)
            self._ending.cancel()
            await asyncio.wait((self._ending,))
        self._lost_at = time.monotonic()
        if self._opened_at is not None and self._broken is None:
            with contextlib.suppress(TimeoutError, *_BREAKS):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._producer.abort_transaction()
        await _close(self._producer)

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
                        await asyncio.sleep(_RETRY_SECONDS)
                    tries += 1
            if self._lost_at is None:
                return CommitOutcome.DONE
            if time.monotonic() - self._lost_at > self._brokers.patience:
                raise KafkaFault(f"{_name(self._partition)} is another worker's, but the group has not said so")
            return CommitOutcome.SKIPPED

    async def _end(self) -> None:
        """1. All of it is acknowledged: aiokafka itself would commit without what was refused.
        2. The offset goes into the transaction.
        3. It is committed.
        """
        for acknowledgement in self._acknowledgements:
            await acknowledgement
        offset = self._releases[-1].next_offset
        group = self._brokers.kafka.group_id
        await self._producer.send_offsets_to_transaction({KafkaPartition(*self._partition): offset}, group)
        await self._producer.commit_transaction()
        self._settle(offset)

    async def _renew(self, broken: BaseException) -> None:
        """1. Fenced before the broker may have aborted the transaction by itself: there is a new owner.
        2. So there is if the offset is elsewhere. Looked at beforehand, not to fence him.
        3. Take the id anew: whatever is under way of the old transaction is committed or aborted by then.
        4. By the offset: it was committed, or there is a new owner, or all is to be sent again.
        """
        if isinstance(_cause(broken), _FENCED) and not self._may_have_timed_out():
            return await self._lose()
        end = self._releases[-1].next_offset if self._releases else self._committed
        if await self._offset(stable=False) not in (self._committed, end):
            return await self._lose()
        await _close(self._producer)
        self._producer = await self._brokers.take(self._partition)
        offset = await self._offset(stable=True)
        if offset == end:
            self._settle(offset)
        elif offset != self._committed:
            await self._lose()
        else:
            log.warning("transaction of %s broke, sending it again: %s", _name(self._partition), _words(broken))
            self._opened_at, self._broken, self._acknowledgements = None, None, []
            for release in self._releases:
                await self._hand_over(release.messages)

    async def _hand_over(self, messages: Sequence[Message]) -> Acknowledgement:
        if self._opened_at is None:
            self._opened_at = time.monotonic()  # Before the broker's clock starts.
            await self._producer.begin_transaction()
        acknowledgement = await hand_over(self._producer, messages)
        self._acknowledgements.append(acknowledgement)
        return acknowledgement

    async def _offset(self, stable: bool) -> int:
        return (await self._brokers.committed([self._partition], stable))[self._partition]

    def _may_have_timed_out(self) -> bool:
        return (
            self._opened_at is not None
            and time.monotonic() - self._opened_at >= self._brokers.transaction_timeout_ms / 1000
        )

    def _settle(self, committed: int) -> None:
        self._committed = committed
        self._releases, self._acknowledgements, self._opened_at, self._broken = [], [], None, None

    async def _lose(self) -> None:
        log.warning("%s is another worker's: dropped what was not committed", _name(self._partition))
        self._lost_at = time.monotonic()
        self._settle(self._committed)
        await _close(self._producer)


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


class _Brokers:
    """What is asked of them outside of a transaction, again and again until there is an answer or a refusal."""

    def __init__(
        self, kafka: KafkaSettings, options: dict[str, Any], compression: str, transaction_timeout_ms: int, prefix: str
    ) -> None:
        self.kafka = kafka
        self.transaction_timeout_ms = transaction_timeout_ms
        # After so long without us, the group has given our partitions to others, and has told us.
        self.patience = (kafka.session_timeout_ms + kafka.rebalance_timeout_ms) / 1000
        self._options = options
        self._compression = None if compression == "none" else compression
        self._prefix = prefix

    async def take(self, partition: TopicPartition) -> AIOKafkaProducer:
        """A producer that has the partition's transactional id. Raises KafkaFault where it may not.

        Whoever had the id is fenced, and his transaction has ended: committed if he had said so, else aborted.
        """
        return await _answered(lambda: self._start(partition), f"transactional id of {_name(partition)}")

    async def committed(self, partitions: Sequence[TopicPartition], stable: bool = True) -> dict[TopicPartition, int]:
        """The next offset committed in the group, -1 where none is. Raises KafkaFault where we may not ask.

        stable: wait for transactions over these offsets that are just being ended (KIP-447; brokers from 2.5 on).
        """
        return await _answered(lambda: self._fetch(partitions, stable), f"offsets of group {self.kafka.group_id!r}")

    async def _start(self, partition: TopicPartition) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._options,
            acks="all",
            # A topic's name has no slash, hence no two partitions of whatever groups have the same id.
            transactional_id=f"{self._prefix}/{self.kafka.group_id}/{partition.topic}/{partition.partition}",
            transaction_timeout_ms=self.transaction_timeout_ms,
            compression_type=self._compression,
            max_batch_size=BATCH_BYTES,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def _fetch(self, partitions: Sequence[TopicPartition], stable: bool) -> dict[TopicPartition, int]:
        client = AIOKafkaClient(**self._options)
        try:
            await client.bootstrap()
            coordinator = await client.coordinator_lookup(CoordinationType.GROUP, self.kafka.group_id)
            request = _OffsetsRequest(self.kafka.group_id, partitions, stable)
            while True:
                offsets = _offsets(await client.send(coordinator, request))
                if offsets is not None:
                    return offsets
                await asyncio.sleep(_UNSTABLE_SECONDS)
        finally:
            await client.close()


class _OffsetsResponse_v7(Response):  # type: ignore[misc]  # aiokafka ships no types.
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString()),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32),
                        ("committed_offset", Int64),
                        ("committed_leader_epoch", Int32),
                        ("metadata", CompactString()),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _OffsetsRequest_v7(RequestStruct):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _OffsetsResponse_v7
    SCHEMA = Schema(
        ("group_id", CompactString()),
        (
            "topics",
            CompactArray(("name", CompactString()), ("partition_indexes", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class _OffsetsRequest(Request[_OffsetsRequest_v7]):  # type: ignore[misc]
    """OffsetFetch in the version that knows `require_stable`, which aiokafka's does not."""

    API_KEY = 9

    def __init__(self, group: str, partitions: Sequence[TopicPartition], stable: bool) -> None:
        topics: dict[str, list[int]] = {}
        for topic, number in partitions:
            topics.setdefault(topic, []).append(number)
        self._fields: tuple[Any, ...] = group, [(topic, numbers, {}) for topic, numbers in topics.items()], stable, {}

    def build(self, struct: Any) -> Any:
        return struct(*self._fields)


def _offsets(answer: Any) -> dict[TopicPartition, int] | None:
    """None where some are not stable yet. Raises KafkaError."""
    offsets, codes = {}, {answer.error_code}
    for topic, partitions, _ in answer.topics:
        for number, offset, _, _, code, _ in partitions:
            offsets[TopicPartition(topic, number)] = offset
            codes.add(code)
    for code in codes - {0, _UNSTABLE_OFFSET_COMMIT}:
        raise for_code(code)()
    return None if _UNSTABLE_OFFSET_COMMIT in codes else offsets


async def _answered(ask: Callable[[], Awaitable[Answer]], what: str) -> Answer:
    """What is asked for, however long it takes. Raises KafkaFault where it is refused."""
    while True:
        try:
            return await ask()
        except NotImplementedError:
            raise KafkaFault("exactly-once delivery needs brokers of Kafka 2.5 or later") from None
        except (KafkaError, OSError) as error:
            if isinstance(error, _REFUSED):
                raise KafkaFault(f"{what}: {_words(error)}") from None
            log.warning("%s: %s; asking again", what, _words(error))
            await asyncio.sleep(_RETRY_SECONDS)


async def _close(producer: AIOKafkaProducer) -> None:
    """Close its connections, even where it would wait for a broker first. Twice does no harm."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await producer.stop()
    except TimeoutError:
        await producer.client.close()
    # aiokafka leaves errors in futures that nobody awaits, of which asyncio would complain.
    batches = [batch for batches in producer._message_accumulator._batches.values() for batch in batches]
    for future in (producer._txn_manager.wait_for_transaction_end(), *(batch._drain_waiter for batch in batches)):
        if future is not None and future.done():
            looked_at(future)


async def _each(closing: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*closing)


def _outcome(task: asyncio.Task[CommitOutcome]) -> CommitOutcome:
    """Raises what the commit raised."""
    if not task.done():
        return CommitOutcome.FAILED
    return CommitOutcome.SKIPPED if task.cancelled() else task.result()


def _cause(error: BaseException) -> BaseException | None:
    """Kafka's own error."""
    return error.__cause__ if isinstance(error, PublishRefused) else error


def _hopeless(error: BaseException) -> bool:
    return isinstance(_cause(error), _REFUSED)


def _fault(partition: TopicPartition, error: BaseException) -> KafkaFault:
    if isinstance(error, PublishRefused):
        return error
    return KafkaFault(f"transaction of {_name(partition)}: {_words(error)}")


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}/{partition.partition}"
