"""Kafka from the outside: fill a topic, read it all, ask what is committed.

Built on confluent-kafka, so that what aiokafka writes is not only ever read by aiokafka. Everything here blocks:
in a test that runs something on its event loop, call it by `asyncio.to_thread`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from tests.checkers import Position, Record

Settings = Mapping[str, str | int | bool]

_QUEUED = 200_000  # Messages waiting to be sent by `fill`.


@dataclass(frozen=True, slots=True)
class Item:
    """A record to write. Without a partition the key decides, by Kafka's own partitioner."""

    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int | None = None


def fill(
    bootstrap: str,
    topic: str,
    items: Iterable[Item],
    *,
    compression: str = "none",
    timeout_s: float = 60.0,
    idempotent: bool = False,
    settings: Settings | None = None,
) -> dict[Position, bytes | None]:
    """Write `items` in order, and return where they are with their keys, in the order of arrival.

    On a broker that fails meanwhile an item may be written twice, unless `idempotent`, which costs half a second.
    `settings` are librdkafka's, here and below. Raises KafkaException for an item that was refused and
    TimeoutError when not all are acknowledged within `timeout_s`.
    """
    produced: dict[Position, bytes | None] = {}
    refused: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.append(error)
        else:
            position = cast(tuple[int, int], (message.partition(), message.offset()))
            produced[Position(topic, *position)] = message.key()

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "log_level": 0,
            "enable.idempotence": idempotent,
            "acks": "all",
            "max.in.flight.requests.per.connection": 1,
            "partitioner": "murmur2_random",
            "compression.type": compression,
            "linger.ms": 5,
            "queue.buffering.max.messages": 2 * _QUEUED,
            "queue.buffering.max.kbytes": 1 << 20,
        }
        | dict(settings or {})
    )
    deadline = time.monotonic() + timeout_s
    for item in items:
        producer.produce(
            topic,
            item.value,
            item.key,
            -1 if item.partition is None else item.partition,
            on_delivery=delivered,
            timestamp=0 if item.timestamp_ms is None else item.timestamp_ms,
            headers=list(item.headers),
        )
        while len(producer) > _QUEUED and time.monotonic() < deadline:
            producer.poll(0.05)
    left = producer.flush(max(0.0, deadline - time.monotonic()))
    if refused:
        raise KafkaException(refused[0])
    if left:
        raise TimeoutError(f"{left} records of {topic} not acknowledged within {timeout_s:g} s")
    return produced


def read_all(
    bootstrap: str,
    topic: str,
    expected: int | None = None,
    *,
    timeout_s: float = 30.0,
    committed_only: bool = True,
    settings: Settings | None = None,
) -> list[Record]:
    """The records of a topic up to its end, each partition's in order.

    With `expected` reading goes on until there are that many different ones (by `ce_id` header; records without it
    all count) and the end is reached again, or until `timeout_s`, when it returns what there is: what is missing is
    for the checkers to say. Without, raises TimeoutError when the end is not reached. Open transactions hold the
    end back unless `committed_only` is off.
    """
    isolation = "read_committed" if committed_only else "read_uncommitted"
    records: list[Record] = []
    different: set[bytes | Position] = set()
    deadline = time.monotonic() + timeout_s
    reading: Settings = {"enable.partition.eof": True, "isolation.level": isolation}
    with _consumer(bootstrap, {**reading, **(settings or {})}) as consumer:
        unfinished = set(_partitions(consumer, topic))
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in unfinished])
        while unfinished or len(different) < (expected or 0):
            if time.monotonic() > deadline:
                if expected is None:
                    raise TimeoutError(f"{topic}: no end of partitions {sorted(unfinished)} in {timeout_s:g} s")
                break
            for message in consumer.consume(10_000, timeout=0.05):
                partition = cast(int, message.partition())
                if (error := message.error()) is None:
                    unfinished.add(partition)
                    record = _record(message)
                    records.append(record)
                    different.add(record.header("ce_id") or record.position)
                elif error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(partition)
                else:
                    raise KafkaException(error)
    return records


def committed(bootstrap: str, group: str, topic: str, settings: Settings | None = None) -> dict[int, int]:
    """The offsets that a group has committed, by partition; partitions without are left out."""
    with _consumer(bootstrap, settings, group) as consumer:
        asked = [TopicPartition(topic, partition) for partition in _partitions(consumer, topic)]
        return {found.partition: found.offset for found in consumer.committed(asked, timeout=10) if found.offset >= 0}


def end_offsets(bootstrap: str, topic: str, settings: Settings | None = None) -> dict[int, int]:
    """The offset after the last record of each partition."""
    with _consumer(bootstrap, settings) as consumer:
        return {
            partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
            for partition in _partitions(consumer, topic)
        }


@contextmanager
def _consumer(bootstrap: str, settings: Settings | None, group: str | None = None) -> Iterator[Consumer]:
    """A consumer that joins no group; `group` is only the one whose commits it sees."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "log_level": 0,
            "group.id": group or f"reading-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,  # The end of a partition is only told when a fetch comes back empty.
        }
        | dict(settings or {})
    )
    try:
        yield consumer
    finally:
        consumer.close()


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=10).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return sorted(found.partitions)


def _record(message: Message) -> Record:
    # Each may be None by its type, and never is in a message without an error.
    position = cast(tuple[str, int, int], (message.topic(), message.partition(), message.offset()))
    headers = cast(list[tuple[str, bytes | None]] | None, message.headers())
    timestamp_ms = message.timestamp()[1]
    return Record(Position(*position), message.key(), message.value(), tuple(headers or ()), timestamp_ms)
