"""What a broker asks of whoever writes in transactions, by another client than ours."""

from __future__ import annotations

from contextlib import suppress

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from streamer.settings import Settings
from tests.jobs import Job
from tests.reading import committed
from tests.security.least import (
    PASSWORD,
    TRANSACTIONS,
    Least,
    run_needs,
    without,
)
from tests.security.service import put

pytestmark = pytest.mark.requires("faults", "properties")

TRANSACTION_S = 10.0


def transact(wanted: Settings) -> None:
    """What exactly-once delivery asks of a broker: a result, a dead letter and an offset in one transaction.

    By librdkafka: so what is needed is the broker's word and not only what our own client happens to ask.
    """
    security, group = wanted.kafka.security, wanted.kafka.group_id
    common: dict[str, str | int | bool] = {
        "bootstrap.servers": wanted.kafka.bootstrap_servers,
        "security.protocol": security.protocol,
        "sasl.mechanism": security.mechanism,
        "sasl.username": security.username or "",
        "sasl.password": PASSWORD,
        "log_level": 0,
    }
    consumer = Consumer(common | {"group.id": group, "enable.auto.commit": False})
    producer = Producer(common | {"transactional.id": f"{TRANSACTIONS}/{group}/{wanted.input.topic}/0"})
    try:
        producer.init_transactions(TRANSACTION_S)
        producer.begin_transaction()
        producer.produce(wanted.output.topic, b"result")
        producer.produce(wanted.dead_letter_topic, b"dead letter")
        offset = TopicPartition(wanted.input.topic, 0, 1)
        producer.send_offsets_to_transaction([offset], consumer.consumer_group_metadata(), TRANSACTION_S)
        producer.commit_transaction(TRANSACTION_S)
    except KafkaException:
        with suppress(KafkaException):  # It may be that none has begun.
            producer.abort_transaction(TRANSACTION_S)
        raise
    finally:
        consumer.close()


def test_transactions_work_with_these(least: Least, job: Job) -> None:
    """One more than without: WRITE on the transactional ids, by their prefix; DESCRIBE comes with it."""
    put(job)
    transact(least.granted(*run_needs(job, "exactly_once").values()))
    assert (len(job.results()), len(job.dead_letters())) == (1, 1)
    assert committed(job.bootstrap, job.group, job.input) == {0: 1}


@pytest.mark.parametrize(
    "missing", ["read input", "read group", "write output", "write dead letters", "write transaction"]
)
def test_transactions_are_refused_without(least: Least, job: Job, missing: str) -> None:
    """Any one of them, and nothing of the transaction is to be seen."""
    put(job)
    needs = run_needs(job, "exactly_once")
    with pytest.raises(KafkaException):
        transact(least.granted(*without(needs, missing)))
    assert job.results() == job.dead_letters() == []
    assert committed(job.bootstrap, job.group, job.input) == {}
