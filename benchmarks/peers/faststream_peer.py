"""FastStream: a batch subscriber, padded to the longest, packed float32.

At-least-once as its documentation has it (AckPolicy.NACK_ON_ERROR). `publish_batch` sends a batch to one partition
whatever its messages' keys are, so there is a batch for each partition that was read: order by key is kept. The model
runs in a thread, so that the event loop stays free for the heartbeats.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaPublishMessage
from faststream.kafka.annotations import KafkaMessage

from benchmarks.peers.command import job, output_event, report

_PUBLISHED_BYTES = 1_000_000  # aiokafka's default of 16 KiB does not hold the results of a large batch.


def main() -> None:
    """Label until told to stop."""
    todo = job(__doc__, form="packed", batch=256)
    broker = KafkaBroker(
        todo.bootstrap, acks="all", compression_type="zstd", max_batch_size=_PUBLISHED_BYTES, log_level=logging.DEBUG
    )

    async def label(reviews: list[dict[str, Any]], message: KafkaMessage) -> None:
        results = await asyncio.to_thread(todo.labeller.label, [review["text"] for review in reviews])
        partitions: dict[int, list[KafkaPublishMessage]] = {}
        for record, review, result in zip(message.raw_message, reviews, results, strict=True):
            answer = KafkaPublishMessage(output_event(review, result), key=record.key)
            partitions.setdefault(record.partition, []).append(answer)
        published = (
            broker.publish_batch(*answers, topic=todo.output, partition=partition)
            for partition, answers in partitions.items()
        )
        await asyncio.gather(*published)

    subscriber = broker.subscriber(
        todo.input,
        batch=True,
        max_records=todo.batch,
        group_id=todo.group,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    subscriber(label)
    asyncio.run(FastStream(broker).run())
    report(todo.labeller)


if __name__ == "__main__":
    main()
