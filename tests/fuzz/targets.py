"""One function of bytes for each reader: it raises when the reader breaks what it promises."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import orjson

from streamer.codec import Decoder, Encoder
from streamer.events import DeadLetter, Record, Review, Tombstone, Verdict
from streamer.model import BUNDLED, ModelError, read_artefact
from streamer.settings import Settings, SettingsError, load
from streamer.tokenise import PAD, UNKNOWN, Vocabulary, normalise, segment

Target = Callable[[bytes], None]

_ENCODER = Encoder("out", "dead", "group", "model", "1", include_input=True)
_DECODERS = (
    Decoder(),
    Decoder("text"),
    Decoder(text_field="a.b", id_field="a.c", event_time_field="t", group_field="a.g", max_bytes=400),
)
_HEADERS: tuple[tuple[tuple[str, bytes | None], ...], ...] = (
    (),
    (("content-type", b"application/cloudevents+json"),),
    (("ce_id", b"\xff1"), ("ce_time", b"2026-11-21T08:15:30Z"), ("traceparent", None)),
)
_VERDICT = Verdict("positive", 0.9, 0.9, 1, False)
_MOST_TOKENS = 16


def codec(data: bytes) -> None:
    """Any value is a review, a tombstone or a dead letter, and what is published of it can be read again."""
    kind, value = (data[0], data[1:]) if data else (0, None)
    decoder, headers = _DECODERS[kind % 3], _HEADERS[kind // 3 % 3]
    record = Record("reviews", 0, 7, (kind - 20) * 10**12, b"k", value, headers)
    decoded = decoder.decode(record)
    if isinstance(decoded, Review):
        decoded.text.encode()
        # What came is carried along byte for byte only where it is JSON.
        json_in = decoder.format == "json"
        encoder = _ENCODER if json_in else Encoder("out", "dead", "group", "model", "1", True, "text")
        event = json.loads(encoder.labelled(decoded, _VERDICT, 1).message.value or b"")
        assert event["label"] == "positive"
        assert event["event_time"].endswith("Z")
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
    assert together == [vocabulary.encode(text, _MOST_TOKENS) for text in texts]
    for text, encoded in zip(texts, together, strict=True):
        assert len(encoded) <= _MOST_TOKENS
        assert len(encoded.ids) == 8 * len(encoded)
        folded = normalise(text)
        assert "".join(segment(folded)) == folded
        assert "\n" not in folded


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in ("manifest.json", "golden.json", "vocabulary.txt", "model.pt"):
        (folder / name).write_bytes((BUNDLED / name).read_bytes() if name == "manifest.json" else b"[]")
    return folder


def artefact(data: bytes) -> None:
    """A manifest, or a golden file, of whatever bytes is read or refused with the name of the file."""
    folder = _folder()
    name = "manifest.json" if data[:1] < b"\x80" else "golden.json"
    (folder / name).write_bytes(data[1:])
    try:
        read_artefact(folder)
    except ModelError as error:
        assert str(folder) in str(error)


def settings(data: bytes) -> None:
    """A settings file of whatever bytes, or a variable of whatever text, is taken or refused in words."""
    path = _folder() / "settings.toml"
    variable, _, content = data.partition(b"\x00")
    name = "STREAMER_" + variable.decode("ascii", "ignore").replace("=", "").upper()[:40]
    value = content.decode(errors="replace").replace("\x00", "")[:200]
    path.write_bytes(content)
    if name == "STREAMER_CONFIG":
        return
    before = dict(os.environ)
    os.environ[name] = value
    if variable[:1] in b"abcdefgh":
        os.environ["STREAMER_CONFIG"] = str(path)
    try:
        assert isinstance(load(), Settings)
    except SettingsError as error:
        assert str(error)
    finally:
        os.environ.clear()
        os.environ.update(before)


TARGETS: dict[str, Target] = {"codec": codec, "tokenise": tokenise, "artefact": artefact, "settings": settings}

# Where to begin: what is nearly right gets further than what is not.
SEEDS: dict[str, list[bytes]] = {
    "codec": [
        bytes([kind]) + value
        for kind in range(9)
        for value in (
            orjson.dumps({"text": "很好", "id": 7, "event_time": "2026-11-21T08:15:30.25+08:00", "group": "g"}),
            orjson.dumps({"a": {"b": "good", "c": None, "g": 1.5}, "t": 1_763_712_930_250}),
            orjson.dumps({"specversion": "1.0", "id": "x", "time": "2026-11-21T08:15:30Z", "data": {"text": "a"}}),
            orjson.dumps({"specversion": "1.0", "data_base64": "eyJ0ZXh0IjoiYSJ9"}),
            b'\xef\xbb\xbf{"text":"\\ud800"}',
            b"\xed\xa0\x80",
        )
    ],
    "tokenise": [
        "这个手机很好,非常非常好好好!!!!\x00http://a.cn @小明 <br/>ＡＢＣ１２３％".encode(),
        "wi-fi 5.5寸 100% C++\x00\x00 \n\u3000㐀𠀀 這個電視\u200b".encode(),
    ],
    "artefact": [b"\x00" + (BUNDLED / "manifest.json").read_bytes(), b'\x80[{"text":"a","score":0.5}]'],
    "settings": [
        b"KAFKA__GROUP_ID\x00group",
        b'BATCHING\x00{"max_wait_ms": 7}',
        b'a\x00[kafka]\ngroup_id = "g"\n[kafka.security]\nprotocol = "SASL_SSL"\nusername = "u"\npassword = "p"\n',
        b"INPUT__MAX_BYTES\x001e9",
    ],
}
