"""Records, and what becomes of them, for the tests of this folder."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streamer.events import DeadLetter, Headers, Prediction, Record, Review, Weight
from streamer.formats.decode import Decoder
from streamer.formats.encode import Encoder
from streamer.formats.json import JSON
from streamer.formats.schema import json_schema
from streamer.formats.text import TextFormat
from streamer.formats.value import ValueFormat

CREATED = 1_700_000_000_123
NOW = 1_795_248_930_250
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
POSITIVE = Prediction("positive", 0.9, 0.9, 3, False, (Weight("好", 1.25),))
BOM = b"\xef\xbb\xbf"
TEXT = Decoder(value_format=TextFormat())

schema = Draft202012Validator(json_schema())

header_lists = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "ce_id", "ce_time", "dlq", "traceparent"]) | st.text(max_size=5),
        st.none() | st.binary(max_size=8) | st.sampled_from([b"application/cloudevents+json", b"2026-11-21T08:15:30Z"]),
    ),
    max_size=4,
).map(tuple)


def record(value: bytes | None, headers: Headers = (), timestamp: int = CREATED, key: bytes | None = b"k") -> Record:
    return Record("reviews", 2, 41, timestamp, key, value, headers)


def review(value: Any, headers: Headers = (), decoder: Decoder | None = None) -> Review:
    """The review in bytes, or in anything else as JSON."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    decoded = (decoder or Decoder()).decode(record(content, headers))
    assert isinstance(decoded, Review), decoded
    return decoded


def dead_letter(value: bytes, headers: Headers = (), decoder: Decoder | None = None) -> DeadLetter:
    decoded = (decoder or Decoder()).decode(record(value, headers))
    assert isinstance(decoded, DeadLetter), decoded
    return decoded


def encoder(include_input: bool = False, value_format: ValueFormat = JSON, review_topic: str | None = None) -> Encoder:
    return Encoder(
        topic="reviews.labelled",
        dead_letter_topic="reviews.dlq",
        group_id="group",
        model_name="bilstm",
        model_version="1.0.0",
        include_input=include_input,
        value_format=value_format,
        review_topic=review_topic,
    )


def labelled(
    of: Review, prediction: Prediction = POSITIVE, include_input: bool = False, value_format: ValueFormat = JSON
) -> dict[str, Any]:
    """The output event, which must be JSON and valid by the schema."""
    value = encoder(include_input, value_format).labelled(of, prediction, NOW).message.value
    assert value is not None
    event: dict[str, Any] = json.loads(value)
    schema.validate(event)
    return event
