"""A member of the group that is no worker: it takes partitions, reads and commits nothing, and goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer

from tests.failures.waiting import eventually
from tests.jobs import Job


class Visitor:
    """Polls in a thread of its own. `freeze` stops that: a rebalance then waits for it, up to its poll interval."""

    def __init__(self, job: Job, patience_ms: int) -> None:
        self.assigned: set[int] = set()
        self._consumer = Consumer(
            {
                "bootstrap.servers": job.bootstrap,
                "group.id": job.group,
                "enable.auto.commit": False,
                "partition.assignment.strategy": "roundrobin",  # What aiokafka asks for.
                "session.timeout.ms": min(patience_ms, 10_000),
                "heartbeat.interval.ms": 500,
                "max.poll.interval.ms": patience_ms,
                "log_level": 0,
            }
        )
        self._consumer.subscribe([job.input], on_assign=self._on_assign, on_revoke=self._on_revoke)
        self._stopping, self._frozen = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._poll, name="visitor")
        self._thread.start()

    def freeze(self) -> None:
        """Poll no more; heartbeats go on."""
        self._frozen.set()

    def leave(self) -> None:
        """Leave the group."""
        self._stopping.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stopping.is_set():
            if self._frozen.is_set():
                self._stopping.wait(0.05)
            else:
                self._consumer.poll(0.05)
        self._consumer.close()

    def _on_assign(self, consumer: Consumer, partitions: list) -> None:  # type: ignore[type-arg]
        self.assigned = {partition.partition for partition in partitions}
        consumer.assign(partitions)
        consumer.pause(partitions)

    def _on_revoke(self, consumer: Consumer, partitions: list) -> None:  # type: ignore[type-arg]
        self.assigned = set()
        consumer.unassign()


@contextmanager
def visiting(job: Job, patience_ms: int = 60_000) -> Iterator[Visitor]:
    """A visitor that has partitions when the block begins, and has left when it is over."""
    visitor = Visitor(job, patience_ms)
    try:
        eventually(lambda: bool(visitor.assigned), "the visitor has partitions")
        yield visitor
    finally:
        visitor.leave()
