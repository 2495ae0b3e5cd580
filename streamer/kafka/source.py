"""Reads records as a member of a consumer group, and commits where the group is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalGenerationError,
    IllegalStateError,
    KafkaError,
    RebalanceInProgressError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)

from streamer.events import CommitOutcome, Record, TopicPartition
from streamer.kafka.errors import KafkaFault, TopicMissing, unreachable
from streamer.kafka.security import client_options
from streamer.settings import KafkaSettings

log = logging.getLogger(__name__)

# The group moved on: what we have belongs to somebody else by now, or soon will.
_MOVED_ON = (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
_REFUSED = (GroupAuthorizationFailedError, TopicAuthorizationFailedError)
_RETRY_SECONDS = 0.5

Rebalanced = Callable[[Sequence[TopicPartition]], Awaitable[None]]


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types.
    """Passes rebalances on; keeps what they raise, since aiokafka would swallow it.

    settled: no rebalance is being passed on. announced: partitions whose assignment was, to its end. early: records
    that aiokafka handed out before that.
    """

    def __init__(self, on_assigned: Rebalanced, on_revoked: Rebalanced) -> None:
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self.settled = asyncio.Event()
        self.settled.set()
        self.announced: frozenset[TopicPartition] = frozenset()
        self.early: dict[TopicPartition, list[Record]] = {}
        self.error: Exception | None = None

    async def on_partitions_assigned(self, assigned: set[KafkaPartition]) -> None:
        await self._pass_on(self._on_assigned, assigned)
        self.announced |= {TopicPartition(*partition) for partition in assigned}

    async def on_partitions_revoked(self, revoked: set[KafkaPartition]) -> None:
        self.announced -= {TopicPartition(*partition) for partition in revoked}
        for partition in revoked:
            self.early.pop(TopicPartition(*partition), None)
        await self._pass_on(self._on_revoked, revoked)

    async def _pass_on(self, callback: Rebalanced, partitions: set[KafkaPartition]) -> None:
        self.settled.clear()
        try:
            await callback([TopicPartition(*partition) for partition in sorted(partitions)])
        except Exception as error:
            self.error = error
        finally:
            self.settled.set()


class Consumer:
    """One member of the group, reading one topic."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._topic = topic
        self._max_poll_records = kafka.max_poll_records
        self._request_timeout = kafka.request_timeout_ms / 1000
        self._bootstrap = kafka.bootstrap_servers
        self._listener: _Listener | None = None
        self._consumer = AIOKafkaConsumer(
            **client_options(kafka),
            group_id=kafka.group_id,
            group_instance_id=kafka.group_instance_id,
            auto_offset_reset=kafka.auto_offset_reset,
            enable_auto_commit=False,
            session_timeout_ms=kafka.session_timeout_ms,
            heartbeat_interval_ms=kafka.heartbeat_interval_ms,
            # aiokafka's default is the session timeout: a worker that drains would hold up the rebalance for less.
            rebalance_timeout_ms=kafka.rebalance_timeout_ms,
            isolation_level="read_committed",
        )

    async def start(self, on_assigned: Rebalanced, on_revoked: Rebalanced) -> None:
        """Connect and join the group.

        on_revoked is awaited before the group goes on without these partitions: it may still commit.
        Raises BrokerUnreachable, or TopicMissing where the topic is not there.
        """
        try:
            # aiokafka itself tries without an end where a broker cannot be reached at the address that it advertises.
            async with asyncio.timeout(self._request_timeout):
                await self._consumer.start()
                if self._topic not in await self._consumer.topics():
                    raise TopicMissing(self._topic)
        except BaseException as error:
            await self._consumer.stop()
            if isinstance(error, KafkaError | OSError):
                raise unreachable(self._bootstrap, error) from None
            raise
        self._listener = _Listener(on_assigned, on_revoked)
        self._consumer.subscribe([self._topic], listener=self._listener)

    async def stop(self) -> None:
        """Leave the group and close the connections. Offsets must have been committed before."""
        try:
            await self._consumer.stop()
        except asyncio.CancelledError:
            # aiokafka lets the cancellation of its own fetch task out, where a broker is away, and stays open.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            await self._consumer._client.close()

    async def poll(self, wait: float) -> Mapping[TopicPartition, Sequence[Record]]:
        """The next records by partition, in order; nothing after `wait` seconds without any.

        It may take longer while the group rebalances. Raises what a rebalance callback raised, and KafkaFault
        where reading is not allowed.
        """
        listener = self._listener
        if listener is None:
            raise RuntimeError("poll before start")
        if listener.error is not None:
            raise listener.error
        if not listener.settled.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await listener.settled.wait()
            return {}
        if self._consumer._fetcher.error_future.done():
            # Polls would be empty for ever, while heartbeats keep the partitions with us.
            raise KafkaFault(f"aiokafka's fetch task for {self._topic!r} has died")
        try:
            # Not under wait_for or a lock: aiokafka waits in here for a rebalance to end.
            polled = await self._consumer.getmany(timeout_ms=int(wait * 1000), max_records=self._max_poll_records)
        except _REFUSED as error:
            raise KafkaFault(f"not allowed to read {self._topic!r} in this group: {error}") from None
        except KafkaError as error:
            if not error.retriable:
                # aiokafka may have moved on past records that it then did not hand out: nothing more may be committed.
                raise KafkaFault(f"reading {self._topic!r} failed: {error}") from None
            log.warning("reading %s failed, trying again: %s", self._topic, error)
            await asyncio.sleep(_RETRY_SECONDS)
            return {}
        fetched = {
            TopicPartition(*partition): [
                Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in records
            ]
            for partition, records in polled.items()
        }
        return _in_time(fetched, listener)

    def pause(self) -> int:
        """Stop fetching from all assigned partitions; returns how many. Polling must go on."""
        assigned = self._consumer.assignment()
        self._consumer.pause(*(assigned - self._consumer.paused()))
        return len(assigned)

    def resume(self) -> None:
        """Fetch again."""
        self._consumer.resume(*self._consumer.paused())

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets instead of the committed ones that were found."""
        for partition, position in positions.items():
            if self._listener is not None:
                self._listener.early.pop(partition, None)
            self._consumer.seek(KafkaPartition(*partition), position)

    @property
    def generation(self) -> int:
        """Of our membership in the group: each rebalance has a higher one; 0 where we are no member."""
        return max(0, getattr(self._consumer._coordinator, "generation", 0))

    def watermarks(self) -> dict[TopicPartition, int]:
        """End offset of each assigned partition, as far as it is known."""
        ends = {tp: self._consumer.highwater(tp) for tp in self._consumer.assignment()}
        return {TopicPartition(*tp): end for tp, end in ends.items() if end is not None}

    def positions(self) -> dict[TopicPartition, int]:
        """Next offset to be handed out of each assigned partition, past transaction markers; as far as it is known."""
        subscription = self._consumer._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return {}
        states = {tp: subscription.assignment.state_value(tp) for tp in subscription.assignment.tps}
        return {TopicPartition(*tp): state.position for tp, state in states.items() if state.has_valid_position}

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        """Commit the next offset of each partition. Never fatal, except KafkaFault where it is not allowed."""
        offsets = {KafkaPartition(*partition): position for partition, position in positions.items()}
        try:
            # aiokafka itself retries without an end while the coordinator is away.
            async with asyncio.timeout(self._request_timeout):
                await self._consumer.commit(offsets)
        except _MOVED_ON as error:
            log.info("commit skipped, the group has moved on: %s", type(error).__name__)
            return CommitOutcome.SKIPPED
        except _REFUSED as error:
            raise KafkaFault(f"not allowed to commit in this group: {error}") from None
        except (KafkaError, TimeoutError) as error:
            log.warning("commit failed, trying again: %s", str(error) or type(error).__name__)
            return CommitOutcome.FAILED
        return CommitOutcome.DONE


def _in_time(fetched: dict[TopicPartition, list[Record]], listener: _Listener) -> dict[TopicPartition, list[Record]]:
    """Keep back what aiokafka hands out while an assignment is still being passed on: it would be dropped, and lost."""
    if not listener.early and fetched.keys() <= listener.announced:
        return fetched
    for partition, records in fetched.items():
        listener.early.setdefault(partition, []).extend(records)
    return {partition: listener.early.pop(partition) for partition in listener.announced & listener.early.keys()}
