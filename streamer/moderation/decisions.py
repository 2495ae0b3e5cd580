"""What people decide on reviews that moderation held: written to, and read from, the verdict topic. Pure.

The key is the review's identity, so the newest verdict of a review is the one that counts, a compacted topic keeps
it, and a tombstone takes it back.
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

_VERDICT: TypeAdapter[ModerationDecision] = TypeAdapter(ModerationDecision)


class DecisionError(ValueError):
    """The value is no verdict; the message names the field, and quotes nothing of the review."""


def decision_on(
    event: Mapping[str, Any],
    action: Literal["allow", "block"],
    by: str,
    at: int,
    label: str | None = None,
    text: str | None = None,
) -> ModerationDecision:
    """A person's verdict on an event of the review topic; `at` is in milliseconds since the epoch.

    `text` is the review's (`formats.result.text_of`), to be given only where `moderation.verdict_text` allows it.
    Raises DecisionError where the event is none, or `by` is empty.
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
    return _checked(lambda: _VERDICT.validate_python(decision))


def key_of(source: SourcePosition) -> bytes:
    """The review's identity (`record_identity`): the key of its verdicts."""
    return record_identity(source["topic"], source["partition"], source["offset"]).encode()


def encode(topic: str, decision: ModerationDecision, at: int) -> Message:
    """The message that tells of a verdict; `at` is in milliseconds since the epoch."""
    return _message(topic, decision["source"], orjson.dumps(decision), at)


def encode_undo(topic: str, source: SourcePosition, at: int) -> Message:
    """The message that takes a review's verdict back."""
    return _message(topic, source, None, at)


def decode(value: bytes) -> ModerationDecision:
    """The verdict in a message's value, which is not null. Raises DecisionError."""
    return _checked(lambda: _VERDICT.validate_json(value))


def _checked(validate: Callable[[], ModerationDecision]) -> ModerationDecision:
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        # Pydantic's message on what is no JSON quotes none of it either.
        raise DecisionError(f"{field}: {first['msg']}" if field else first["msg"]) from None


def _message(topic: str, source: SourcePosition, value: bytes | None, at: int) -> Message:
    key = key_of(source)
    headers = cloudevent_headers(key + f"/{at}".encode(), source["topic"], DECISION_TYPE, rfc3339(at))
    return Message(topic, key, value, (*headers, ("ce_subject", key)), at, source["partition"])
