"""`streamer produce` on a broker: what rows become, where they go, how fast; and where it ends."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from streamer.commands.produce import RowMapping, produce
from streamer.files.errors import FileError
from streamer.files.options import TableOptions
from streamer.kafka import TopicMissing
from streamer.settings import InputSettings, KafkaSettings, Settings
from tests.brokers import Cluster, MakeTopic
from tests.reading import Item, fill, read_all


def settings(cluster: Cluster, topic: str, **given: Any) -> Settings:
    return Settings(kafka=KafkaSettings(bootstrap_servers=cluster.bootstrap), input=InputSettings(topic=topic, **given))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Ten rows: texts, and users of whom there are three."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"text": "review {number}", "user": "u{number % 3}"}}\n' for number in range(10)))
    return path


async def test_rows_go_round_the_partitions(cluster: Cluster, make_topic: MakeTopic, rows: Path) -> None:
    """Without keys, in turn and in order; their time is now."""
    topic = make_topic(3)
    assert await produce(settings(cluster, topic), str(rows)) == 10
    records = await asyncio.to_thread(read_all, cluster.bootstrap, topic)
    assert {(r.position.partition, r.position.offset): json.loads(r.value or b"")["text"] for r in records} == {
        (number % 3, number // 3): f"review {number}" for number in range(10)
    }
    assert {record.key for record in records} == {None}
    assert all(abs(record.timestamp_ms / 1000 - time.time()) < 60 for record in records)


async def test_csv_rows_become_objects(cluster: Cluster, make_topic: MakeTopic, tmp_path: Path) -> None:
    """Of their columns."""
    path = tmp_path / "rows.csv"
    path.write_text('text,id\n"good, really",1\nbad,2\n')
    topic = make_topic()
    assert await produce(settings(cluster, topic), str(path)) == 2
    records = await asyncio.to_thread(read_all, cluster.bootstrap, topic)
    assert [r.value for r in records] == [b'{"text":"good, really","id":"1"}', b'{"text":"bad","id":"2"}']


async def test_json_lines_go_as_they_are(cluster: Cluster, make_topic: MakeTopic, tmp_path: Path) -> None:
    """Byte for byte, from a .gz too."""
    path = tmp_path / "rows.jsonl.gz"
    lines = [b'{"text": "a",  "id": 1.50}', b'{"id": 1}', b'{"text": "\\ud800"}']
    path.write_bytes(gzip.compress(b"\n".join(lines)))
    topic = make_topic()
    assert await produce(settings(cluster, topic), str(path)) == 3
    assert [record.value for record in await asyncio.to_thread(read_all, cluster.bootstrap, topic)] == lines


@pytest.mark.parametrize("text_column", [None, "body"])
async def test_numbers_keep_all_digits(
    cluster: Cluster, make_topic: MakeTopic, tmp_path: Path, text_column: str | None
) -> None:
    """As a key, and where the row is written again because its text is copied."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text":"a","body":"b","id":12345678901234567890123}\n')
    topic = make_topic()
    assert await produce(settings(cluster, topic), str(path), key_column="id", text_column=text_column) == 1
    (record,) = await asyncio.to_thread(read_all, cluster.bootstrap, topic)
    assert record.key == b"12345678901234567890123"
    assert json.loads(record.value or b"") == {
        "text": "b" if text_column else "a",
        "body": "b",
        "id": 12345678901234567890123,
    }


async def test_damage_ends_it_after_the_rows_before(
    cluster: Cluster, make_topic: MakeTopic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them are sent, and the error says how many; bad rows are left out by option."""
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n" + "1,good\n" * 3000 + "2,so, so\n" + "3,bad\n")
    topic = make_topic()
    with pytest.raises(FileError, match=r"rows\.csv, line 3002: 3 cells.*sent before it: 3,000 rows"):
        await produce(settings(cluster, topic), str(path))
    assert len(await asyncio.to_thread(read_all, cluster.bootstrap, topic)) == 3000
    assert await produce(settings(cluster, topic), str(path), options=TableOptions(skip_bad_rows=True)) == 3001
    assert f"streamer: 3,001 rows sent to {topic}\n" in capsys.readouterr().err


async def test_objects_without_a_text_or_a_key_are_counted(
    cluster: Cluster, make_topic: MakeTopic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are sent, even the first: a field of an object may be missing."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"user": "a"}\n{"text": "good", "user": "b"}\n{"text": "bad"}\n')
    assert await produce(settings(cluster, make_topic()), str(path), key_column="user") == 3
    assert "3 rows sent to" in (said := capsys.readouterr().err)
    assert ", 1 without the text 'text', 1 without the key 'user'\n" in said


async def test_a_key_goes_to_its_partition(cluster: Cluster, make_topic: MakeTopic, rows: Path) -> None:
    """The one that Kafka's own partitioner says, so that others' records of the key are there too."""
    topic = make_topic(5)
    await produce(settings(cluster, topic), str(rows), key_column="user")
    others = await asyncio.to_thread(
        fill, cluster.bootstrap, topic, [Item(b"", key=b"u%d" % number) for number in range(3)]
    )
    records = await asyncio.to_thread(read_all, cluster.bootstrap, topic)
    assert {(r.key, r.position.partition) for r in records} == {(key, at.partition) for at, key in others.items()}
    assert Counter(record.key for record in records if record.value) == {b"u0": 4, b"u1": 3, b"u2": 3}


async def test_a_topic_that_is_missing_is_not_made(cluster: Cluster, rows: Path) -> None:
    """Though brokers make topics that are written to, with who knows how many partitions."""
    topic = f"missing-{uuid.uuid4().hex}"
    with pytest.raises(TopicMissing, match=topic):
        await produce(settings(cluster, topic), str(rows))
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    assert topic not in (await asyncio.to_thread(admin.list_topics, timeout=10)).topics


async def test_a_limit_counts_all_repeats(cluster: Cluster, make_topic: MakeTopic, rows: Path) -> None:
    """The file is read again from its start."""
    topic = make_topic()
    assert await produce(settings(cluster, topic), str(rows), repeat=3, limit=25) == 25
    records = await asyncio.to_thread(read_all, cluster.bootstrap, topic)
    assert Counter(Counter(record.value for record in records).values()) == {3: 5, 2: 5}


async def test_a_rate_is_kept(cluster: Cluster, make_topic: MakeTopic, rows: Path) -> None:
    """Forty rows at fifty a second take most of a second."""
    begin = time.monotonic()
    assert await produce(settings(cluster, make_topic()), str(rows), repeat=4, rate=50) == 40
    assert 0.6 < time.monotonic() - begin < 5


async def test_many_rows_arrive_in_order(cluster: Cluster, make_topic: MakeTopic, tmp_path: Path) -> None:
    """Over several sends that are on their way at the same time."""
    path = tmp_path / "many.jsonl"
    path.write_text("".join(f'{{"text": "{number}"}}\n' for number in range(5000)))
    topic = make_topic(2)
    assert await produce(settings(cluster, topic, format="text"), str(path)) == 5000
    records = await asyncio.to_thread(read_all, cluster.bootstrap, topic)
    for partition in range(2):
        values = [int(r.value or b"") for r in records if r.position.partition == partition]
        assert values == list(range(partition, 5000, 2))


@pytest.mark.parametrize("header", ["text,user", "text", "user"])
async def test_a_column_that_is_missing_is_told_first(tmp_path: Path, header: str) -> None:
    """By name, with the columns that there are; before anything is sent, or even connected to."""
    path = tmp_path / "rows.csv"
    path.write_text(f"{header}\n1,2\n")
    nowhere = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(FileError, match=rf"no column '(text|who)'; the columns are .*{header[-4:]}"):
        await produce(nowhere, str(path), key_column="who")


async def test_a_file_of_bad_rows_alone_is_an_error(tmp_path: Path) -> None:
    """Nothing was done; and there is nothing to connect for."""
    path = tmp_path / "rows.jsonl"
    path.write_text("x\ny\n")
    nowhere = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(FileError, match="no row could be sent: 2 bad rows left out: 2 not JSON"):
        await produce(nowhere, str(path), options=TableOptions(skip_bad_rows=True))
    path.write_text("\n")
    assert await produce(nowhere, str(path)) == 0


async def test_standard_input_is_read_once() -> None:
    """It cannot be gone back in."""
    with pytest.raises(FileError, match="only once"):
        await produce(Settings(), "-", repeat=2)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The writing end of a pipe that is standard input."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb", buffering=0) as end:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=stdin))
        yield end


async def test_rows_of_a_pipe_go_on_as_they_come(cluster: Cluster, make_topic: MakeTopic, pipe: Any) -> None:
    """A row does not wait for the next one."""
    topic = make_topic()
    producing = asyncio.create_task(produce(settings(cluster, topic), "-"))
    for number in range(1, 3):
        pipe.write(b'{"text": "%d"}\n' % number)
        records = await asyncio.to_thread(read_all, cluster.bootstrap, topic, number, timeout_s=10)
        assert len(records) == number
    pipe.close()
    assert await producing == 2


async def test_a_silent_pipe_does_not_hold_up_the_end(cluster: Cluster, make_topic: MakeTopic, pipe: Any) -> None:
    """Cancelled, as by Ctrl-C, it leaves no thread that waits for the pipe."""
    before = threading.active_count()
    producing = asyncio.create_task(produce(settings(cluster, make_topic()), "-"))
    pipe.write(b'{"text": "a"}\n')
    await asyncio.sleep(0.5)
    producing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await producing
    async with asyncio.timeout(2):
        await asyncio.get_running_loop().shutdown_default_executor()
    assert threading.active_count() <= before


def mapping(
    format: Any = "json", text_field: str = "text", text_column: str = "text", key: str | None = None
) -> RowMapping:
    return RowMapping("reviews", format, text_field, text_column, key)


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (b'{"text": "good", "id": 1}', b"good"),
        (b'{"text": "\xe5\xa5\xbd\\n"}', "好\n".encode()),
        (b'{"text": 5}', b"5"),
        (b'{"text": null}', b""),
        (b"bare", b"bare"),
        (b"[1]", b"[1]"),
    ],
)
def test_in_text_format_the_value_is_the_text(row: bytes, value: bytes) -> None:
    """Without its JSON; a row that is no object is the text itself. Never a null, which would be a tombstone."""
    assert mapping("text").message(row, 0, 0).value == value


@pytest.mark.parametrize(
    ("text_field", "row", "value"),
    [
        ("text", b'{"review": "a", "id": 1}', b'{"review":"a","id":1,"text":"a"}'),
        ("body.text", b'{"review": "a"}', b'{"review":"a","body":{"text":"a"}}'),
        ("body.text", b'{"review": "a", "body": 1}', b'{"review":"a","body":{"text":"a"}}'),
        ("text", b'{"id": 2}', b'{"id": 2}'),
        ("review", b'{"review":  "a"}', b'{"review":  "a"}'),
    ],
)
def test_another_text_column_is_copied_to_where_the_service_looks(text_field: str, row: bytes, value: bytes) -> None:
    """Where it is the same one, the row goes as it is."""
    assert mapping(text_field=text_field, text_column="review").message(row, 0, 0).value == value


@pytest.mark.parametrize(
    ("row", "key"),
    [
        (b'{"user": "\xe4\xba\xba"}', "人".encode()),
        (b'{"user": 7}', b"7"),
        (b'\xef\xbb\xbf{"user": "a"}', b"a"),
        (b'{"user": null}', None),
        (b"{}", None),
        (b"no JSON", None),
        (b'{"user.name": "a", "user": "b"}', b"b"),
    ],
)
def test_keys_are_the_column_s_bytes(row: bytes, key: bytes | None) -> None:
    """A row without one has no key."""
    assert mapping(key="user").message(row, 0, 0).key == key


def test_a_dotted_path_leads_to_a_key() -> None:
    """Unless there is a column of that very name, as csv files may have."""
    dotted = mapping(key="user.name")
    assert dotted.message(b'{"user": {"name": "a"}}', 0, 0).key == b"a"
    assert dotted.message(b'{"user": {"name": "a"}, "user.name": "b"}', 0, 0).key == b"b"
