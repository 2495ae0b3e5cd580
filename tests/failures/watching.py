"""The output topic as it grows: when results flow, and how far they have come."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Self, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from tests.checkers import Position, Record
from tests.failures.ledger import Ledger
from tests.jobs import Job


class Watcher:
    """Reads results as they come, inside its `with` block. It sits out broker faults.

    seen: results, repeated ones included. newest: the highest source offset seen, by source partition.
    ends: where it has been at a partition's end, that is the offset after its last record. ledger: told of each
    result, if there is one.
    """

    def __init__(self, job: Job) -> None:
        self.seen = 0
        self.newest: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self.ledger: Ledger | None = None
        self._job = job
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher")

    def passed(self, offsets: Mapping[int, int]) -> bool:
        """Whether every partition has a result of its record at this offset, or of a later one."""
        return all(self.newest.get(partition, -1) >= offset for partition, offset in offsets.items())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._job.bootstrap,
                "group.id": f"watching-{uuid.uuid4().hex}",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        output = self._job.output
        partitions = range(self._job.partitions)
        consumer.assign([TopicPartition(output, partition, OFFSET_BEGINNING) for partition in partitions])
        while not self._stopping.is_set():
            for message in consumer.consume(1000, timeout=0.05):
                partition, offset = cast(tuple[int, int], (message.partition(), message.offset()))
                if (error := message.error()) is None:
                    headers = tuple(cast(list[tuple[str, bytes | None]], message.headers()))
                    self._note(Record(Position(output, partition, offset), message.key(), None, headers))
                elif error.code() == KafkaError._PARTITION_EOF:
                    self.ends[partition] = offset
        consumer.close()

    def _note(self, record: Record) -> None:
        if self.ledger is not None:
            self.ledger.got(record)
        source = record.source
        assert source is not None, record
        self.seen += 1
        self.newest[source.partition] = max(source.offset, self.newest.get(source.partition, -1))
