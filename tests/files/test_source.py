"""Rows of files as records of one partition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.events import Record, TopicPartition
from streamer.files.errors import FileError
from streamer.files.source import RowSource, open_source, overrides_for_rows
from streamer.files.tables import TableReader
from streamer.settings import load


async def polled(source: RowSource) -> list[list[int]]:
    """The offsets of each poll until the end."""
    polls = []
    while (records := await source.poll(0.01)) is not None:
        polls.append([record.offset for batch in records.values() for record in batch])
    return polls


def numbered(count: int) -> Iterator[bytes]:
    return (str(number).encode() for number in range(count))


async def test_rows_are_records_of_one_partition() -> None:
    """Numbered from 0, in portions; after the last there is nothing more."""
    source = RowSource(numbered(2500), "reviews.csv", created_ms=7)
    records = await source.poll(0.01)
    assert records is not None
    first = records[TopicPartition("reviews.csv", 0)]
    assert first[:2] == [Record("reviews.csv", 0, offset, 7, None, str(offset).encode()) for offset in (0, 1)]
    assert len(first) + sum(map(len, await polled(source))) == 2500
    assert await source.poll(0.01) is None


async def test_a_paused_source_hands_out_nothing() -> None:
    """And goes on where it was."""
    source = RowSource(numbered(3), "reviews.csv", created_ms=7)
    assert source.pause() == 1
    assert await source.poll(0.001) == {}
    source.resume()
    assert await polled(source) == [[0, 1, 2]]
    assert source.watermarks() == {}


async def test_a_file_is_opened_with_its_first_row_read(tmp_path: Path) -> None:
    """So a wrong column is reported at once; the records have the file's name, and none of them is missing."""
    path = tmp_path / "rows.csv"
    path.write_text("text\na\nb\n")
    async with open_source(TableReader(str(path))) as source:
        assert source is not None
        assert source.partition == TopicPartition("rows.csv", 0)
        assert await polled(source) == [[0, 1]]
    with pytest.raises(FileError, match="no column 'body'"):
        async with open_source(TableReader(str(path), required=("body",))):
            pass


async def test_an_empty_file_has_no_source(tmp_path: Path) -> None:
    """There is nothing to load a model for."""
    path = tmp_path / "rows.csv"
    path.write_text("text\n")
    async with open_source(TableReader(str(path))) as source:
        assert source is None


def test_a_file_is_read_as_json_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the settings are for Kafka."""
    monkeypatch.setenv("STREAMER_INPUT__FORMAT", "text")
    monkeypatch.setenv("STREAMER_DEAD_LETTERS__MAX_RATIO", "0.1")
    settings = load(overrides_for_rows("body.text"))
    assert (settings.input.format, settings.input.text_field) == ("json", "body.text")
    assert settings.dead_letters.max_ratio == 1.0
