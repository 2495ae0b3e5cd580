"""People's decisions on reviews that moderation held: encodes and decodes messages of the verdict topic. Pure.

The key is the review's identity. So the newest decision on a review counts, a compacted topic keeps it, and a
tombstone undoes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import orjson
from pydantic import TypeAdapter, ValidationError

from streamer.events import Message, record_identity
from streamer.formats.cloudevents import DECISION_TYPE, cloudevent_headers
from streamer.formats.schema import ModerationDecision, SourcePosition
from streamer.formats.times import rfc3339

_DECISION: TypeAdapter[ModerationDecision] = TypeAdapter(ModerationDecision)


class DecisionError(ValueError):
    """The value is not a decision. The message names the field and never quotes the review."""


def decision_on(
    event: Mapping[str, Any],
    action: Literal["allow", "block"],
    by: str,
    at: int,
    label: str | None = None,
    text: str | None = None,
) -> ModerationDecision:
    """A person's decision on an event of the review topic; `at` is in milliseconds since the epoch.

    `text` is the review's (see `formats.result.text_of`). Pass it only if `moderation.verdict_text` allows it.
    Raises DecisionError if the event is invalid or `by` is empty.
    """
    decision: dict[str, Any] = {
        "action": action,
        "by": by,
        "at": rfc3339(at),
        "source": event.get("source"),
        "group": event.get("group"),
        "event": {name: event.get(name) for name in ("label", "score", "model", "rule")},
    }
    decision |= {} if label is None else {"label": label}
    decision |= {} if text is None else {"text": text}
    return _checked(lambda: _DECISION.validate_python(decision))


def key_of(source: SourcePosition) -> bytes:
    """The review's identity (see `record_identity`): the key of the decisions on it."""
    return record_identity(source["topic"], source["partition"], source["offset"]).encode()


def encode(topic: str, decision: ModerationDecision, at: int) -> Message:
    """The message for a decision; `at` is in milliseconds since the epoch."""
    return _message(topic, decision["source"], orjson.dumps(decision), at)


def encode_undo(topic: str, source: SourcePosition, at: int) -> Message:
    """The message that undoes the decision on a review."""
    return _message(topic, source, None, at)


def decode(value: bytes) -> ModerationDecision:
    """The decision in a message's value, which is not null. Raises DecisionError."""
    return _checked(lambda: _DECISION.validate_json(value))


def _checked(validate: Callable[[], ModerationDecision]) -> ModerationDecision:
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        # Pydantic's message about invalid JSON does not quote it either.
        raise DecisionError(f"{field}: {first['msg']}" if field else first["msg"]) from None


def _message(topic: str, source: SourcePosition, value: bytes | None, at: int) -> Message:
    key = key_of(source)
    headers = cloudevent_headers(key + f"/{at}".encode(), source["topic"], DECISION_TYPE, rfc3339(at))
    return Message(topic, key, value, (*headers, ("ce_subject", key)), at, source["partition"])
