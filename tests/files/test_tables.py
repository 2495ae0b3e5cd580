"""Rows of csv and jsonl files; and files that are not what they should be."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamer.events import DeadLetter, Reason, Record, Review
from streamer.files.tables import FileError, open_rows, read_values
from streamer.formats.decode import Decoder

BOM = b"\xef\xbb\xbf"


def values(content: bytes, kind: str = "csv", column: str = "text") -> list[bytes]:
    return list(read_values(io.BytesIO(content), kind, column, "file"))


def rows(content: bytes, kind: str = "csv", column: str = "text") -> list[object]:
    return [json.loads(value) for value in values(content, kind, column)]


def test_a_row_is_an_object_of_its_columns() -> None:
    """Quoted line breaks, commas and quotes included."""
    content = 'id,text\r\n1,"很好，\r\n下次""还""来,真的"\r\n2,差\r\n'.encode()
    assert rows(content) == [{"id": "1", "text": '很好，\r\n下次"还"来,真的'}, {"id": "2", "text": "差"}]


def test_a_byte_order_mark_is_no_column_name() -> None:
    """As Excel writes it."""
    assert rows(BOM + b"text\na\n") == [{"text": "a"}]


def test_short_rows_have_nulls_and_long_ones_are_cut() -> None:
    """What has no name cannot be carried; blank lines are no rows."""
    assert rows(b"text,id\na\n\nb,1,more\n,\n") == [
        {"text": "a", "id": None},
        {"text": "b", "id": "1"},
        {"text": "", "id": ""},
    ]


def test_a_huge_field_is_read() -> None:
    """csv's own limit is 128 KiB."""
    text = "好" * 400_000
    assert rows(f'text\n"{text}"\n'.encode()) == [{"text": text}]


@pytest.mark.parametrize(
    ("content", "kind"), [(b"", "csv"), (BOM, "csv"), (b"text\n", "csv"), (b"", "jsonl"), (b"\n \n", "jsonl")]
)
def test_an_empty_file_has_no_rows(content: bytes, kind: str) -> None:
    """It is no error either."""
    assert values(content, kind) == []


def test_a_missing_column_is_said_with_those_that_are_there() -> None:
    """In a csv's header, or a jsonl's first object."""
    for content, kind in ((b"id,body\n1,a\n", "csv"), (b'{"id":1,"body":"a"}\n', "jsonl")):
        with pytest.raises(FileError, match=r"^file: no text column 'text'; the columns are id, body$"):
            values(content, kind)
    with pytest.raises(FileError, match="the columns are none"):
        values(b"{}\n", "jsonl")


def test_a_dotted_path_needs_its_first_part_only() -> None:
    """The rest is the decoder's to find."""
    assert values(b'{"body":{"text":"a"}}\n', "jsonl", "body.text") == [b'{"body":{"text":"a"}}']


def test_lines_of_json_stay_as_they_are() -> None:
    """Broken ones too: they become dead letters, as they would from Kafka. Blank ones are no rows."""
    content = b'{"text":"a"}\r\n\n  \nnot json\n{"id":1}\n{"text":"\xff"}\n{"text":"last"}'
    expected = [b'{"text":"a"}', b"not json", b'{"id":1}', b'{"text":"\xff"}', b'{"text":"last"}']
    assert values(content, "jsonl") == expected
    assert values(b'not json\n{"id":1}', "jsonl") == [b"not json", b'{"id":1}']


@pytest.mark.parametrize("odd", ["很好".encode("gbk"), b"caf\xe9", b"\xff\xfe"])
def test_a_row_that_is_not_utf8_is_refused_by_the_decoder(odd: bytes) -> None:
    """And the rows around it are read."""
    content = b"text\ngood\n" + odd + b"\nbad\n"
    first, second, third = (Decoder().decode(Record("file", 0, 0, 0, None, value)) for value in values(content))
    assert isinstance(first, Review) and isinstance(third, Review)
    assert (first.text, third.text) == ("good", "bad")
    assert isinstance(second, DeadLetter)
    assert second.reason is Reason.NOT_UTF8


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.jsonl", "a.ndjson", "a.csv.gz", "a.jsonl.gz"])
def test_a_file_is_opened_by_its_name(tmp_path: Path, name: str) -> None:
    """Packed or not."""
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"content") if name.endswith(".gz") else b"content")
    stream, kind = open_rows(str(path))
    assert stream.read() == b"content"
    assert kind == ("csv" if "csv" in name.lower() else "jsonl")
    for opened in (stream, getattr(stream, "fileobj", None)):
        if opened is not None:
            opened.close()


def test_a_name_that_says_nothing_needs_a_kind(tmp_path: Path) -> None:
    """Standard input is lines of JSON unless it is said to be otherwise."""
    path = tmp_path / "reviews.txt"
    path.write_bytes(b"text\na\n")
    with pytest.raises(FileError, match=r"reviews.txt: not a .csv or .jsonl file"):
        open_rows(str(path))
    stream, kind = open_rows(str(path), "csv")
    stream.close()
    assert kind == "csv"
    with pytest.raises(FileError, match="--format names the kind"):
        open_rows(str(path), "xlsx")


@pytest.mark.parametrize(("format", "expected"), [(None, "jsonl"), ("csv", "csv")])
def test_standard_input_is_a_file(monkeypatch: pytest.MonkeyPatch, format: str | None, expected: str) -> None:
    """Named by a dash."""
    buffer = io.BytesIO(b"text\na\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=buffer))
    assert open_rows("-", format) == (buffer, expected)


@pytest.mark.parametrize("name", ["none.csv", "folder.csv"])
def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path, name: str) -> None:
    """Missing, or a folder."""
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileError, match=f"{name}: "):
        open_rows(str(tmp_path / name))


PACKED = gzip.compress(b'{"text":"a"}\n' * 5000)


@pytest.mark.parametrize(
    "content", [b"no gzip at all", PACKED[:-20], PACKED[:-6] + b"\0" * 6], ids=["no", "cut", "crc"]
)
def test_a_broken_gz_is_said(content: bytes) -> None:
    """Not packed, cut short, or damaged."""
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream, pytest.raises(FileError, match=r"^file: "):
        list(read_values(stream, "jsonl", "text", "file"))  # type: ignore[arg-type]  # It reads like any stream.


def test_a_damaged_gz_is_told(tmp_path: Path) -> None:
    """Bits that fell over inside the compressed data, rather than at its end."""
    damaged = bytearray(gzip.compress(b'{"text":"x"}\n' * 5000))
    damaged[11] ^= 0xFF
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(damaged)
    stream, kind = open_rows(str(path))
    with stream, pytest.raises(FileError, match=r"rows\.jsonl\.gz"):
        list(read_values(stream, kind, "text", str(path)))
