"""`streamer trends`: what it shows of the trends topic, the alerts that it publishes, and how it ends."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import time
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from streamer.commands.trends import follow
from streamer.events import TopicPartition
from streamer.formats.asyncapi import asyncapi
from streamer.kafka import TopicMissing
from streamer.labels import UNNAMED_COLUMNS
from streamer.settings import KafkaSettings, Settings, TrendSettings
from streamer.trends import Cell, CountDelta, encode
from tests.brokers import Cluster, MakeTopic
from tests.reading import Item, fill, read_all

SOURCE = TopicPartition("reviews", 0)
NOW = int(time.time())
BEGIN = NOW // 60 * 60 - 1800  # A whole minute, half an hour ago.


def settings(cluster: Cluster, topic: str, **trends: Any) -> Settings:
    return Settings(
        kafka=KafkaSettings(bootstrap_servers=cluster.bootstrap), trends=TrendSettings(topic=topic, **trends)
    )


def minutes(*shares: tuple[int, int], group: str = "book") -> list[Item]:
    """A message for each minute: so many negative ones of so many, published at its end."""
    items = []
    for number, (negative, count) in enumerate(shares):
        second = BEGIN + 60 * number
        cells: list[Cell] = [
            [second, group, count - negative, negative, 0, 500_000 * count],
            [second + 59, None, 0, 0, 1, 500_000],
        ]
        value = encode(CountDelta(SOURCE, number, number + 1, (1, 0), cells, UNNAMED_COLUMNS))
        items.append(Item(value, b"reviews/0", 0, timestamp_ms=1000 * (second + 60)))
    return items


async def shown(settings: Settings, terminal: bool = False, **options: Any) -> str:
    """What is printed until it ends."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=100, height=40, legacy_windows=False)
    async with asyncio.timeout(60):
        await follow(settings, console=console, **options)
    return output.getvalue()


async def test_windows_are_lines_of_json_without_a_terminal(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Each once it is over, oldest first, with its top groups and those that moved; what is no count is passed over."""
    topic = make_topic()
    items = [Item(b"anything", partition=0), *minutes((10, 40), (5, 10), (1, 1))]
    await asyncio.to_thread(fill, cluster.bootstrap, topic, [*items, *items])
    printed = await shown(settings(cluster, topic), since_minutes=60, limit=2)
    first, second = map(orjson.loads, printed.splitlines())
    total = {"positive": 30, "negative": 10, "uncertain": 1, "negative_share": 0.243902, "mean_score": 0.5}
    book = {"group": "book", "positive": 30, "negative": 10, "uncertain": 0, "negative_share": 0.25, "mean_score": 0.5}
    assert first == {
        "window": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(BEGIN)),
        "seconds": 60,
        **total,
        "top": [book | {"before": 0, "change": 6.32}],
        "changed": [book | {"before": 0, "change": 6.32}],
    }
    assert (second["top"][0]["before"], second["changed"][0]["change"]) == (40, -4.24)


async def test_alerts_are_printed_and_published(cluster: Cluster, make_topic: MakeTopic) -> None:
    """The same ones with the same `ce_id` by another process; as the schema says."""
    topic, alerts = make_topic(), make_topic()
    items = minutes(*[(20, 100)] * 15, (70, 100), (75, 100), *[(20, 100)] * 3)
    await asyncio.to_thread(fill, cluster.bootstrap, topic, items)
    given = settings(cluster, topic, alert_topic=alerts)
    printed = [orjson.loads(line) for line in (await shown(given, since_minutes=60, limit=19)).splitlines()]
    found = [line["alert"] for line in printed if "alert" in line]
    by_group = [(alert["group"], alert["direction"]) for alert in found]
    assert by_group == [(None, "above"), ("book", "above"), (None, "back"), ("book", "back")]
    await shown(given, since_minutes=60, limit=19, alert_topic=alerts)
    published = await asyncio.to_thread(read_all, cluster.bootstrap, alerts)
    assert [orjson.loads(record.value or b"") for record in published] == [*found, *found]
    start = BEGIN + 15 * 60
    identities = [(record.header("ce_id") or b"").decode() for record in published]
    assert identities[:2] == [f"{topic}/{start}/all", f"{topic}/{start}/group/book"]
    assert identities[:4] == identities[4:]
    schemas = asyncapi("a", "b", "c", "d", "e", "f")
    validator = Draft202012Validator({**schemas, "$ref": "#/components/schemas/TrendAlert"})
    for alert in found:
        validator.validate(alert)


async def test_on_a_terminal_it_is_a_table(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Of the newest window that is over; control characters of groups are not there."""
    topic = make_topic()
    await asyncio.to_thread(fill, cluster.bootstrap, topic, minutes((10, 40), (5, 10), (1, 1), group="a\x1b[2Jb"))
    screen = await shown(settings(cluster, topic), terminal=True, since_minutes=60, limit=1)
    assert "11 reviews" in screen
    assert "a [2Jb" in screen
    assert "\x1b[2Jb" not in screen
    assert "-4.2" in screen


async def test_a_signal_ends_it_in_good_order(cluster: Cluster, make_topic: MakeTopic) -> None:
    """It returns how many windows it has shown."""
    topic = make_topic()
    await asyncio.to_thread(fill, cluster.bootstrap, topic, minutes((1, 2), (1, 2), (1, 2)))
    output = io.StringIO()
    following = asyncio.create_task(
        follow(settings(cluster, topic), since_minutes=60, console=Console(file=output, width=100))
    )
    async with asyncio.timeout(60):
        while output.getvalue().count("\n") < 2:
            await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(20):
        assert await following == 2


async def test_a_topic_that_is_missing_is_told(cluster: Cluster, make_topic: MakeTopic) -> None:
    """That of the counts, and that of the alerts."""
    with pytest.raises(TopicMissing, match="no-such-topic"):
        await follow(settings(cluster, "no-such-topic"))
    with pytest.raises(TopicMissing, match="no-alerts"):
        await follow(settings(cluster, make_topic()), alert_topic="no-alerts")
