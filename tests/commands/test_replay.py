"""`streamer dlq replay`: dead letters come back as they once were, each of them once."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from rich.console import Console

from streamer.commands.replay import replay
from streamer.events import DeadLetter, Headers, Reason, Record
from streamer.formats.encode import Encoder
from streamer.kafka import TopicMissing
from streamer.settings import DeadLetterSettings, InputSettings, KafkaSettings, Settings
from tests.brokers import Cluster, MakeTopic
from tests.reading import Item, committed, fill, read_all

TIME_MS = 1_704_067_200_000
JSON, LARGE = Reason.NOT_JSON, Reason.TOO_LARGE


class Topics:
    """An input topic of three partitions and its dead letters."""

    def __init__(self, cluster: Cluster, make_topic: MakeTopic) -> None:
        self.bootstrap = cluster.bootstrap
        self.input, self.dead = make_topic(3), make_topic(2)
        self.group = f"group-of-{self.input}"
        self.settings = Settings(
            kafka=KafkaSettings(bootstrap_servers=cluster.bootstrap, group_id=self.group),
            input=InputSettings(topic=self.input),
            dead_letters=DeadLetterSettings(topic=self.dead),
        )

    async def bury(self, records: Iterable[Record], reason: Reason = JSON, minutes_ago: float = 0) -> None:
        """Write the dead letters that the service would write."""
        encoder = Encoder(
            topic="out", dead_letter_topic=self.dead, group_id=self.group, model_name="model", model_version="1"
        )
        now = int((time.time() - minutes_ago * 60) * 1000)
        messages = [encoder.dead_letter(DeadLetter(record, reason, "why"), now).message for record in records]
        items = [
            Item(m.value, m.key, None if m.key else m.source_partition % 2, m.headers, m.timestamp) for m in messages
        ]
        await asyncio.to_thread(fill, self.bootstrap, self.dead, items)

    def record(self, number: int, partition: int = 0, key: bytes | None = None, headers: Headers = ()) -> Record:
        return Record(self.input, partition, number, TIME_MS + number, key, b"%d" % number, headers)

    async def replay(self, **options: Any) -> Counter[str]:
        return await asyncio.wait_for(replay(self.settings, console=Console(file=io.StringIO()), **options), 30)

    async def back(self) -> list[bytes | None]:
        """The values on the input topic, in the order of their numbers."""
        records = await asyncio.to_thread(read_all, self.bootstrap, self.input)
        return sorted((record.value for record in records), key=lambda value: int(value or b""))

    async def seen(self) -> int:
        """How many dead letters are committed as seen."""
        group = f"{self.group}.dlq-replay"
        return sum((await asyncio.to_thread(committed, self.bootstrap, group, self.dead)).values())


@pytest.fixture
def topics(cluster: Cluster, make_topic: MakeTopic) -> Topics:
    return Topics(cluster, make_topic)


def numbers(values: Sequence[int]) -> list[bytes]:
    return [b"%d" % value for value in values]


async def test_a_dead_letter_comes_back_as_it_was(topics: Topics) -> None:
    """Key, value, headers and time; without a key in its partition, with one in its key's; in order."""
    headers = (("traceparent", b"00"), ("none", None))
    without_key = [topics.record(number, number % 3, headers=headers) for number in range(9)]
    items = [Item(b"%d" % number, b"key") for number in range(9, 12)]
    positions = await asyncio.to_thread(fill, topics.bootstrap, topics.input, items)
    home = next(iter(positions)).partition
    with_key = [topics.record(number, home, b"key", headers) for number in range(9, 12)]
    await topics.bury(without_key + with_key)
    assert await topics.replay() == {"not_json": 12}
    found = await asyncio.to_thread(read_all, topics.bootstrap, topics.input)
    back = [
        Record(topics.input, r.position.partition, int(r.value or b""), r.timestamp_ms, r.key, r.value, r.headers)
        for r in found
        if r.headers
    ]
    for partition in range(3):
        for key in (None, b"key"):
            expected = [r for r in without_key + with_key if (r.partition, r.key) == (partition, key)]
            assert [r for r in back if (r.partition, r.key) == (partition, key)] == expected


async def test_a_second_replay_has_only_what_is_new(topics: Topics) -> None:
    """What was replayed is committed."""
    await topics.bury(topics.record(number, number) for number in range(3))
    assert await topics.replay() == {"not_json": 3}
    assert await topics.seen() == 3
    assert await topics.replay() == {}
    await topics.bury([topics.record(3)], LARGE)
    assert await topics.replay() == {"too_large": 1}
    assert await topics.back() == numbers(range(4))


async def test_a_dry_run_only_counts(topics: Topics) -> None:
    """Nothing is published, nothing is committed."""
    await topics.bury([topics.record(0), topics.record(1)])
    await topics.bury([topics.record(2)], LARGE)
    for _ in range(2):
        assert await topics.replay(dry_run=True) == {"not_json": 2, "too_large": 1}
    assert await topics.back() == []
    assert await topics.seen() == 0


async def test_reasons_choose(topics: Topics) -> None:
    """Those that are not chosen count as seen."""
    await topics.bury([topics.record(0), topics.record(1)])
    await topics.bury([topics.record(2)], LARGE)
    assert await topics.replay(reasons=[LARGE]) == {"too_large": 1}
    assert await topics.back() == [b"2"]
    assert await topics.replay() == {}


async def test_a_limit_leaves_the_rest_for_later(topics: Topics) -> None:
    """Nothing is left out between two replays, and nothing comes twice."""
    await topics.bury(topics.record(number) for number in range(10))
    assert await topics.replay(limit=4) == {"not_json": 4}
    assert await topics.back() == numbers(range(4))
    assert await topics.replay(limit=4) == {"not_json": 4}
    assert await topics.replay(limit=4) == {"not_json": 2}
    assert await topics.back() == numbers(range(10))


async def test_old_ones_are_passed_over(topics: Topics) -> None:
    """By when they became dead letters."""
    await topics.bury([topics.record(0)], minutes_ago=10)
    await topics.bury([topics.record(1)])
    assert await topics.replay(since_minutes=5) == {"not_json": 1}
    assert await topics.back() == [b"1"]


async def test_what_is_no_dead_letter_of_the_topic_is_passed_over(topics: Topics) -> None:
    """Another service's, and what is none at all."""
    other = Record("another-topic", 0, 0, TIME_MS, None, b"0")
    await topics.bury([other, topics.record(1)])
    await asyncio.to_thread(fill, topics.bootstrap, topics.dead, [Item(b"2", partition=0)])
    assert await topics.replay() == {"not_json": 1}
    assert await topics.back() == [b"1"]
    assert await topics.seen() == 3


async def test_a_letter_that_died_twice_loses_both_marks(topics: Topics) -> None:
    """Replayed and refused again, it has the headers of both deaths, of which the last one counts."""
    marks = (("mine", b"1"), ("dlq.reason", b"too_large"), ("dlq.topic", b"elsewhere"), ("dlq.partition", b"1"))
    await topics.bury([topics.record(0, 2, headers=marks)])
    assert await topics.replay() == {"not_json": 1}
    (back,) = await asyncio.to_thread(read_all, topics.bootstrap, topics.input)
    assert (back.position.partition, back.headers) == (2, (("mine", b"1"),))


async def test_counts_are_printed(topics: Topics) -> None:
    """By reason, the most frequent first."""
    await topics.bury([topics.record(0)], LARGE)
    await topics.bury([topics.record(1), topics.record(2)])
    output = io.StringIO()
    await replay(topics.settings, reasons=[JSON, LARGE], console=Console(file=output))
    assert output.getvalue().split() == ["2", "not_json", "1", "too_large"]


async def test_missing_topics_are_told(cluster: Cluster, make_topic: MakeTopic) -> None:
    """The dead letters' first."""
    there = make_topic()
    for source, dead, missing in ((there, "no-letters", "no-letters"), ("no-reviews", there, "no-reviews")):
        wrong = Settings(
            kafka=KafkaSettings(bootstrap_servers=cluster.bootstrap),
            input=InputSettings(topic=source),
            dead_letters=DeadLetterSettings(topic=dead),
        )
        with pytest.raises(TopicMissing, match=missing):
            await replay(wrong)
