"""Results as lines, and the files that they are written to."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from streamer.events import CommitOutcome, DeadLetter, Prediction, Reason, Record, Review, Tombstone, TopicPartition
from streamer.files.errors import FileError
from streamer.files.sink import LineSink, open_output
from streamer.formats.encode import Encoder


async def test_results_are_lines_in_order() -> None:
    """Rows that cannot be labelled say why, and which they were."""
    encoder = Encoder(topic="out", dead_letter_topic="dead", group_id="group", model_name="m", model_version="1")
    good = Record("reviews.csv", 0, 0, 7, None, b'{"text":"a"}')
    bad = Record("reviews.csv", 0, 1, 7, None, b"{}")
    verdict = Prediction("positive", 0.9, 0.9, 1, False)
    labelled = encoder.labelled(Review(good, "a", "r1", 7, None), verdict, 9).message
    dead = encoder.dead_letter(DeadLetter(bad, Reason.TEXT_MISSING, "no field 'text'"), 7).message
    deleted = encoder.tombstone(Tombstone(Record("reviews.csv", 0, 2, 7, None, None)), 9).message
    output, written = io.BytesIO(), list[int]()
    sink, source = LineSink(output, written.append), good.source
    await (await sink.send(source, 2, [labelled, dead]))
    await (await sink.send(source, 3, [deleted]))
    lines = output.getvalue().splitlines()
    assert lines[0] == labelled.value
    assert json.loads(lines[1]) == {"error": "text_missing", "detail": "no field 'text'", "row": 1}
    assert lines[2:] == [b"null"]
    assert sum(written) == 3
    assert await sink.commit({TopicPartition("reviews.csv", 0): 3}) is CommitOutcome.DONE


async def test_output_that_cannot_be_written_is_reported() -> None:
    """As a fault of the file, not as a bug."""

    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match="cannot be written: No space left on device"):
        await LineSink(Full(), lambda _: None).send(TopicPartition("rows.csv", 0), 1, [])


def test_an_output_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    """An older file of that name stays until then, and nothing partial is left behind."""
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="a bug"), open_output(str(path)) as output:
        output.write(b"new")
        raise ValueError("a bug")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"out.jsonl": b"old"}
    with open_output(str(path)) as output:
        output.write(b"new")
        assert path.read_bytes() == b"old"
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"out.jsonl": b"new"}
    with pytest.raises(FileError, match="No such file"), open_output(str(tmp_path / "none" / "out.jsonl")):
        pass


@pytest.mark.parametrize("name", ["a.jsonl.xz", "a.zip", "a.parquet"])
def test_an_output_that_would_not_be_what_its_name_says_is_refused(tmp_path: Path, name: str) -> None:
    """Rather than plain lines under that name."""
    with pytest.raises(FileError, match=r"only \.gz, \.bz2 and \.zst"), open_output(str(tmp_path / name)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_output_in_a_missing_folder_is_named_as_it_was_given(tmp_path: Path) -> None:
    """Not by the name that it has until it is complete."""
    with pytest.raises(FileError) as raised, open_output(str(tmp_path / "none" / "a.jsonl")):
        pass
    assert "a.jsonl: " in str(raised.value)
    assert "partial" not in str(raised.value)
