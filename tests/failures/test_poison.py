"""Records that cannot be labelled, and topics that do not take what comes of them."""

from __future__ import annotations

import random
import time
from pathlib import Path

import orjson
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource

from tests.brokers import StartCluster, new_topic
from tests.checkers import Position
from tests.failures.conftest import Begin
from tests.failures.feeding import short_items
from tests.failures.harness import Scenario
from tests.failures.models import failing_artefact
from tests.failures.modes import EXACTLY_ONCE
from tests.failures.nodes import Nodes
from tests.failures.waiting import eventually
from tests.reading import Item, committed, read_all

pytestmark = [pytest.mark.failures, pytest.mark.timeout(400), pytest.mark.requires("multi_node", "faults", "admin")]

OUTAGE_SECONDS = 8.0
BATCH = 64  # What the harness sets batching.max_reviews to.


def bad(partition: int = 0, count: int = 1) -> list[Item]:
    """Records that are not JSON."""
    return [Item(b"not JSON", b"bad", partition)] * count


def reviews(count: int, first: int = 0, partition: int = 0) -> list[Item]:
    """Short reviews in one partition."""
    return [Item(i.value, i.key, partition, i.headers) for i in short_items(count, first)]


def letters(scenario: Scenario) -> set[Position]:
    """The records that have become dead letters."""
    found = [
        Position(
            (letter.header("dlq.topic") or b"").decode(),
            int(letter.header("dlq.partition") or b""),
            int(letter.header("dlq.offset") or b""),
        )
        for letter in read_all(scenario.job.bootstrap, scenario.job.dead)
    ]
    assert scenario.mode != EXACTLY_ONCE or len(found) == len(set(found)), "a dead letter came twice"
    return set(found)


@pytest.mark.fast
def test_invalid_record_first_in_the_middle_and_last(scenario: Scenario) -> None:
    """Whatever its place in a batch, it alone becomes a dead letter; all around it is labelled, in order."""
    wrong: set[Position] = set()
    for partition, before in enumerate((0, BATCH // 2, BATCH - 1)):
        scenario.put(reviews(before, partition=partition))
        wrong |= scenario.put(bad(partition), bad=True).keys()
        scenario.put(reviews(2 * BATCH, before, partition))
    scenario.start()
    scenario.finish()
    assert letters(scenario) == wrong


def test_model_raises_on_one_text(scenario: Scenario, tmp_path: Path) -> None:
    """That one becomes a dead letter; the rest of its batch is labelled, and the worker works on."""
    artefact, word = failing_artefact(tmp_path)
    scenario.put(reviews(1_000))
    wrong = scenario.put([Item(orjson.dumps({"text": word}), b"bad", 0)], bad=True)
    scenario.put(reviews(1_000, 1_001))
    wrong |= scenario.put([Item(orjson.dumps({"text": f"好 {word} 好"}), b"bad", 1)], bad=True)
    (worker,) = scenario.start(MODEL__PATH=str(artefact))
    scenario.finish()
    assert letters(scenario) == wrong.keys()
    assert {r.header("dlq.reason") for r in scenario.job.dead_letters()} == {b"model_failed"}
    assert "judging each alone" in worker.log


def test_run_of_invalid_records(scenario: Scenario) -> None:
    """A few hundred in a row, fewer than the limit: all are dead letters, and the stream goes on."""
    scenario.put(reviews(1_000))
    wrong = scenario.put(bad(count=400), bad=True)
    scenario.put(reviews(2_000, 1_000))
    scenario.start()
    scenario.finish()
    assert letters(scenario) == wrong.keys()


def test_limit_trips(scenario: Scenario) -> None:
    """Too many are invalid: exit code 5 with all that was done committed; with the limit lifted the rest follows."""
    scenario.put(reviews(500))
    scenario.put(bad(count=300), bad=True)
    scenario.put(reviews(500, 500))
    worker = scenario.launch(DEAD_LETTERS__WINDOW="200")
    scenario.wait_ended(worker, 5)
    done = len(scenario.job.results()) + len(letters(scenario))
    assert committed(scenario.job.bootstrap, scenario.job.group, scenario.job.input) == {0: done}
    assert 600 <= done < 800
    scenario.start(DEAD_LETTERS__MAX_RATIO="1")
    scenario.finish()


def test_dead_letter_topic_down(begin: Begin, nodes: Nodes, mode: str) -> None:
    """It takes nothing for a while: its partition is not committed past the invalid record, and nothing is lost.

    What the worker has of other partitions may wait as well: with transactions none of it is seen meanwhile.
    """
    scenario = begin(nodes.cluster, dead=new_topic(nodes.cluster, 1, min_insync_replicas="3"))
    scenario.start()
    nodes.kill(3)
    scenario.put(reviews(100))
    (wrong,) = scenario.put(bad(), bad=True)
    scenario.put(reviews(500, 100))
    scenario.put(reviews(500, 600, partition=1))
    if mode != EXACTLY_ONCE:
        scenario.wait_seen(600)  # The other partition's, and those before.
    job = scenario.job

    until = time.monotonic() + OUTAGE_SECONDS
    while time.monotonic() < until:
        assert committed(job.bootstrap, job.group, job.input).get(0, 0) <= wrong.offset
        time.sleep(0.2)
    assert not letters(scenario)
    nodes.heal()
    scenario.finish()
    assert letters(scenario) == {wrong}


def test_dead_letter_topic_deleted(start_cluster: StartCluster, begin: Begin, mode: str) -> None:
    """It goes while the worker runs: exit code 4 with nothing passed over; made again, all goes on from there.

    With transactions the worker waits until it is made again, as it does for a leader.
    """
    cluster = start_cluster(properties={"auto.create.topics.enable": "false"})
    scenario = begin(cluster)
    job = scenario.job
    (worker,) = scenario.start(KAFKA__REQUEST_TIMEOUT_MS="5000")
    scenario.put(bad(), bad=True)
    eventually(lambda: len(letters(scenario)) == 1, "a dead letter")
    admin = AdminClient({"bootstrap.servers": job.bootstrap, "log_level": 0})
    admin.delete_topics([job.dead])[job.dead].result(10)
    scenario.put(reviews(100))
    (wrong,) = scenario.put(bad(), bad=True)
    scenario.put(reviews(500, 100))
    scenario.put(reviews(500, 600, partition=1))
    if mode == EXACTLY_ONCE:
        time.sleep(OUTAGE_SECONDS)
    else:
        scenario.wait_ended(worker, 4)
    assert committed(job.bootstrap, job.group, job.input).get(0, 0) <= wrong.offset
    cluster.create_topic(job.dead, 1, {})
    if mode != EXACTLY_ONCE:
        scenario.note_repeatable()
        scenario.start()
    scenario.finish()
    assert letters(scenario) == {wrong}


def test_result_too_large(begin: Begin, nodes: Nodes) -> None:
    """The output refuses a result for good: exit code 4, again after a restart, until the topic takes it."""
    output = new_topic(nodes.cluster, 6, max_message_bytes="200000")
    scenario = begin(nodes.cluster, output=output)
    chance = random.Random(1)
    text = "".join(chr(chance.randrange(0x4E00, 0x9FA0)) for _ in range(150_000))  # Compresses badly.
    scenario.put(reviews(300))
    (large,) = scenario.put([Item(orjson.dumps({"text": text}), b"large", 0)])
    scenario.put(reviews(300, 301))
    carry = {"OUTPUT__INCLUDE_INPUT": "true", "KAFKA__REQUEST_TIMEOUT_MS": "5000"}
    for _ in range(2):
        worker = scenario.launch(**carry)
        scenario.wait_ended(worker, 4)
        assert f"topic '{output}': the broker refused a message" in worker.log
        assert committed(scenario.job.bootstrap, scenario.job.group, scenario.job.input).get(0, 0) <= large.offset
        scenario.note_repeatable()  # Each of the two may have published what it did not commit.
    configure(nodes, output, "max.message.bytes", "2000000")
    scenario.start(**carry)
    scenario.finish()


def test_tombstones(scenario: Scenario) -> None:
    """A null value puts one on the output, with its key and in its place."""
    for first in range(0, 600, 100):
        scenario.put(reviews(99, first))
        scenario.put([Item(None, b"user-%d" % first, 0)])
    scenario.start()
    scenario.finish()
    assert sum(record.value is None for record in scenario.job.results()) == 6


def test_offsets_with_gaps_of_compaction(begin: Begin, nodes: Nodes) -> None:
    """The input is compacted, so that most offsets are gone: what is left is labelled, and committed to the end."""
    scenario = begin(
        nodes.cluster,
        1,
        cleanup_policy="compact",
        segment_ms="100",
        min_cleanable_dirty_ratio="0.01",
        max_compaction_lag_ms="100",
    )
    job = scenario.job
    job.put(Item(i.value, b"key-%d" % (n % 50)) for n, i in enumerate(short_items(2_000)))

    def compacted() -> bool:
        job.put([Item(b'{"text": "rolls the segment"}', b"roll")])
        return len(read_all(job.bootstrap, job.input)) < 1_000

    eventually(compacted, "compaction", 90, 1.0)
    configure(nodes, job.input, "cleanup.policy", "delete")  # No more of it while the worker reads.
    looks = [-2, -1]
    while looks[-1] != looks[-2]:
        time.sleep(1.0)
        looks.append(len(read_all(job.bootstrap, job.input)))
    scenario.expect({record.position: record.key for record in read_all(job.bootstrap, job.input)})
    scenario.start()
    scenario.finish()


def test_offsets_with_gaps_of_transactions(scenario: Scenario) -> None:
    """Upstream writes transactions: aborted records are not labelled, and markers are passed over."""
    job = scenario.job
    scenario.start()
    for turn in range(6):
        scenario.expect(transaction(scenario, turn, keep=turn % 2 == 0))
    scenario.finish(to_the_end=False)
    assert committed(job.bootstrap, job.group, job.input)[0] >= 504  # Where the last one that was kept ends.


def test_idle_behind_a_transaction_is_ready(scenario: Scenario) -> None:
    """The last offset of the input is a transaction's marker: nothing is behind, and the worker stays ready."""
    (worker,) = scenario.start(HTTP__STALLED_AFTER_MS="2000")
    scenario.expect(transaction(scenario, 0, keep=True))
    scenario.wait_seen(100)
    until = time.monotonic() + 6.0  # Three times as long as it may stall.
    while time.monotonic() < until:
        status, why = worker.page("/health/ready")
        assert status == 200, why
        time.sleep(0.2)
    assert worker.metric("streamer_lag_records") == 0
    scenario.finish(to_the_end=False)


def configure(nodes: Nodes, topic: str, name: str, value: str) -> None:
    """Change a setting of a topic."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    resource.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
    admin = AdminClient({"bootstrap.servers": nodes.bootstrap, "log_level": 0})
    admin.incremental_alter_configs([resource])[resource].result(10)


def transaction(scenario: Scenario, turn: int, keep: bool) -> dict[Position, bytes | None]:
    """Write 100 reviews in a transaction; returns where they are if it is kept, which nobody knows otherwise."""
    job, produced = scenario.job, {}

    def delivered(error: object, message: object) -> None:
        assert error is None
        produced[Position(job.input, message.partition(), message.offset())] = message.key()  # type: ignore[attr-defined]

    producer = Producer({"bootstrap.servers": job.bootstrap, "transactional.id": job.input, "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    for i in reviews(100, 100 * turn):
        producer.produce(job.input, i.value, i.key, 0, on_delivery=delivered)
    if producer.flush(30):
        raise KafkaException("not acknowledged")
    if keep:
        producer.commit_transaction(30)
        return produced
    producer.abort_transaction(30)
    return {}
