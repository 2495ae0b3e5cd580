"""Tables in their formats, encodings and compressions; and files that are not what they should be."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamer.files.errors import FileError
from streamer.files.options import TableOptions
from streamer.files.tables import TableReader
from tests.files.reading import rows, skipped, texts, values

BOM = b"\xef\xbb\xbf"
GOOD = '{"text": "很好"}\n'.encode()
CSV = "id,text\r\n1,很好\r\n".encode()


def gzipped(content: bytes) -> bytes:
    """The same bytes at any time, since test processes must find the same tests."""
    return gzip.compress(content, mtime=0)


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("a.CSV", CSV),
        ("a.tsv", CSV.replace(b",", b"\t")),
        ("a.tab", CSV.replace(b",", b"\t")),
        ("a.jsonl", GOOD),
        ("a.ndjson", GOOD),
        ("a.json", GOOD),
        ("a.json", b"[" + GOOD + b"]"),
        ("a.json", b"\n [\n" + GOOD + b"\n]\n\n"),
        ("a.csv.GZ", gzipped(CSV)),
        ("a.csv", gzipped(CSV)),
        ("a.csv.gz", CSV),
        ("a.zip", zipped(a_csv=CSV)),
        ("a.csv", zipped(a_txt=CSV)),
        ("a.jsonl.zip", zipped(folder__a_csv=GOOD)),
        ("a.zip", zipped(a_csv_gz=gzipped(CSV))),
        ("-", GOOD),
        ("-", b"[" + GOOD + b"]"),
        ("-", zipped(a_csv=CSV)),
    ],
)
def test_the_name_gives_the_format_and_the_content_the_compression(name: str, content: bytes) -> None:
    """A pipe has lines of JSON or an array, unless a zip in it names its file."""
    assert texts(content, name) == ["很好"]


@pytest.mark.parametrize("format", ["csv", "CSV", "tsv", "jsonl", "ndjson", "json"])
def test_an_option_gives_the_format(format: str) -> None:
    """Whatever the name says."""
    content = {"csv": CSV, "tsv": CSV.replace(b",", b"\t")}.get(format.lower(), GOOD)
    assert texts(content, "a.txt", format=format) == texts(content, "a.parquet", format=format) == ["很好"]


def test_a_name_that_says_nothing_needs_a_format() -> None:
    """The error names the option, and the formats."""
    with pytest.raises(FileError, match=r"^a\.txt: not named .csv, .*--format names the kind"):
        values(CSV, "a.txt")
    with pytest.raises(FileError, match=r"--format xlsx: it is one of csv, tsv, jsonl, json and parquet"):
        values(CSV, format="xlsx")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "a.csv"),
        (BOM, "a.csv"),
        (b"text\n", "a.csv"),
        (b"\n\n", "a.csv"),
        (b"", "a.jsonl"),
        (b"\n \n", "a.jsonl"),
        (b"[]", "a.json"),
        (b" [ \n ] ", "a.json"),
        (b"", "a.json"),
        (gzipped(b""), "a.csv.gz"),
        (b"", "a.csv.gz"),
        (zipped(a_csv=b""), "a.zip"),
    ],
)
def test_an_empty_file_has_no_rows(content: bytes, name: str) -> None:
    """It is no error either."""
    assert values(content, name) == []


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"[" + GOOD + b"]", "a.jsonl", "a JSON array, not lines of JSON: --format json"),
        (b"[" + GOOD + b"]", "a.csv", "a JSON array, not csv: --format json"),
        (GOOD, "a.csv", "lines of JSON, not csv: --format jsonl"),
        (CSV, "a.jsonl", "line 1: not JSON .is it csv"),
        ('{"text": "很好"}\n'.encode("utf-16"), "a.jsonl", "UTF-16: --encoding utf-16"),
        ('{"text": "很好"}\n'.encode("utf-16-le"), "a.jsonl", "UTF-16-LE: --encoding utf-16-le"),
        ("id,text\n1,good\n".encode("utf-16-be"), "a.csv", "UTF-16-BE: --encoding utf-16-be"),
        ("id\ttext\r\n".encode("utf-16"), "a.csv", "UTF-16: --encoding utf-16"),
        ("id,text\r\n".encode("utf-32"), "a.csv", "UTF-32: --encoding utf-32"),
        (zipped(xl__sharedStrings_xml=b"x", Content_xml=b"x"), "a.csv", "an Excel workbook"),
        (zipped(word__document_xml=b"x"), "a.csv", "a Word document"),
        (zipped(mimetype=b"x", content_xml=b"x"), "a.csv", "an OpenDocument file"),
        (zipped(a_csv=CSV, b_csv=CSV), "a.zip", r"a zip of 2 files \(a.csv, b.csv\)"),
        (zipped(), "a.zip", "an empty zip"),
        (b"PK\x03\x04 and nothing more", "a.zip", "a zip that cannot be read"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "a.csv", "an Excel workbook .*xls"),
        (b"PAR1" + bytes(20), "a.csv", "Parquet: --format parquet"),
        (b"%PDF-1.7\n", "a.csv", "a PDF"),
        (b"SQLite format 3\0", "a.csv", "an SQLite database"),
        (b"\xfd7zXZ\0\0\0", "a.csv", "compressed with xz"),
        (b"7z\xbc\xaf\x27\x1c\0\0", "a.csv", "a 7z archive"),
        (b"a.csv" + bytes(252) + b"ustar\x0000" + bytes(240), "a.csv", "a tar archive"),
        (b"<!DOCTYPE html><html>", "a.csv", "HTML or XML"),
        (b"{'text': 'good'}\n", "a.json", "Python dicts in single quotes"),
        (gzipped(b"{'text': \"it's\"}\n"), "a.json.gz", "Python dicts in single quotes"),
        (b"[{'text': 'good'}]", "a.json", "Python dicts in single quotes"),
    ],
)
def test_a_file_of_another_kind_is_named(content: bytes, name: str, message: str) -> None:
    """One message, without its bytes."""
    with pytest.raises(FileError, match=message) as caught:
        values(content, name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["none.csv", "folder.csv"])
def test_a_file_that_cannot_be_opened_is_reported(tmp_path: Path, name: str) -> None:
    """Missing, or a folder."""
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileError, match=f"{name}: "), TableReader(str(tmp_path / name)) as table:
        list(table.values())


def test_names_from_outside_are_made_printable(tmp_path: Path) -> None:
    """Of files and of columns: a terminal would interpret them."""
    path = os.path.join(os.fsencode(tmp_path), b"a\xff\x1b[31m.csv")
    with open(path, "wb") as file:
        file.write(b"a\x1b[31mb,\xe2\x80\xae\n1,2\n")
    with pytest.raises(FileError) as caught, TableReader(os.fsdecode(path), required=("te\x07xt",)) as table:
        list(table.values())
    assert str(caught.value).isprintable()
    assert "\\x1b[31m.csv, line 1: no column 'te" in str(caught.value)
    assert "a\\x1b[31mb, \\u202e" in str(caught.value)


def test_a_link_is_followed(tmp_path: Path) -> None:
    """It gives the format."""
    (tmp_path / "rows").write_bytes(CSV)
    (tmp_path / "link.csv").symlink_to(tmp_path / "rows")
    with TableReader(str(tmp_path / "link.csv")) as table:
        assert len(list(table.values())) == 1


@pytest.mark.parametrize("content", [GOOD, b"[" + GOOD + b", 1", gzipped(GOOD), "text\n好\n".encode()])
def test_rows_of_a_pipe_come_as_they_are_written(tmp_path: Path, content: bytes) -> None:
    """No row waits for what follows it; and a pipe that is silent ends when it is told to."""
    path = tmp_path / "rows"
    os.mkfifo(path)
    written = os.open(path, os.O_RDWR)
    options = TableOptions(format="csv" if content.startswith(b"text") else "json")
    os.write(written, content)
    stopped = threading.Event()
    with TableReader(str(path), options, stopped=stopped) as table:
        found = table.values()
        assert next(found).startswith(b"{")
        threading.Timer(0.2, stopped.set).start()
        with pytest.raises((FileError, StopIteration)):
            next(found)
    os.close(written)


def test_standard_input_in_memory_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it has no file descriptor."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(GOOD)))
    with TableReader("-") as table:
        assert len(list(table.values())) == 1


@pytest.mark.parametrize("option", [{"delimiter": ";"}, {"quote": "none"}, {"escape": "\\"}, {"header": False}])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_options_of_csv_are_refused_for_json(name: str, option: dict[str, Any]) -> None:
    """They would do nothing."""
    with pytest.raises(FileError, match="are for csv and tsv; this is json"):
        values(b"[" + GOOD + b"]" if name == "a.json" else GOOD, name, **option)


@pytest.mark.parametrize("option", [{"delimiter": ";;"}, {"delimiter": ""}, {"delimiter": '"'}, {"escape": "\n"}])
def test_an_option_that_is_no_character_is_refused(option: dict[str, str]) -> None:
    """csv can do nothing with it."""
    with pytest.raises(FileError, match="one character is expected"):
        values(CSV, **option)


@pytest.mark.parametrize(
    "encoding", ["gb18030", "gbk", "utf-16", "utf-16-le", "utf-32", "utf-8", "utf-8-sig", "UTF8", "cp936"]
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_other_encodings_are_read_by_option(encoding: str, name: str) -> None:
    """In every format of text, with or without a byte order mark."""
    content = {"a.csv": CSV, "a.jsonl": GOOD, "a.json": b"[" + GOOD + b"]"}[name].decode()
    assert texts(content.encode(encoding), name, encoding=encoding) == ["很好"]
    if encoding in ("utf-16-le", "utf-8"):
        assert texts(("\ufeff" + content).encode(encoding), name, encoding=encoding) == ["很好"]


@pytest.mark.parametrize("encoding", ["nonsense", "rot13", "zip", "a\x1bb"])
def test_an_encoding_that_is_none_is_refused(encoding: str) -> None:
    """By name."""
    with pytest.raises(FileError, match=r"--encoding .*: there is no such encoding") as caught:
        values(CSV, encoding=encoding)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gb18030", "质量很好，物流也快"),
        ("big5", "質量很好，下次還會再來買"),
        ("cp1251", "Отличный телефон, рекомендую"),
        ("cp1252", "caf\xe9 tr\xe8s bon; d\xe9j\xe0 vu"),
        ("gb18030", "好好" * 10_001),
    ],
)
@pytest.mark.parametrize(
    "form",
    ["id,text\n1,good\n2,{}\n", '{{"text": "good"}}\n\n{{"text": "{}"}}\n', '[{{"text": 1}},\n\n{{"text": "{}"}}]'],
)
def test_what_is_not_utf8_is_an_error_that_names_the_likely_encoding(encoding: str, text: str, form: str) -> None:
    """And the line; rows that are left out are counted, and the others read."""
    name = {"i": "a.csv", "{": "a.jsonl", "[": "a.json"}[form[0]]
    content = form.format(text).encode(encoding)
    with pytest.raises(FileError, match=rf"line 3: not UTF-8, likely .*{encoding}.*: --encoding "):
        values(content, name)
    kept, counts = skipped(content, name)
    assert (len(kept), counts) == (1, {"not in UTF-8": 1})


@pytest.mark.parametrize("odd", [b"\xff", b"caf\xe9", b"\xed\xa0\x80", b"\xc3", "很".encode()[:2]])
def test_single_bytes_that_are_not_utf8_are_found(odd: bytes) -> None:
    """At the end of the file too."""
    for content in (b"text\ngood\n" + odd + b"\nbad\n", b"text\ngood\nbad\n" + odd):
        with pytest.raises(FileError, match=r"line \d: not UTF-8"):
            values(content)
        assert skipped(content) == (["good", "bad"], {"not in UTF-8": 1})


def test_what_is_not_in_the_given_encoding_is_an_error() -> None:
    """Without a guess: somebody has said what it is."""
    content = "text\n好\n".encode("gb18030") + b"\xff\n" + "差\n".encode("gb18030")
    with pytest.raises(FileError, match=r"line 3: not in the encoding gb18030$"):
        values(content, encoding="gb18030")
    assert skipped(content, encoding="gb18030") == (["好", "差"], {"not in gb18030": 1})


def test_lines_are_counted_where_rows_begin() -> None:
    """From 1, blank ones and those inside of cells too."""
    content = b'id,text\n1,"a\nb"\n\n2,c\n'
    with TableReader("a.csv", content=io.BytesIO(content)) as table:
        assert [line for line, _, _ in table.rows()] == [2, 5]
    with TableReader("a.json", content=io.BytesIO(b'[\n{"a":1},\n\n{"a":\n2}]')) as table:
        assert [line for line, _, _ in table.rows()] == [2, 4]
    with TableReader("a.jsonl", content=io.BytesIO(b'\n{"a":1}\n\n{"a":2}')) as table:
        assert [line for line, _, _ in table.rows()] == [2, 4]


def test_bad_rows_are_named_up_to_a_few_and_counted_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """A log with each of a million would help nobody."""
    content = b"id,text\n" + b"1\n" * 9 + b"1,a\n" + b"1,2,3\n"
    assert skipped(content) == (["a"], {"with too few cells": 9, "with too many cells": 1})
    assert len(caplog.messages) == 6
    assert caplog.messages[0] == "rows.csv, line 2: 1 cell, but the header has 2; the row is left out"
    assert caplog.messages[-1] == "rows.csv: 10 bad rows left out: 9 with too few cells, 1 with too many cells"


def test_rows_stay_the_same_however_the_file_is_cut_into_reads() -> None:
    """Byte by byte, as from a slow pipe."""

    class Slow(io.BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            return super().readinto(memoryview(buffer)[:1])

    for name, content in (
        ("a.csv", BOM + 'id,text\r\n1,"很\r\n好"\r\n2,差'.encode()),
        ("a.csv", gzipped(CSV) + bytes(9) + gzipped("3,差\r\n".encode())),
        ("a.jsonl", BOM + GOOD * 3),
        ("a.json", b"[" + b",".join([GOOD] * 3) + b"]"),
    ):
        with TableReader(name, content=Slow(content)) as table:
            assert [row for _, row, _ in table.rows()] == rows(content, name)
