"""The interface of value formats, which the Decoder and the Encoder use.

To add a format, write a module beside this one that implements ValueFormat, and add a line to `decode.value_format`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from streamer.events import Reason


class InvalidRecord(Exception):
    """The record cannot be labelled. `detail` is for people and never quotes the review."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class SkippedRecord(Exception):
    """The record is no review, by the settings: nothing is published for it."""


class Fields(NamedTuple):
    """A decoded value: the review's text and, if the value is an object, the whole object.

    no_text: why the text is blank where there was none, `null` or `missing`; empty if there was one.
    """

    text: str
    values: Mapping[str, Any]
    no_text: str = ""


class ValueFormat(Protocol):
    """An encoding of reviews as bytes. Implementations keep no state."""

    def decode(self, value: bytes) -> Fields:
        """Decode a record's value. Raises InvalidRecord or SkippedRecord, and nothing else."""

    def from_json(self, data: object) -> Fields:
        """Read the data of a structured CloudEvent, which is parsed JSON. Raises as `decode` does."""

    def to_json(self, value: bytes) -> Any:
        """Convert a value that `decode` accepted to the `input` of an output event, for orjson."""


def json_type(value: object) -> str:
    """The JSON type of a parsed value, for messages."""
    types = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return types.get(type(value), "number")
