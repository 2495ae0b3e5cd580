"""Input records to reviews, verdicts to messages. Pure; JSON by orjson; CloudEvents 1.0 in both modes."""

from __future__ import annotations

import base64
import binascii
import re
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import orjson

from streamer.events import (
    DeadLetter,
    Decoded,
    Headers,
    Message,
    Outcome,
    Outgoing,
    Prediction,
    Reason,
    Record,
    Review,
    Tombstone,
    TrendSample,
)
from streamer.moderation.rules import RuleResult, Rules

STRUCTURED = b"application/cloudevents+json"
EVENT_TYPE = b"review.sentiment.labelled.v1"
_BOM = b"\xef\xbb\xbf"
# Trends count a longer group under its beginning: what a group costs them has to have a bound.
MAX_GROUP = 256
# Milliseconds of 9999-12-31: beyond it datetime cannot follow.
_LAST_TIME = 253_402_300_799_999
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
MISSING = object()


class _Refused(Exception):
    """The record cannot be labelled."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Decoder:
    """How to read input records. The paths are dotted paths into the JSON object."""

    format: Literal["json", "text"] = "json"
    text_field: str = "text"
    id_field: str = "id"
    event_time_field: str = "event_time"
    group_field: str = "group"
    max_bytes: int = 1_000_000
    rules: Rules | None = None

    def decode(self, record: Record) -> Decoded:
        """Understand a record; never raises for what a record holds, whatever it is."""
        if record.value is None:
            return Tombstone(record)
        try:
            if len(record.value) > self.max_bytes:
                raise _Refused(Reason.TOO_LARGE, f"{len(record.value)} bytes, at most {self.max_bytes}")
            return self._review(record, record.value)
        except _Refused as refused:
            return DeadLetter(record, refused.reason, refused.detail)

    def _review(self, record: Record, value: bytes) -> Review:
        attributes, data = _cloudevent(record.headers, value)
        if self.format == "text":
            text = data if isinstance(data, str) else _text(data)
            body: dict[str, Any] = {}
        else:
            parsed = _json(data) if isinstance(data, bytes) else data
            if not isinstance(parsed, dict):
                raise _Refused(Reason.NOT_AN_OBJECT, f"the value is a JSON {_kind(parsed)}")
            body = parsed
            text = at_path(body, self.text_field)
            if text is MISSING:
                raise _Refused(Reason.TEXT_MISSING, f"no field {self.text_field!r}")
            if not isinstance(text, str):
                raise _Refused(Reason.TEXT_NOT_A_STRING, f"field {self.text_field!r} is a JSON {_kind(text)}")
        event_time = _time(at_path(body, self.event_time_field))
        if event_time is None:
            event_time = _time(attributes.get("time"))
        identity = _scalar(at_path(body, self.id_field))
        group = _scalar(at_path(body, self.group_field))
        return Review(
            record=record,
            text=text,
            id=attributes.get("id") if identity is None else identity,
            event_time=min(max(record.timestamp, 0), _LAST_TIME) if event_time is None else event_time,
            group=group,
            rules=() if self.rules is None else self._applicable(self.rules, text, group, body),
        )

    @staticmethod
    def _applicable(rules: Rules, text: str, group: str | None, body: dict[str, Any]) -> tuple[int, ...]:
        found = (at_path(body, field) for field in rules.fields)
        return rules.applicable(text, group, [None if value is MISSING else value for value in found])


def _cloudevent(headers: Headers, value: bytes) -> tuple[dict[str, str], Any]:
    """The event's attributes and its data: bytes still to be read, or what a structured event held."""
    attributes: dict[str, str] = {}
    for name, content in headers:
        if name == "content-type" and content and content.lower().startswith(STRUCTURED):
            return _structured(value)
        if name in ("ce_id", "ce_time") and content:
            attributes[name[3:]] = content.decode(errors="replace")
    return attributes, value


def _structured(value: bytes) -> tuple[dict[str, str], Any]:
    envelope = _json(value)
    if not isinstance(envelope, dict) or not isinstance(envelope.get("specversion"), str):
        raise _Refused(Reason.BAD_CLOUDEVENT, "a structured CloudEvent is an object with a specversion")
    attributes = {name: envelope[name] for name in ("id", "time") if isinstance(envelope.get(name), str)}
    if "data" in envelope:
        return attributes, envelope["data"]
    try:
        return attributes, base64.b64decode(envelope["data_base64"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise _Refused(Reason.BAD_CLOUDEVENT, "the CloudEvent has neither data nor sound data_base64") from None


def _json(value: bytes) -> Any:
    try:
        return orjson.loads(value.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        _text(value)  # Not UTF-8 is the better reason where it is the case.
        reason = Reason.LONE_SURROGATE if "surrogate" in str(error) else Reason.NOT_JSON
        # The position, not orjson's message: nothing of the review may get into a log.
        raise _Refused(reason, f"line {error.lineno} column {error.colno}") from None


def _text(value: object) -> str:
    if not isinstance(value, bytes):
        raise _Refused(Reason.TEXT_NOT_A_STRING, f"the value is a JSON {_kind(value)}")
    value = value.removeprefix(_BOM)
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        # Python, like RFC 3629, calls an encoded surrogate no UTF-8; its three bytes are ED A0..BF 80..BF.
        if _SURROGATE.match(value, error.start):
            raise _Refused(Reason.LONE_SURROGATE, f"at byte {error.start}") from None
        raise _Refused(Reason.NOT_UTF8, f"at byte {error.start}") from None


def at_path(body: dict[str, Any], path: str) -> Any:
    """What a dotted path leads to; MISSING where it leads nowhere."""
    if "." not in path:
        return body.get(path, MISSING)
    found: Any = body
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            return MISSING
        found = found[part]
    return found


def _kind(value: object) -> str:
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")


def _scalar(value: object) -> str | None:
    """Ids and groups: strings as they are, numbers and booleans as JSON writes them, the rest is none."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, int | float) else None


def _time(value: object) -> int | None:
    """Milliseconds since the epoch from an RFC 3339 string or from epoch milliseconds; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return int(value) if 0 <= value <= _LAST_TIME else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.upper())
        # RFC 3339 asks for an offset; without one, UTC is the only guess that is the same everywhere.
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        milliseconds = round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return milliseconds if 0 <= milliseconds <= _LAST_TIME else None


def rfc3339(milliseconds: int) -> str:
    """`2026-11-21T08:15:30.250Z` of milliseconds since the epoch."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=4096)  # Times come in order: the same second comes many times in a row.
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Encoder:
    """How to write results, tombstones and dead letters.

    rules: those of the Decoder; results say what they decide. review_topic: where what is not allowed goes too, with
    its input; None, nowhere.
    """

    topic: str
    dead_letter_topic: str
    group_id: str
    model_name: str
    model_version: str
    include_input: bool = False
    input_format: Literal["json", "text"] = "json"
    rules: Rules | None = None
    review_topic: str | None = None

    def labelled(self, review: Review, prediction: Prediction, now: int) -> Outgoing:
        """The output event of a review; `now` is in milliseconds since the epoch."""
        record = review.record
        labelled_at = rfc3339(now)
        decision = None if self.rules is None else self.rules.apply(review.rules, prediction)
        event = self.event(review, prediction, labelled_at, decision)
        message = Message(
            topic=self.topic,
            key=record.key,
            value=orjson.dumps(event),
            headers=(*_carried(record.headers), *_cloudevent_headers(record, labelled_at)),
            timestamp=now,
            source_partition=record.partition,
        )
        group = review.group and review.group[:MAX_GROUP]
        sample = TrendSample(review.event_time // 1000, group, prediction.label, round(event["score"] * 1_000_000))
        outgoing = Outgoing(Outcome.LABELLED, message, label=prediction.label, sample=sample)
        if decision is None:
            return outgoing
        copies = () if decision.action == "allow" else self._held(record, message, event)
        return outgoing._replace(action=decision.action, rule=decision.rule, copies=copies)

    def _held(self, record: Record, message: Message, event: dict[str, Any]) -> tuple[Message, ...]:
        if self.review_topic is None:
            return ()
        value = orjson.dumps(event | {"input": self._input(record)})
        return (message._replace(topic=self.review_topic, value=value),)

    def event(
        self, review: Review, prediction: Prediction, labelled_at: str, decision: RuleResult | None = None
    ) -> dict[str, Any]:
        """The output event's JSON object, as `streamer.formats.schema.LabelledReview` describes it."""
        record = review.record
        event: dict[str, Any] = {
            "id": review.id,
            "label": prediction.label,
            "score": round(prediction.score, 6),
            "confidence": round(prediction.confidence, 6),
            "tokens": prediction.tokens,
            "truncated": prediction.truncated,
            "event_time": rfc3339(review.event_time),
            "labelled_at": labelled_at,
            "group": review.group,
            "model": {"name": self.model_name, "version": self.model_version},
            "source": {"topic": record.topic, "partition": record.partition, "offset": record.offset},
        }
        if decision is not None:
            event["action"] = decision.action
            if decision.rule is not None:
                event["rule"] = decision.rule
        if prediction.evidence:
            event["evidence"] = [{"token": token, "weight": weight} for token, weight in prediction.evidence]
        if self.include_input:
            event["input"] = self._input(record)
        return event

    def _input(self, record: Record) -> Any:
        """JSON goes out byte for byte: writing it anew would change numbers, and fail where it nests deeply."""
        value = (record.value or b"").removeprefix(_BOM)
        if self.input_format == "json":
            return orjson.Fragment(value)
        return value.decode(errors="replace")

    def tombstone(self, tombstone: Tombstone, now: int) -> Outgoing:
        """A tombstone with the same key, so that a compacted output stays right."""
        record = tombstone.record
        headers = (*_carried(record.headers), *_cloudevent_headers(record, rfc3339(now)))
        message = Message(self.topic, record.key, None, headers, now, record.partition)
        return Outgoing(Outcome.TOMBSTONE, message)

    def dead_letter(self, letter: DeadLetter, now: int) -> Outgoing:
        """The record untouched, with `dlq.*` headers that say why and where from.

        Its time is now: under the record's own, retention could delete an old one as soon as it is written.
        """
        record = letter.record
        described = {
            "dlq.reason": letter.reason.value,
            "dlq.detail": letter.detail,
            "dlq.topic": record.topic,
            "dlq.partition": record.partition,
            "dlq.offset": record.offset,
            "dlq.timestamp": record.timestamp,
            "dlq.group": self.group_id,
        }
        headers = (*record.headers, *((name, str(content).encode()) for name, content in described.items()))
        message = Message(self.dead_letter_topic, record.key, record.value, headers, now, record.partition)
        return Outgoing(Outcome.DEAD_LETTER, message, reason=letter.reason)


def original(headers: Headers) -> Headers:
    """A dead letter's headers without what made it one: what a replay publishes."""
    return tuple((name, content) for name, content in headers if not name.startswith("dlq."))


def _carried(headers: Headers) -> Headers:
    """The user's own headers; the source event's CloudEvents attributes give way to the result's."""
    if not headers:
        return ()
    return tuple((n, c) for n, c in headers if not n.startswith("ce_") and n != "content-type")


def _cloudevent_headers(record: Record, time: str) -> Headers:
    return cloudevent_headers(record.identity.encode(), record.topic, EVENT_TYPE, time)


def cloudevent_headers(identity: bytes, topic: str, event_type: bytes, time: str) -> Headers:
    """The headers of whatever we publish as a CloudEvent; `topic` is where its source is, `time` as RFC 3339."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", identity),
        ("ce_source", f"kafka://{topic}".encode()),
        ("ce_type", event_type),
        ("ce_time", time.encode()),
        ("content-type", b"application/json"),
    )


class DeadLetterLimit:
    """Whether too many of the latest records were invalid: a bad deploy upstream must not drain a topic."""

    def __init__(self, max_ratio: float, window: int) -> None:
        """`max_ratio` of the last `window` records; a ratio of 1 switches the limit off."""
        self._max_ratio = max_ratio
        self._invalid: deque[bool] = deque(maxlen=window)
        self._count = 0

    def observe(self, invalid: bool) -> bool:
        """Take in a record's outcome; True when the limit is passed from this record on."""
        latest = self._invalid
        full = len(latest) == latest.maxlen
        if full:
            self._count -= latest[0]
        latest.append(invalid)
        self._count += invalid
        return self._max_ratio < 1 and len(latest) == latest.maxlen and self._count > self._max_ratio * len(latest)
