"""Reads records as a member of a consumer group, and commits the group's offsets."""

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
from streamer.kafka.errors import KafkaFault, TopicMissing, describe, unreachable
from streamer.kafka.patches import fetch_task_ended, group_generation, known_positions, stop_consumer
from streamer.kafka.records import to_record
from streamer.kafka.security import client_options
from streamer.settings import KafkaSettings

log = logging.getLogger(__name__)

# The group has rebalanced, or is about to: the partitions belong to another member.
_REBALANCED = (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
_NOT_AUTHORIZED = (GroupAuthorizationFailedError, TopicAuthorizationFailedError)
_RETRY_SECONDS = 0.5

RebalanceCallback = Callable[[Sequence[TopicPartition]], Awaitable[None]]


class _RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types.
    """Runs the callbacks of a rebalance. Holds a partition's records back until its callback has ended.

    | a partition is | from | until | its records are |
    |---|---|---|---|
    | assigning | aiokafka assigned it | `on_assigned` has ended | held back: aiokafka already returns them (#738) |
    | ready | `on_assigned` has ended | it is revoked | returned, those held back first |
    | revoked | `on_revoked` begins | it is assigned again | dropped |
    """

    def __init__(self, on_assigned: RebalanceCallback, on_revoked: RebalanceCallback) -> None:
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._no_callback_runs = asyncio.Event()
        self._no_callback_runs.set()
        self._ready: frozenset[TopicPartition] = frozenset()
        self._held_back: dict[TopicPartition, list[Record]] = {}
        self._error: Exception | None = None

    async def on_partitions_assigned(self, assigned: set[KafkaPartition]) -> None:
        await self._run(self._on_assigned, assigned)
        self._ready |= {TopicPartition(*partition) for partition in assigned}

    async def on_partitions_revoked(self, revoked: set[KafkaPartition]) -> None:
        self._ready -= {TopicPartition(*partition) for partition in revoked}
        for partition in revoked:
            self.drop(TopicPartition(*partition))
        await self._run(self._on_revoked, revoked)

    async def _run(self, callback: RebalanceCallback, partitions: set[KafkaPartition]) -> None:
        self._no_callback_runs.clear()
        try:
            await callback([TopicPartition(*partition) for partition in sorted(partitions)])
        except Exception as error:
            self._error = error  # aiokafka would only log this.
        finally:
            self._no_callback_runs.set()

    def raise_error(self) -> None:
        """Raise what a callback raised."""
        if self._error is not None:
            raise self._error

    async def callback_runs_after(self, wait: float) -> bool:
        """Whether a callback is running; if so, first wait up to `wait` seconds for it to end."""
        if self._no_callback_runs.is_set():
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._no_callback_runs.wait()
        return True

    def hand_out(self, fetched: dict[TopicPartition, list[Record]]) -> dict[TopicPartition, list[Record]]:
        """The records of ready partitions, those held back first. Holds the other records back."""
        if not self._held_back and fetched.keys() <= self._ready:
            return fetched
        for partition, records in fetched.items():
            self._held_back.setdefault(partition, []).extend(records)
        return {partition: self._held_back.pop(partition) for partition in self._ready & self._held_back.keys()}

    def drop(self, partition: TopicPartition) -> None:
        """Forget the partition's records that are held back."""
        self._held_back.pop(partition, None)


class Consumer:
    """One member of the group, reading one topic."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._topic = topic
        self._max_poll_records = kafka.max_poll_records
        self._request_timeout = kafka.request_timeout_ms / 1000
        self._bootstrap = kafka.bootstrap_servers
        self._listener: _RebalanceListener | None = None
        self._consumer = AIOKafkaConsumer(
            **client_options(kafka),
            group_id=kafka.group_id,
            group_instance_id=kafka.group_instance_id,
            auto_offset_reset=kafka.auto_offset_reset,
            enable_auto_commit=False,
            session_timeout_ms=kafka.session_timeout_ms,
            heartbeat_interval_ms=kafka.heartbeat_interval_ms,
            # aiokafka's default is the session timeout, which is less than a worker may take to drain.
            rebalance_timeout_ms=kafka.rebalance_timeout_ms,
            isolation_level="read_committed",
        )

    async def start(self, on_assigned: RebalanceCallback, on_revoked: RebalanceCallback) -> None:
        """Connect and join the group.

        on_revoked is awaited before the group takes these partitions away: it may still commit.
        Raises BrokerUnreachable, or TopicMissing if the topic does not exist.
        """
        try:
            # aiokafka itself never stops trying when a broker cannot be reached at the address that it advertises.
            async with asyncio.timeout(self._request_timeout):
                await self._consumer.start()
                if self._topic not in await self._consumer.topics():
                    raise TopicMissing(self._topic)
        except BaseException as error:
            await self._consumer.stop()
            if isinstance(error, KafkaError | OSError):
                raise unreachable(self._bootstrap, error) from None
            raise
        self._listener = _RebalanceListener(on_assigned, on_revoked)
        self._consumer.subscribe([self._topic], listener=self._listener)

    async def stop(self) -> None:
        """Leave the group and close the connections. Commit before this."""
        await stop_consumer(self._consumer)

    async def poll(self, wait: float) -> Mapping[TopicPartition, Sequence[Record]]:
        """The next records by partition, in order; empty if none arrive within `wait` seconds.

        It may take longer while the group rebalances. Raises what a rebalance callback raised, and KafkaFault
        if reading is not allowed.
        """
        listener = self._listener
        if listener is None:
            raise RuntimeError("poll before start")
        listener.raise_error()
        if await listener.callback_runs_after(wait):
            return {}
        if fetch_task_ended(self._consumer):
            raise KafkaFault(f"aiokafka's fetch task for {self._topic!r} has ended")
        try:
            # Not under wait_for or a lock: this call waits for a rebalance to end.
            polled = await self._consumer.getmany(timeout_ms=int(wait * 1000), max_records=self._max_poll_records)
        except _NOT_AUTHORIZED as error:
            raise KafkaFault(f"not allowed to read {self._topic!r} in this group: {error}") from None
        except KafkaError as error:
            if not error.retriable:
                # aiokafka may have skipped records without returning them: nothing more may be committed.
                raise KafkaFault(f"reading {self._topic!r} failed: {error}") from None
            log.warning("reading %s failed, trying again: %s", self._topic, error)
            await asyncio.sleep(_RETRY_SECONDS)
            return {}
        fetched = {TopicPartition(*partition): [to_record(r) for r in records] for partition, records in polled.items()}
        return listener.hand_out(fetched)

    def pause(self) -> int:
        """Stop fetching from all assigned partitions; returns how many there are. Keep polling."""
        assigned = self._consumer.assignment()
        self._consumer.pause(*(assigned - self._consumer.paused()))
        return len(assigned)

    def resume(self) -> None:
        """Fetch again."""
        self._consumer.resume(*self._consumer.paused())

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Continue from these offsets instead of the committed ones."""
        for partition, position in positions.items():
            if self._listener is not None:
                self._listener.drop(partition)
            self._consumer.seek(KafkaPartition(*partition), position)

    @property
    def generation(self) -> int:
        """The group's generation, which each rebalance increases; 0 if this consumer is not a member."""
        return group_generation(self._consumer)

    def watermarks(self) -> dict[TopicPartition, int]:
        """The end offset of each assigned partition, if it is known."""
        ends = {tp: self._consumer.highwater(tp) for tp in self._consumer.assignment()}
        return {TopicPartition(*tp): end for tp, end in ends.items() if end is not None}

    def positions(self) -> dict[TopicPartition, int]:
        """The next offset to read in each assigned partition, after any transaction markers, if it is known."""
        return {TopicPartition(*tp): position for tp, position in known_positions(self._consumer).items()}

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        """Commit the next offset of each partition. Raises only KafkaFault, if committing is not allowed."""
        offsets = {KafkaPartition(*partition): position for partition, position in positions.items()}
        try:
            # aiokafka itself never stops trying while the coordinator is away.
            async with asyncio.timeout(self._request_timeout):
                await self._consumer.commit(offsets)
        except _REBALANCED as error:
            log.info("commit skipped, the group has rebalanced: %s", type(error).__name__)
            return CommitOutcome.SKIPPED
        except _NOT_AUTHORIZED as error:
            raise KafkaFault(f"not allowed to commit in this group: {error}") from None
        except (KafkaError, TimeoutError) as error:
            log.warning("commit failed, trying again: %s", describe(error))
            return CommitOutcome.FAILED
        return CommitOutcome.DONE
