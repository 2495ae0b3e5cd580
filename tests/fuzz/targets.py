"""One function of bytes for each reader: it raises when the reader breaks what it promises."""

from __future__ import annotations

import atexit
import bz2
import csv
import gzip
import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path

import orjson
from backports import zstd

import streamer
from streamer.events import DeadLetter, Prediction, Record, Review, Tombstone
from streamer.files.compression import decompressed
from streamer.files.errors import FileError
from streamer.files.options import TableOptions
from streamer.files.tables import TableReader
from streamer.formats.decode import Decoder
from streamer.formats.encode import Encoder
from streamer.formats.json import JsonFormat
from streamer.formats.result import read_result
from streamer.formats.text import TextFormat
from streamer.models.artefact import ModelError, read_artefact
from streamer.settings import Settings, SettingsError, load
from streamer.text import NORMALISATION, PAD, UNKNOWN, Markup, Vocabulary, normalise, segment, visible_text

Target = Callable[[bytes], None]

_ENCODER = Encoder(
    topic="out",
    dead_letter_topic="dead",
    group_id="group",
    model_name="model",
    model_version="1",
    include_input=True,
)
_DECODERS = (
    Decoder(),
    Decoder(value_format=TextFormat()),
    Decoder(value_format=JsonFormat("a.b"), id_field="a.c", event_time_field="t", group_field="a.g", max_bytes=400),
)
_HEADERS: tuple[tuple[tuple[str, bytes | None], ...], ...] = (
    (),
    (("content-type", b"application/cloudevents+json"),),
    (("ce_id", b"\xff1"), ("ce_time", b"2026-11-21T08:15:30Z"), ("traceparent", None)),
)
_PREDICTION = Prediction("positive", 0.9, 0.9, 1, False)
_MOST_TOKENS = 4  # Few, so that texts of some hundred characters are cut before they are read.


def codec(data: bytes) -> None:
    """Any value is a review, a tombstone or a dead letter, and what is published of it can be read again."""
    kind, value = (data[0], data[1:]) if data else (0, None)
    decoder, headers = _DECODERS[kind % 3], _HEADERS[kind // 3 % 3]
    record = Record("reviews", 0, 7, (kind - 20) * 10**12, b"k", value, headers)
    decoded = decoder.decode(record)
    if isinstance(decoded, Review):
        decoded.text.encode()
        # The input goes out byte for byte only where it is JSON.
        encoder = replace(_ENCODER, value_format=decoder.value_format)
        published = encoder.labelled(decoded, _PREDICTION, 1).message.value
        event = json.loads(published or b"")
        assert event["label"] == "positive"
        assert event["event_time"].endswith("Z")
        assert read_result(published) is not None
    elif isinstance(decoded, DeadLetter):
        message = _ENCODER.dead_letter(decoded, 1).message
        assert (message.value, message.headers[: len(headers)]) == (value, headers)
        assert decoded.reason
    else:
        assert isinstance(decoded, Tombstone)
        assert value is None


@cache
def _vocabulary() -> Vocabulary:
    return Vocabulary([PAD, UNKNOWN, *"的一是不了人我在有他好差", "手机", "good", "质量"])


def tokenise(data: bytes) -> None:
    """Texts are tokenised alike together and alone, within the limit, and no character is lost."""
    texts = data.decode(errors="replace").split("\x00")[:4]
    vocabulary = _vocabulary()
    together = vocabulary.encode_all(texts, _MOST_TOKENS)
    if len(texts) > 1:
        assert together == [vocabulary.encode(text, _MOST_TOKENS) for text in texts]
    for text, encoded in zip(texts, together, strict=True):
        assert len(encoded) <= _MOST_TOKENS
        assert len(encoded.ids) == 8 * len(encoded)
        assert 0 <= encoded.coverage <= 1
        folded = normalise(text)
        assert "".join(segment(folded)) == folded
        assert "\n" not in folded


_MARKUP_SIGNS = frozenset("<>&[]【】/\\*_~`#\r-+•")


def markup(data: bytes) -> None:
    """Any text is read in each mode, in time linear in it, and into no more than came in."""
    text = data.decode(errors="replace")
    modes: tuple[Markup, ...] = ("auto", "html", "plain")
    for mode in modes:
        seen = visible_text(text, mode)
        assert len(seen) <= 2 * len(text) + 4
        assert mode != "plain" or seen == text
    if not _MARKUP_SIGNS & set(text) and "omitted" not in text and "ent " not in text and "自" not in text:
        assert visible_text(text) == text


# In memory where there is such a place: on a disk, writing a file anew takes longer than all that is tested.
_MEMORY = Path("/dev/shm")  # noqa: S108  # The folder in it is made by mkdtemp.
_SOUND = {
    "model.pt": b"[]",
    "vocabulary.txt": f"{PAD}\n{UNKNOWN}\n好".encode(),
    "golden.json": '[{"text":"好","score":0.5}]'.encode(),
}


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _manifest(files: dict[str, bytes]) -> bytes:
    """A manifest that these files agree with."""
    content = {
        "format": 1,
        "name": "n",
        "version": "1.0",
        "labels": ["negative", "positive"],
        "max_tokens": 8,
        "tokeniser": {"name": "jieba", "version": "0.42.1", "normalisation": NORMALISATION},
        "uncertain": {"low": 0.4, "high": 0.6},
        "sha256": {name: hashlib.sha256(written).hexdigest() for name, written in files.items()},
    }
    return orjson.dumps(content)


@cache
def _written() -> dict[str, bytes]:
    """What the folder holds."""
    return {}


def artefact(data: bytes) -> None:
    """A manifest, golden file or vocabulary of whatever bytes is read, or refused with the name of the folder."""
    kind, content = data[:1], data[1:]
    files = dict(_SOUND)
    if kind >= b"\x60":
        files["golden.json" if kind < b"\xb0" else "vocabulary.txt"] = content
    files["manifest.json"] = content if kind < b"\x60" else _manifest(files)
    for name, new in files.items():
        if _written().get(name) != new:
            (_folder() / name).write_bytes(new)
            _written()[name] = new
    try:
        found = read_artefact(_folder())
    except ModelError as error:
        assert str(_folder()) in str(error)
    else:
        assert found.golden
        assert found.manifest.name.isprintable()


def settings(data: bytes) -> None:
    """A variable, its value and a settings file, a null byte between, of whatever bytes: taken, or refused in words."""
    variable, value, content = (*data.split(b"\0", 2), b"", b"")[:3]
    given = {}
    if content:
        path = _folder() / "settings.toml"
        path.write_bytes(content)
        given["STREAMER_CONFIG"] = str(path)
    if variable:
        name = "STREAMER_" + variable.decode("ascii", "ignore").replace("=", "").upper()[:40]
        given[name] = value.decode(errors="surrogateescape")  # As the operating system's bytes are read.
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        assert isinstance(load(), Settings)
    except SettingsError as error:
        assert str(error)
    finally:
        for name, was in before.items():
            if was is None:
                del os.environ[name]
            else:
                os.environ[name] = was


_TABLE_OPTIONS = (
    TableOptions(format="csv"),
    TableOptions(format="csv", header=False),
    TableOptions(format="tsv", escape="\\"),
    TableOptions(format="csv", delimiter=";", quote="none"),
    TableOptions(format="csv", encoding="gb18030"),
    TableOptions(format="jsonl"),
    TableOptions(format="json"),
    TableOptions(format="jsonl", encoding="utf-16"),
)


_MAX_DECOMPRESSED = 1 << 16


def tables(data: bytes) -> None:
    """A table of whatever bytes is read, or refused in printable words; leaving out bad rows hides no other row."""
    kind, content = (data[0], data[1:]) if data else (0, b"")
    options = _TABLE_OPTIONS[kind % len(_TABLE_OPTIONS)]
    if _expands(content):
        return
    strict, _ = _read_table(content, options)
    kept, bad = _read_table(content, replace(options, skip_bad_rows=True))
    if kept is None:  # More than a row is damaged.
        assert strict is None
        return
    assert (strict is None) == bool(bad)
    assert strict is None or strict == kept
    lines = [line for line, _ in kept]
    assert lines == sorted(lines if options.format == "json" else set(lines))
    if options.format == "jsonl" and options.encoding is None and not content.startswith(_COMPRESSED):
        assert len(kept) + bad == sum(bool(line.strip()) for line in _without_mark(content).split(b"\n"))
    if options.format == "csv" and kept:
        _assert_csv_comes_back([value for _, value in kept])


_COMPRESSED = (
    b"\x1f\x8b",
    b"BZh",
    b"\x28\xb5\x2f\xfd",
    b"PK",
    *(bytes([n]) + b"\x2a\x4d\x18" for n in range(0x50, 0x60)),
)


def _expands(content: bytes) -> bool:
    """Whether it becomes so long that reading it, which takes linear time, would take the fuzzer's."""
    with ExitStack() as closing:
        try:
            stream, _ = decompressed(io.BufferedReader(io.BytesIO(content)), closing, lambda _: None)
            return len(stream.read(_MAX_DECOMPRESSED)) == _MAX_DECOMPRESSED
        except FileError:
            return False


def _without_mark(content: bytes) -> bytes:
    return content.removeprefix(b"\xef\xbb\xbf")


def _read_table(content: bytes, options: TableOptions) -> tuple[list[tuple[int, bytes]] | None, int]:
    """The rows as JSON with their lines, or None for an error; and how many bad rows were left out."""
    with TableReader("table", options, content=io.BytesIO(content)) as table:
        try:
            rows = [(line, orjson.dumps(row) if value is None else value) for line, row, value in table.rows()]
        except FileError as error:
            assert str(error).isprintable()
            assert len(str(error)) < 2000
            return None, table.bad_rows.counts.total()
    for _, value in rows:
        assert isinstance(json.loads(value), dict)
        assert b"\n" not in value
    return rows, table.bad_rows.counts.total()


def _assert_csv_comes_back(values: list[bytes]) -> None:
    rows = [json.loads(value) for value in values]
    columns = list(rows[0])
    if not all(columns) or columns[0].lower().startswith("sep="):
        return  # Written again, they would be another header.
    written = io.StringIO(newline="")
    writer = csv.writer(written, quoting=csv.QUOTE_ALL)
    writer.writerows([columns, *([row[name] for name in columns] for row in rows)])
    options = TableOptions(format="csv")
    again, _ = _read_table(written.getvalue().encode(), options)
    assert again is not None
    assert [json.loads(value) for _, value in again] == rows


TARGETS: dict[str, Target] = {
    "codec": codec,
    "tokenise": tokenise,
    "markup": markup,
    "artefact": artefact,
    "settings": settings,
    "tables": tables,
}

# Real reviews, as they come.
_REVIEWS = (Path(streamer.__file__).parent / "demo" / "samples.jsonl").read_bytes().splitlines()[:60]


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.csv"), b"text\na\n")
    return buffer.getvalue()


# Where to begin: what is nearly right gets further than what is not.
SEEDS: dict[str, list[bytes]] = {
    "codec": [
        bytes([kind]) + value
        for kind in range(9)
        for value in (
            orjson.dumps({"text": "很好", "id": 7, "event_time": "2026-11-21T08:15:30.25+08:00", "group": "g"}),
            orjson.dumps({"a": {"b": "good", "c": None, "g": 1.5}, "t": 1_763_712_930_250}),
            orjson.dumps({"a": {"b": None, "c": [1], "g": 1e300}, "t": "Tue Nov 14 22:13:20 +0000 2023"}),
            b'{"text":null,"id":12345678901234567890123,"event_time":"Tue, 14 Nov 2023 22:13:20 GMT"}',
            orjson.dumps({"text": "a", "event_time": "2023年11月14日 下午10:13:20", "group": {}}),
            orjson.dumps({"specversion": "1.0", "id": "x", "time": "2026-11-21T08:15:30Z", "data": {"text": "a"}}),
            orjson.dumps({"specversion": "1.0", "data_base64": "eyJ0ZXh0IjoiYSJ9"}),
            b'\xef\xbb\xbf{"text":"\\ud800"}',
            b"\xed\xa0\x80",
        )
    ]
    + [bytes([number % 9]) + line for number, line in enumerate(_REVIEWS)],
    "markup": [
        b'<p class="a">It <b>is</b>n&#39;t</p><blockquote>q</blockquote><script>x</script>'
        b'<img alt=":heart:" class=emoji>',
        b'[quote="b"]a[/quote] [b]c[/b] [url=http://d]e[/url] [*] x < 3 <3 <x-y a="1">z</x-y> <![CDATA[<i>]]> <!-- -->',
        "> a\n//@b:c **d** [e](https://f) [图片]\nSent from my iPhone\n"
        "&lt;p&gt;&amp;#39;\\n\\u592a 发自我的iPhone".encode(),
        *_REVIEWS[:20],
    ],
    "tokenise": [
        "这个手机很好,非常非常好好好!!!!\x00http://a.cn @小明 <br/>ＡＢＣ１２３％".encode(),
        "wi-fi 5.5寸 100% C++\x00\x00 \n\u3000㐀𠀀 這個電視\u200b".encode(),
        *(orjson.loads(line)["text"].encode() for line in _REVIEWS),
    ],
    "artefact": [b"\x00" + _manifest(_SOUND), b"\x80" + _SOUND["golden.json"], b"\xc0" + _SOUND["vocabulary.txt"]],
    "settings": [
        b"KAFKA__GROUP_ID\x00group",
        b'BATCHING\x00{"max_wait_ms": 7}',
        b'\x00\x00[kafka]\ngroup_id = "g"\n[kafka.security]\nprotocol = "SASL_SSL"\nusername = "u"\npassword = "p"\n',
        b"INPUT__MAX_BYTES\x001e9",
        b'DELIVERY\x00exactly_once\x00drain_timeout_ms = 1_000\nmodel = { sha256 = "0", watch_ms = 0 }\n',
        b"CONFIG\x00/nowhere",
    ],
    "tables": [
        bytes([kind]) + content
        for kind, content in (
            (0, b'\xef\xbb\xbfsep=;\r\nid;text\r\n1;"a ""b"" c"\r\n2;d\r\n'),
            (0, b'id,text,,\n1,"a\nb",,\n\n2,"c\n3,d,e\n4\n5,f" g\n6,h\xff\n7,\x00\n'),
            (1, "1,很好\n2,很差\n".encode()),
            (2, b'id\ttext\n"1"\t"a \\"b\\""\n'),
            (3, b'id;text\r1;"a\r2;b\r'),
            (4, "id,text\n1,质量很好\n".encode("gb18030")),
            (5, b'{"text":"a","x":[1.5,NaN,{"y":null}]}\n\n{"text":"b"},\n[1]\n{"text":"\xff"}\n'),
            (6, b'[{"text":"a"},\n {"text": -Infinity, "x": "\\ud800"}, 7]\n'),
            (6, b"[{'text': 'a'}]"),
            (7, '{"text":"很好"}\n'.encode("utf-16")),
            (0, gzip.compress(b"text\na\n", mtime=0) + b"\0" + gzip.compress(b"b\n", mtime=0) + b"more"),
            (0, bz2.compress(b"text\na\n")),
            (0, zstd.compress(b"text\na\n")),
            (0, _zip()),
        )
    ],
}
