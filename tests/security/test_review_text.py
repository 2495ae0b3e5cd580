"""What reviews say, and who wrote them, stays out of the log at INFO, however bad the record."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from streamer.models.torchscript import Model
from streamer.settings import SecuritySettings
from tests.brokers import Cluster, NodeCluster, new_topic
from tests.brokers.cluster import MakeTopic
from tests.jobs import Job
from tests.reading import Item
from tests.security.canaries import canary, found
from tests.security.service import ends, serve, settings
from tests.workers import running

STRUCTURED = (("content-type", b"application/cloudevents+json"),)


def poisoned(word: str) -> list[Item]:
    """A record for each way in which one is bad, with the word wherever there is a place for it."""
    text, key = word.encode(), word.encode()
    values = [
        text,
        b'{"text": "' + text,
        b'{"' + text + b'": 1}',
        b'["' + text + b'"]',
        b'{"text": ["' + text + b'"]}',
        b'{"text": {"' + text + b'": "' + text + b'"}}',
        b'{"text": "' + text + b'\xff"}',
        b'{"text": "' + text + rb'\ud800"}',
        b'{"text": "' + text * 15_000 + b'"}',
        b"[" * 2_000 + text,
    ]
    headers = (("ce_id", text), ("ce_time", text), ("traceparent", text), (word, text))
    return [Item(value, key, 0, headers) for value in values] + [
        Item(json.dumps({"data": {"text": word}}).encode(), key, 0, STRUCTURED),
        Item(json.dumps({"specversion": word, "id": word, "data": word}).encode(), key, 0, STRUCTURED),
    ]


def good(word: str) -> list[Item]:
    """Records that are labelled, with the word in all of their fields."""
    event = {"text": f"great {word} value", "id": word, "event_time": word, "group": word}
    return [
        Item(json.dumps(event).encode(), word.encode(), 0, ((word, word.encode()),)),
        Item(json.dumps(event | {"text": f"{word} " * 2_000}).encode(), word.encode(), 0),
        Item(None, word.encode(), 0),
    ]


def test_the_log_of_a_service_quotes_no_review(cluster: Cluster, make_topic: MakeTopic, tmp_path: Path) -> None:
    """Good ones and bad ones, up to where there are too many bad ones and it ends with exit code 5."""
    job, word = Job(cluster, make_topic, partitions=1), canary()
    bad = poisoned(word)
    job.settings = {"STREAMER_HTTP__ENABLED": "false", "STREAMER_DEAD_LETTERS__WINDOW": "20"}
    job.settings |= {"STREAMER_INPUT__MAX_BYTES": "500000", "STREAMER_LOG__LEVEL": "INFO"}
    job.put(good(word) * 4 + bad * 3)
    with running(job.environment, tmp_path / "log") as worker:
        assert worker.wait(60) == 5, worker.log
        assert " INFO " in worker.log
        assert found([word], worker.log) == []
    assert len(job.results()) == 12
    assert len({letter.value for letter in job.dead_letters()}) >= 10


@pytest.mark.requires("faults", "properties")
def test_a_review_that_the_broker_refuses_is_not_quoted(
    secured: NodeCluster, model: Model, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Too large for the output: exit code 4, and neither the message nor any logger at INFO has its text or key."""
    word = canary()
    job = Job(secured, partial(new_topic, secured), partitions=1)
    job.output = new_topic(secured, max_message_bytes="200")
    job.put(good(word))
    caplog.set_level("INFO")
    ended = ends(serve(settings(job, secured.bootstrap, SecuritySettings()), model, 3), capsys)
    assert (ended.code, f"topic '{job.output}': the broker refused a message" in ended.said) == (4, True)
    assert found([word], ended.said, caplog.text) == []
