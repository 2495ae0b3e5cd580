"""The tutorial way: one message at a time, jieba, padded to 64 tokens, the eager model, send and wait.

Reviews longer than 64 tokens are cut there, as the tutorial does it. confluent-kafka's at-least-once consumer: an
offset is stored for the background commit once the result is acknowledged.
"""

from __future__ import annotations

import json

from confluent_kafka import Consumer, KafkaException, Producer

from benchmarks.peers.command import job, output_event, report
from benchmarks.peers.stopping import stopping

_TOKENS = 64


def main() -> None:
    """Label until told to stop."""
    todo = job(__doc__, form="gated", batch=1, pad_to=_TOKENS)
    consumer = Consumer(
        {
            "bootstrap.servers": todo.bootstrap,
            "group.id": todo.group,
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
        }
    )
    producer = Producer({"bootstrap.servers": todo.bootstrap})
    consumer.subscribe([todo.input])
    stop = stopping()
    while not stop.is_set():
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        review = json.loads(message.value() or b"{}")
        (result,) = todo.labeller.label([review["text"]])
        producer.produce(todo.output, json.dumps(output_event(review, result)), message.key())
        producer.flush()
        consumer.store_offsets(message=message)
    consumer.close()
    report(todo.labeller)


if __name__ == "__main__":
    main()
