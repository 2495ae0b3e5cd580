"""confluent-kafka: a consumer and a producer with fixed-size batches in arrival order.

`consume` hands out up to a batch of messages at a time; results go out asynchronously, are flushed, and only then are
the offsets committed.
"""

from __future__ import annotations

import json

from confluent_kafka import Consumer, KafkaException, Producer

from benchmarks.peers.command import job, output_event, report
from benchmarks.peers.stopping import stopping

_WAIT_SECONDS = 0.1


def main() -> None:
    """Label until told to stop."""
    todo = job(__doc__, form="gated", batch=256)
    consumer = Consumer(
        {
            "bootstrap.servers": todo.bootstrap,
            "group.id": todo.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({"bootstrap.servers": todo.bootstrap, "acks": "all", "compression.type": "lz4"})
    consumer.subscribe([todo.input])
    stop = stopping()
    while not stop.is_set():
        messages = consumer.consume(num_messages=todo.batch, timeout=_WAIT_SECONDS)
        if not messages:
            continue
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        reviews = [json.loads(message.value() or b"{}") for message in messages]
        results = todo.labeller.label([review["text"] for review in reviews])
        for message, review, result in zip(messages, reviews, results, strict=True):
            producer.produce(todo.output, json.dumps(output_event(review, result)), message.key())
            producer.poll(0)
        producer.flush()
        consumer.commit(asynchronous=False)
    consumer.close()
    report(todo.labeller)


if __name__ == "__main__":
    main()
