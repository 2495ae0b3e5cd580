"""Reads our own output events, for the modules that show or count them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import orjson

from streamer.events import Weight, record_identity
from streamer.formats.json import MISSING, field_at_path
from streamer.formats.schema import ModelName, SourcePosition

Value = TypeVar("Value")


class Result(NamedTuple):
    """An output event with its fields as they were sent. `streamer.formats.schema.LabelledReview` describes them.

    An event always has a label, a score and a source; any other field may be None. input: the reviewed value, if the
    event includes it (see `text_of`).
    """

    label: str
    score: float
    source: SourcePosition
    id: str | None
    confidence: float | None
    tokens: int | None
    truncated: bool | None
    coverage: float | None
    event_time: str | None
    labelled_at: str | None
    group: str | None
    model: ModelName | None
    action: str | None
    rule: str | None
    evidence: tuple[Weight, ...]
    input: Any

    @property
    def identity(self) -> str:
        """The identity of the review's record (`record_identity`)."""
        return record_identity(**self.source)


def read_result(value: bytes | None) -> Result | None:
    """Read the value of a message of the output or review topic; None for a tombstone and for any other value.

    Ignores unknown fields.
    """
    try:
        event = orjson.loads(value or b"null")
        return _result(event) if isinstance(event, dict) else None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _result(event: Mapping[str, Any]) -> Result:
    """Raises KeyError or TypeError if a field is missing or has another type."""
    source = event["source"]
    model = event.get("model")
    return Result(
        label=_checked(event["label"], str),
        score=_number(event["score"]),
        source={
            "topic": _checked(source["topic"], str),
            "partition": _checked(source["partition"], int),
            "offset": _checked(source["offset"], int),
        },
        id=_optional(event, "id", str),
        confidence=None if event.get("confidence") is None else _number(event["confidence"]),
        tokens=_optional(event, "tokens", int),
        truncated=_optional(event, "truncated", bool),
        coverage=None if event.get("coverage") is None else _number(event["coverage"]),
        event_time=_optional(event, "event_time", str),
        labelled_at=_optional(event, "labelled_at", str),
        group=_optional(event, "group", str),
        model=None
        if model is None
        else {"name": _checked(model["name"], str), "version": _checked(model["version"], str)},
        action=_optional(event, "action", str),
        rule=_optional(event, "rule", str),
        evidence=tuple(
            Weight(_checked(weight["token"], str), _number(weight["weight"])) for weight in event.get("evidence", ())
        ),
        input=event.get("input"),
    )


def _optional(event: Mapping[str, Any], name: str, kind: type[Value]) -> Value | None:
    value = event.get(name)
    return None if value is None else _checked(value, kind)


def _checked(value: object, kind: type[Value]) -> Value:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"not a {kind.__name__}")
    return value


def _number(value: object) -> float:
    return float(value) if isinstance(value, float) else float(_checked(value, int))


def text_of(reviewed: Any, text_field: str = "text") -> str | None:
    """The review's text in an event's `input`; None if there is none.

    The input is the text itself, an object with the text at the path `text_field`, or a structured CloudEvent with
    either as its data.
    """
    if isinstance(reviewed, dict) and isinstance(reviewed.get("specversion"), str) and "data" in reviewed:
        reviewed = reviewed["data"]
    if isinstance(reviewed, dict):
        found = field_at_path(reviewed, text_field)
        reviewed = None if found is MISSING else found
    return reviewed if isinstance(reviewed, str) else None
