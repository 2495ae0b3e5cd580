"""Every kind of input on a real broker: the right outcome each, and nothing stops that should go on."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.checkers import Record, check
from tests.jobs import Job
from tests.reading import Item, committed
from tests.workers import running

GOOD = b'{"text": "great value, arrived early"}'
STRUCTURED = (("content-type", b"application/cloudevents+json; charset=utf-8"),)
# Name, value, headers, and the reason that it must become a dead letter for.
BAD: list[tuple[str, bytes, tuple[tuple[str, bytes | None], ...], str]] = [
    ("not UTF-8", b'{"text": "\xff\xfe"}', (), "not_utf8"),
    ("not JSON", b"{text: great}", (), "not_json"),
    ("empty value", b"", (), "not_json"),
    ("an array", b'["great"]', (), "not_an_object"),
    ("a number", b"5", (), "not_an_object"),
    ("no text", b'{"body": "great"}', (), "text_missing"),
    ("registry's wire format", b'\x00\x00\x00\x00\x07{"text": "great"}', (), "not_json"),
    ("no text, nested", b'{"text": {"body": "great"}}', (), "text_not_a_string"),
    ("text is a number", b'{"text": 5}', (), "text_not_a_string"),
    ("lone surrogate, escaped", rb'{"text": "\ud83d great"}', (), "lone_surrogate"),
    ("lone surrogate, encoded", b'{"text": "\xed\xa0\xbd great"}', (), "lone_surrogate"),
    ("too large", b'{"text": "' + b"x" * 1_000_000 + b'"}', (), "too_large"),
    ("bad CloudEvent", b'{"data": {"text": "great"}}', STRUCTURED, "bad_cloudevent"),
]
# Name, value, headers, and what the result must say.
GOOD_ONES: list[tuple[str, bytes, tuple[tuple[str, bytes | None], ...], dict[str, object]]] = [
    ("empty text", b'{"text": ""}', (), {"label": "uncertain", "score": 0.5, "tokens": 0}),
    ("blank text", b'{"text": " \\n\\t "}', (), {"label": "uncertain", "score": 0.5, "tokens": 0}),
    ("text is null", b'{"text": null, "stars": 5}', (), {"label": "uncertain", "score": 0.5, "tokens": 0}),
    ("placeholder", '{"text": "[图片]"}'.encode(), (), {"label": "uncertain", "score": 0.5, "tokens": 0}),
    ("another language", '{"text": "Отличный товар"}'.encode(), (), {"label": "uncertain", "coverage": 0.0}),
    (
        "HTML",
        b'{"text": "<p class=\\"bad\\">great value, arrived early</p>"}',
        (),
        {"label": "positive", "coverage": 1.0},
    ),
    ("id beyond 64 bits", b'{"text": "a", "id": 12345678901234567890123}', (), {"id": "12345678901234567890123"}),
    (
        "event time in seconds",
        b'{"text": "a", "event_time": 1700000000}',
        (),
        {"event_time": "2023-11-14T22:13:20.000Z"},
    ),
    ("event time unreadable", b'{"text": "a", "event_time": "soon"}', (), {"label": "uncertain"}),
    ("positive", GOOD, (), {"label": "positive", "truncated": False}),
    ("negative", '{"text": "什么破东西,简直没法使用"}'.encode(), (), {"label": "negative"}),
    ("too long", json.dumps({"text": "really great film " * 400}).encode(), (), {"truncated": True, "tokens": 256}),
    (
        "binary CloudEvent",
        GOOD,
        (("ce_id", b"e1"), ("ce_time", b"2026-01-02T03:04:05Z"), ("ce_specversion", b"1.0"), ("nothing", None)),
        {"id": "e1", "event_time": "2026-01-02T03:04:05.000Z"},
    ),
    (
        "structured CloudEvent",
        b'{"specversion": "1.0", "id": "e2", "data": {"text": "great value", "group": 7}}',
        STRUCTURED,
        {"id": "e2", "group": "7"},
    ),
    (
        "structured CloudEvent in base64",
        json.dumps({"specversion": "1.0", "id": "e3", "data_base64": base64.b64encode(GOOD).decode()}).encode(),
        STRUCTURED,
        {"id": "e3", "label": "positive"},
    ),
    (
        "event time in milliseconds",
        b'{"text": "great value", "event_time": 1767322845250, "id": 12}',
        (),
        {"event_time": "2026-01-02T03:00:45.250Z", "id": "12"},
    ),
]


@pytest.fixture
def job(cluster: Cluster, make_topic: MakeTopic) -> Job:
    # The embedded broker takes no settings, and has no limit.
    configs = {"max_message_bytes": "2000000"} if "admin" in cluster.features else {}
    return Job(cluster, make_topic, partitions=1, **configs)


def test_each_kind_of_input_has_its_outcome(job: Job, tmp_path: Path) -> None:
    """Good, bad and strange records in one partition: results and dead letters as designed, all committed."""
    items = [Item(value, name.encode(), 0, headers) for name, value, headers, _ in BAD]
    items += [Item(value, name.encode(), 0, headers) for name, value, headers, _ in GOOD_ONES]
    items += [Item(None, b"deleted", 0, (("why", b"asked to"),))]
    items += [Item(b"{}", b"\xff\x00 any bytes", 0, (("twice", b"1"), ("twice", b"2"), ("null", None)))]
    produced = job.put(items)
    with running(job.environment, tmp_path / "log") as worker:
        worker.wait_for(len(items))
        assert worker.page("/health/ready")[0] == 200
        counted = worker.page("/metrics")[1]
        assert 'streamer_replaced_values_total{cause="null",field="text"} 1.0' in counted
        assert 'streamer_replaced_values_total{cause="unreadable",field="event_time"} 1.0' in counted
        assert 'streamer_replaced_values_total{cause="too_long",field="group"} 0.0' in counted
        assert "streamer_coverage_ratio_count" in counted
        assert worker.stop() == 0, worker.log
    results, letters = job.results(), job.dead_letters()
    outcomes: dict[bytes | None, Record] = {record.key: record for record in results}
    for name, _, _, expected in GOOD_ONES:
        event = json.loads(outcomes[name.encode()].value or b"")
        assert {field: event[field] for field in expected} == expected, name
    assert outcomes[b"deleted"].value is None
    assert ("why", b"asked to") in outcomes[b"deleted"].headers
    dead = {record.key: record for record in letters}
    for name, value, headers, reason in BAD:
        letter = dead[name.encode()]
        assert (letter.header("dlq.reason"), letter.value) == (reason.encode(), value), name
        assert letter.headers[: len(headers)] == headers
        assert letter.header("dlq.topic") == job.input.encode()
    strange = dead[b"\xff\x00 any bytes"]
    assert strange.headers[:3] == (("twice", b"1"), ("twice", b"2"), ("null", None))
    assert len(results) + len(letters) == len(items) == len(produced)
    check({record.source: record.key for record in results if record.source}, results).assert_clean()
    job.assert_offsets_at_the_end()
    # What reviews say stays out of the log.
    assert "great" not in worker.log
    assert worker.log.count("an event time cannot be read") == 1
    assert "is null" not in worker.log  # That is no fault.


def test_too_many_dead_letters_stop_the_service(job: Job, tmp_path: Path) -> None:
    """A bad deploy upstream: exit code 5, what came before labelled and committed, the rest left in the topic."""
    job.settings = {"STREAMER_DEAD_LETTERS__WINDOW": "100", "STREAMER_DEAD_LETTERS__MAX_RATIO": "0.5"}
    job.put(Item(GOOD, b"k", 0) for _ in range(500))
    job.put(Item(b"{}" if number % 5 == 0 else b"not json", b"k", 0) for number in range(500))
    with running(job.environment, tmp_path / "log") as worker:
        assert worker.wait(120) == 5, worker.log
    # In the log and in the error.
    assert worker.log.count("more than 50% of the last 100 records") == 2
    assert worker.log.count("were invalid: not_json 40, text_missing 11") == 2
    results, letters = job.results(), job.dead_letters()
    # The 51st bad one in a row makes more than half of a hundred; it is left for when the fault is mended.
    assert (len(results), len(letters)) == (500, 50)
    assert committed(job.bootstrap, job.group, job.input) == {0: 550}


class _Gbk(str):
    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xc0\xb4\xb4"


async def _put_with_gbk_header(job: Job) -> None:
    """A record with a header whose name is not UTF-8, which librdkafka's producers in C can write."""
    async with AIOKafkaProducer(bootstrap_servers=job.bootstrap) as producer:
        batch = producer.create_batch()
        batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, 0, 1 << 16)
        headers = [(_Gbk(), b"app"), ("mine", b"\xff")]
        batch.append(timestamp=1_700_000_000_000, key=b"gbk", value=GOOD, headers=headers)
        await (await producer.send_batch(batch, job.input, partition=0))


def test_a_header_name_that_is_not_utf8_ends_no_worker(job: Job, tmp_path: Path) -> None:
    """The record is labelled, its name goes on with escapes, and so do those around it."""
    job.put([Item(GOOD, b"before", 0)])
    asyncio.run(_put_with_gbk_header(job))
    job.put([Item(GOOD, b"after", 0)])
    with running(job.environment, tmp_path / "log") as worker:
        worker.wait_for(3)
        assert worker.stop() == 0, worker.log
    results = job.results(3)
    assert [result.key for result in results] == [b"before", b"gbk", b"after"]
    assert results[1].headers[:2] == ((r"\xc0\xb4\xb4", b"app"), ("mine", b"\xff"))
    job.assert_offsets_at_the_end()


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_records_without_a_text_may_be_skipped(job: Job, cluster: Cluster, tmp_path: Path, delivery: str) -> None:
    """Nothing is published for them, they are counted, their offsets are committed, and they are not too many."""
    job.settings = {"STREAMER_INPUT__MISSING_TEXT": "skip", "STREAMER_DEAD_LETTERS__WINDOW": "20"}
    job.settings["STREAMER_DELIVERY"] = delivery
    if delivery == "exactly_once" and "transactions" not in cluster.features:
        pytest.skip("the embedded broker has no transactions")
    job.put(Item(b'{"kind": "heartbeat"}', b"k", 0) for _ in range(100))
    job.put([Item(GOOD, b"k", 0), Item(b'{"kind": "heartbeat"}', b"k", 0)])
    with running(job.environment, tmp_path / "log") as worker:
        worker.wait_for(102)
        assert 'streamer_records_total{outcome="skipped"} 101.0' in worker.page("/metrics")[1]
        assert worker.stop() == 0, worker.log
    assert (len(job.results()), len(job.dead_letters())) == (1, 0)
    assert committed(job.bootstrap, job.group, job.input) == {0: 102}


def test_text_format_takes_the_value_as_it_is(job: Job, tmp_path: Path) -> None:
    """With input.format = text the value is the review; one that is not UTF-8 is a dead letter."""
    job.settings = {"STREAMER_INPUT__FORMAT": "text", "STREAMER_OUTPUT__INCLUDE_INPUT": "true"}
    job.put([Item("质量很好，非常满意".encode(), b"a", 0), Item(b"\xff", b"b", 0)])
    with running(job.environment, tmp_path / "log") as worker:
        worker.wait_for(2)
        assert worker.stop() == 0, worker.log
    (result,) = job.results()
    event = json.loads(result.value or b"")
    assert (event["label"], event["input"]) == ("positive", "质量很好，非常满意")
    (letter,) = job.dead_letters()
    assert letter.header("dlq.reason") == b"not_utf8"
