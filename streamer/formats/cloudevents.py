"""CloudEvents 1.0: both content modes on input, binary mode on output."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from streamer.events import Headers, Reason
from streamer.formats.json import parse_json
from streamer.formats.value import InvalidRecord

STRUCTURED = b"application/cloudevents+json"
# The types of published events; trends have their own.
RESULT_TYPE = b"review.sentiment.labelled.v1"
DECISION_TYPE = b"review.moderation.verdict.v1"


def unwrap(headers: Headers, value: bytes) -> tuple[Mapping[str, Any], Any]:
    """The event's `id` and `time`, and its data: either bytes to be decoded or parsed JSON.

    An attribute should be a string. One from a header that is not UTF-8 is left as bytes, one of a structured event is
    whatever it was in JSON: the decoder reports what it cannot use.
    A record that is not a CloudEvent has neither attribute; its value is the data. Raises InvalidRecord for an invalid
    structured event.
    """
    attributes: dict[str, Any] = {}
    for name, content in headers:
        if name == "content-type" and content and content.lower().startswith(STRUCTURED):
            return _structured(value)
        if name in ("ce_id", "ce_time") and content:
            try:
                attributes[name[3:]] = content.decode()
            except UnicodeDecodeError:
                attributes[name[3:]] = content
    return attributes, value


def _structured(value: bytes) -> tuple[Mapping[str, Any], Any]:
    envelope = parse_json(value)
    if not isinstance(envelope, dict) or not isinstance(envelope.get("specversion"), str):
        raise InvalidRecord(Reason.BAD_CLOUDEVENT, "a structured CloudEvent is an object with a specversion")
    attributes = {name: envelope[name] for name in ("id", "time") if envelope.get(name) is not None}
    if "data" in envelope:
        return attributes, envelope["data"]
    try:
        return attributes, base64.b64decode(envelope["data_base64"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise InvalidRecord(Reason.BAD_CLOUDEVENT, "the CloudEvent has neither data nor sound data_base64") from None


def without_cloudevent(headers: Headers) -> Headers:
    """A record's headers without the source event's attributes, which would contradict the result's."""
    if not headers:
        return ()
    return tuple([header for header in headers if not header[0].startswith("ce_") and header[0] != "content-type"])


def cloudevent_headers(identity: bytes, topic: str, event_type: bytes, time: str) -> Headers:
    """The headers of a CloudEvent that we publish. `topic`: the source's. `time`: in RFC 3339."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", identity),
        ("ce_source", _source(topic)),
        ("ce_type", event_type),
        ("ce_time", time.encode()),
        ("content-type", b"application/json"),
    )


@lru_cache(maxsize=64)  # A worker reads few topics.
def _source(topic: str) -> bytes:
    return f"kafka://{topic}".encode()
