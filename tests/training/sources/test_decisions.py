"""People's decisions become labelled data: the newest decision on a review counts, and only with its text."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path
from typing import Any, Literal

import pytest

from streamer.events import Message
from streamer.kafka import Publisher
from streamer.moderation.decisions import decision_on, encode, encode_undo
from streamer.settings import KafkaSettings
from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.training.reviews import synthetic
from training.cli import main
from training.labels import NEGATIVE, POSITIVE
from training.overrides import read_recipe
from training.recipe import Recipe, RecipeError
from training.sources.decisions import _read_topic, with_decisions
from training.sources.reviews import Review, read_reviews
from training.sources.tables import DataError

Action = Literal["allow", "block"]


def held(offset: int) -> dict[str, Any]:
    """An event of the review topic."""
    source = {"topic": "reviews", "partition": 0, "offset": offset}
    model = {"name": "m", "version": "1"}
    return {"label": "uncertain", "score": 0.5, "group": None, "model": model, "source": source, "rule": "r"}


def decided(offset: int, action: Action, text: str | None, label: str | None = None) -> Message:
    return encode("verdicts", decision_on(held(offset), action, "ann", offset, label, text), offset)


def undone(offset: int) -> Message:
    return encode_undo("verdicts", held(offset)["source"], 9)


def line(message: Message) -> str:
    """As kcat -J writes it."""
    payload = None if message.value is None else message.value.decode()
    return json.dumps({"topic": "verdicts", "offset": 5, "key": (message.key or b"").decode(), "payload": payload})


# The first is decided again, the third taken back, the fourth without a text, the fifth without a label.
MESSAGES = [
    decided(1, "block", "很差", "negative"),
    decided(2, "allow", "很好", "positive"),
    decided(3, "block", "taken back", "negative"),
    decided(1, "allow", "很差 but meant well", "positive"),
    undone(3),
    decided(4, "block", None, "negative"),
    decided(5, "block", "糟糕"),
    undone(6),
]


def read_with(folder: Path, place: str, labels: str | None = None, said: list[str] | None = None) -> list[Review]:
    """The reviews that a recipe gets from decisions alone."""
    recipe = added(folder, place, labels, said)
    assert [source.name for source in recipe.data] == ["verdicts"]
    return read_reviews(recipe.data[0], Path(), Path())


def added(folder: Path, place: str, labels: str | None = None, said: list[str] | None = None) -> Recipe:
    lines = [] if said is None else said
    return with_decisions(
        read_recipe("own"), place, folder / "out", lines.append, labels=labels, language="zh", force=False
    )


def write(folder: Path, *lines: str) -> str:
    path = folder / "export.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def test_the_newest_decision_on_a_review_counts(tmp_path: Path) -> None:
    """A tombstone takes it back; what has no text or no label is left out, and the counts are reported."""
    said: list[str] = []
    found = read_with(tmp_path, write(tmp_path, *map(line, MESSAGES), ""), None, said)
    assert found == [Review("很好", POSITIVE), Review("很差 but meant well", POSITIVE)]
    assert said == ["decisions: 8 read, 2 positive, 2 taken back, 1 without a text, 1 block without a label"]


def test_a_label_that_is_not_trained_on_is_left_out(tmp_path: Path) -> None:
    """It is another model's; the counts are reported."""
    said: list[str] = []
    other = decided(7, "block", "还行", "neutral")
    found = read_with(tmp_path, write(tmp_path, line(MESSAGES[1]), line(other)), "block=negative", said)
    assert found == [Review("很好", POSITIVE)]
    assert said == ["decisions: 2 read, 1 positive, 1 with a label that is not trained on"]


def test_what_an_action_means_must_be_said(tmp_path: Path) -> None:
    """A person's own label goes before it."""
    place = write(tmp_path, *map(line, MESSAGES))
    found = read_with(tmp_path, place, "block=negative,allow=negative")
    assert found == [Review("很好", POSITIVE), Review("很差 but meant well", POSITIVE), Review("糟糕", NEGATIVE)]


@pytest.mark.parametrize("labels", ["block", "block=bad", "hide=negative", "block=negative,block=positive", ","])
def test_a_meaning_that_is_none_is_refused(tmp_path: Path, labels: str) -> None:
    """Before anything is read."""
    with pytest.raises(RecipeError, match="--verdict-labels"):
        added(tmp_path, "nowhere.jsonl", labels)


def test_an_export_may_be_values_alone_and_compressed(tmp_path: Path) -> None:
    """Whose key is their source."""
    path = tmp_path / "values.jsonl.gz"
    values = [message.value or b"" for message in (MESSAGES[0], MESSAGES[1], MESSAGES[3])]
    path.write_bytes(gzip.compress(b"\n".join(values)))
    assert read_with(tmp_path, str(path)) == [Review("很好", POSITIVE), Review("很差 but meant well", POSITIVE)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([line(decided(1, "block", None, "negative"))], "no decision has a text: set moderation.verdict_text"),
        ([line(decided(1, "block", "x"))], "no decision has a label: say what the actions mean, --verdict-labels"),
        ([line(decided(1, "block", "x", "negative")), line(undone(1))], "no decision in it"),
        ([], "no decision in it"),
        ([line(MESSAGES[0]), "not json SECRET"], "line 2: not JSON"),
        (["null"], "line 1: neither a decision nor an object with key"),
        (['{"text": "SECRET"}'], "line 1: not a decision: action: Field required"),
        (['{"key": 5, "payload": null}'], "line 1: not a decision: key: not a text"),
        (['{"key": "a", "payload": "SECRET"}'], "line 1: not a decision: Invalid JSON"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, lines: list[str], message: str) -> None:
    """With the line, without the review."""
    with pytest.raises(DataError) as refused:
        added(tmp_path, write(tmp_path, *lines))
    assert message in str(refused.value)
    assert "SECRET" not in str(refused.value)


def test_the_command_line_adds_them_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says what is wrong with exit code 2."""
    texts = [(text, "negative" if label == "negative" else "positive") for text, label in synthetic(300)]
    lines = [
        line(decided(number, "block" if label == "negative" else "allow", text))
        for number, (text, label) in enumerate(texts)
    ]
    place, out = write(tmp_path, *lines), str(tmp_path / "run")
    assert main(["prepare", "own", "--out", out]) == 2
    assert "give --csv or --verdicts" in capsys.readouterr().err
    assert main(["prepare", "own", "--out", out, "--verdict-labels", "block=negative"]) == 2
    assert main(["prepare", "own", "--out", out, "--verdicts", place]) == 2
    assert "no decision has a label" in capsys.readouterr().err
    assert (
        main(["prepare", "own", "--out", out, "--verdicts", place, "--verdict-labels", "block=negative,allow=positive"])
        == 0
    )
    counts = json.loads((tmp_path / "run" / "prepared.json").read_text(encoding="utf-8"))["counts"]
    assert counts["verdicts"]["read"] == 300


@pytest.fixture
def topic(cluster: Cluster, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch) -> str:
    """A verdict topic with three partitions, named by the settings."""
    for variable in list(os.environ):
        if variable.startswith("STREAMER_"):
            monkeypatch.delenv(variable)
    name = make_topic(3)
    monkeypatch.setenv("STREAMER_KAFKA__BOOTSTRAP_SERVERS", cluster.bootstrap)
    monkeypatch.setenv("STREAMER_MODERATION__VERDICT_TOPIC", name)
    return name


def test_a_setting_under_an_old_name_is_warned_of(
    topic: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Here too: training reads the service's settings without its command line."""
    monkeypatch.setattr("streamer.settings.deprecated._warned", set())
    monkeypatch.setenv("STREAMER_DRAIN_TIMEOUT_MS", "1234")
    assert asyncio.run(_read_topic()) == b""
    assert [message for message in caplog.messages if "STREAMER_PIPELINE__DRAIN_TIMEOUT_MS" in message] != []


def test_what_was_decided_in_kafka_is_trained_on(cluster: Cluster, topic: str, tmp_path: Path) -> None:
    """From the topic itself, which is read once for a run; newer decisions are for the next one."""

    async def publish(messages: list[Message]) -> None:
        publisher = Publisher(KafkaSettings(bootstrap_servers=cluster.bootstrap), "zstd")
        await publisher.start(topic)
        try:
            await (await publisher.send([message._replace(topic=topic) for message in messages]))
        finally:
            await publisher.stop()

    asyncio.run(publish(MESSAGES))
    expected = {Review("很好", POSITIVE), Review("很差 but meant well", POSITIVE), Review("糟糕", NEGATIVE)}
    assert set(read_with(tmp_path, "topic", "block=negative")) == expected
    asyncio.run(publish([decided(7, "allow", "newer", "positive")]))
    said: list[str] = []
    assert set(read_with(tmp_path, "topic", "block=negative", said)) == expected
    assert "read before; --force reads the topic again" in said[0]
    assert Review("newer", POSITIVE) in read_with(tmp_path / "next", "topic", "block=negative")


def test_a_topic_that_is_not_there_is_said(topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name."""
    monkeypatch.setenv("STREAMER_MODERATION__VERDICT_TOPIC", "nowhere")
    with pytest.raises(DataError, match="nowhere"):
        added(tmp_path, "topic")
