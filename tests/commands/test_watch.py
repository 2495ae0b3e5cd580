"""`streamer watch`: what is counted, what is shown, and how it ends."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import time
from typing import Any

import orjson
import pytest
from rich.console import Console

from streamer.commands.watch import RecentLabels, ResultLine, result_line, watch
from streamer.events import Record
from streamer.kafka import TopicMissing
from streamer.settings import KafkaSettings, OutputSettings, Settings
from tests.brokers import Cluster, MakeTopic
from tests.reading import Item, fill


def settings(cluster: Cluster, topic: str) -> Settings:
    return Settings(kafka=KafkaSettings(bootstrap_servers=cluster.bootstrap), output=OutputSettings(topic=topic))


SOURCE = {"topic": "reviews", "partition": 0, "offset": 3}


def event(label: str = "negative", **others: Any) -> bytes:
    return orjson.dumps({"id": "r1", "label": label, "score": 0.25, "group": "book", "source": SOURCE} | others)


def record(value: bytes | None, timestamp: int = 1500) -> Record:
    return Record("out", 2, 7, timestamp, None, value)


async def shown(cluster: Cluster, topic: str, terminal: bool = False, **options: Any) -> str:
    """What is printed until it ends."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=100, height=20, legacy_windows=False)
    await asyncio.wait_for(watch(settings(cluster, topic), console=console, **options), 20)
    return output.getvalue()


async def test_results_are_plain_lines_without_a_terminal(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Label, score, group, and the evidence or else the id; it ends after as many as were asked for."""
    topic = make_topic()
    evidence = [{"token": "差", "weight": -1.5}, {"token": "bad", "weight": -0.5}]
    values = [event(evidence=evidence), event("positive", id=None, group=None), event("uncertain"), event()]
    await asyncio.to_thread(fill, cluster.bootstrap, topic, [Item(value) for value in values])
    assert await shown(cluster, topic, since_minutes=1, limit=3) == (
        f"negative  0.250 book 差 bad\npositive  0.250 {topic}/0/1\nuncertain 0.250 book r1\n"
    )


async def test_what_is_no_result_is_passed_over(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Tombstones, and records that somebody else wrote."""
    topic = make_topic()
    items = [Item(None, b"k"), Item(b"no JSON"), Item(b"[1]"), Item(b'{"label": "negative"}'), Item(event())]
    await asyncio.to_thread(fill, cluster.bootstrap, topic, items)
    assert await shown(cluster, topic, since_minutes=1, limit=1) == "negative  0.250 book r1\n"


async def test_on_a_terminal_it_is_a_table_with_counts(cluster: Cluster, make_topic: MakeTopic) -> None:
    """In colour; markup in what people wrote is text, and their control characters are not there."""
    topic = make_topic()
    values = [event("positive"), event("negative", group="[red]a\x1b[2Jb", id="x\x07"), event("negative")]
    await asyncio.to_thread(fill, cluster.bootstrap, topic, [Item(value) for value in values])
    screen = await shown(cluster, topic, terminal=True, since_minutes=1, limit=3)
    assert "\x1b[31mnegative" in screen
    assert "[red]a [2Jb" in screen
    assert "\x1b[2Jb" not in screen
    assert "\x07" not in screen
    assert "1 positive" in screen
    assert "67% negative in the last minute" in screen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_in_good_order(cluster: Cluster, make_topic: MakeTopic, number: signal.Signals) -> None:
    """It returns what it has shown, so that the process ends with 0; signals are as they were before."""
    topic = make_topic()
    watching = asyncio.create_task(watch(settings(cluster, topic), console=Console(file=io.StringIO())))
    await asyncio.sleep(0.5)
    before = time.monotonic()
    os.kill(os.getpid(), number)
    assert await asyncio.wait_for(watching, 10) == 0
    assert time.monotonic() - before < 3
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_an_output_topic_that_is_missing_is_told(cluster: Cluster) -> None:
    """It is not made by looking for it."""
    with pytest.raises(TopicMissing, match="no-such-topic"):
        await watch(settings(cluster, "no-such-topic"))


def test_a_result_is_what_the_event_says() -> None:
    """Its time is the record's."""
    assert result_line(record(event("positive"))) == ResultLine("positive", 0.25, "book", "r1", 1.5)
    assert result_line(record(event(label="\x1b]0;x", score=1))) == ResultLine(" ]0;x", 1.0, "book", "r1", 1.5)


@pytest.mark.parametrize("value", [None, b"null", b"\xff", b"1", b'{"label": "positive"}', event(score="high")])
def test_what_is_no_event_is_no_result(value: bytes | None) -> None:
    """Whoever wrote it."""
    assert result_line(record(value)) is None


def test_labels_are_counted_for_a_minute() -> None:
    """By when they were given, not by when they were read; what is older does not count."""
    recent = RecentLabels()
    for at, label in ((1000.0, "positive"), (1030.5, "negative"), (1030.9, "negative"), (939.0, "negative")):
        recent.add(label, at, now=1031.0)
    assert recent.counts(1031.0) == {"positive": 1, "negative": 2}
    assert recent.share("negative", 1031.0) == 2 / 3
    assert recent.counts(1065.0) == {"negative": 2}
    assert recent.share("negative", 1065.0) == 1.0
    assert recent.counts(1200.0) == {}
    assert recent.share("negative", 1200.0) == 0.0


def test_a_label_of_the_future_is_one_of_now() -> None:
    """Clocks differ."""
    recent = RecentLabels()
    recent.add("positive", 9999.0, now=1000.0)
    assert recent.counts(1000.5) == {"positive": 1}
    assert recent.counts(1061.0) == {}


def test_the_rate_is_over_ten_whole_seconds() -> None:
    """The second that is not over yet would make it jump."""
    recent = RecentLabels()
    for at in range(1000, 1020):
        for _ in range(3):
            recent.add("positive", at + 0.5, now=1020.0)
    recent.add("positive", 1020.1, now=1020.2)
    assert recent.rate(1020.5) == 3.0
    assert recent.rate(1025.0) == (5 * 3 + 1) / 10
