"""Values that are JSON objects, and access to their fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from streamer.events import Reason
from streamer.formats.text import BOM, decode_utf8
from streamer.formats.value import Fields, InvalidRecord, SkippedRecord, json_type

MISSING = object()
_FIRST_INEXACT = 2.0**53
_EXACT_CHARACTERS = 16  # Of a float; one with more may have been written with more.
_WIRE_FORMAT_BYTES = 5  # A zero and a schema id.


MissingText = Literal["dead_letter", "blank", "skip"]


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """`input.format = json`: an object with the text at a dotted path. Implements ValueFormat.

    missing_text: what an object without the text becomes. One whose text is null is a blank review.
    """

    text_field: str = "text"
    missing_text: MissingText = "dead_letter"

    def decode(self, value: bytes) -> Fields:
        """Parse the object. Raises InvalidRecord or SkippedRecord."""
        return self.from_json(parse_json(value))

    def from_json(self, data: object) -> Fields:
        """Find the text in a parsed object. Raises InvalidRecord or SkippedRecord."""
        if not isinstance(data, dict):
            twice = isinstance(data, str) and data.lstrip()[:1] in ("{", "[")
            hint = " that looks like JSON itself, as if it were encoded twice" if twice else ""
            raise InvalidRecord(Reason.NOT_AN_OBJECT, f"the value is a JSON {json_type(data)}{hint}")
        text = field_at_path(data, self.text_field)
        if isinstance(text, str):
            return Fields(text, data)
        if text is None or (text is MISSING and _ends_at_null(data, self.text_field)):
            return Fields("", data, "null")
        if text is not MISSING:
            raise InvalidRecord(Reason.TEXT_NOT_A_STRING, f"field {self.text_field!r} is a JSON {json_type(text)}")
        if self.missing_text == "blank":
            return Fields("", data, "missing")
        if self.missing_text == "skip":
            raise SkippedRecord
        raise InvalidRecord(Reason.TEXT_MISSING, f"no field {self.text_field!r}")

    def to_json(self, value: bytes) -> Any:
        """The value byte for byte: encoding it again would change numbers, and fail for deep nesting."""
        return orjson.Fragment(value.removeprefix(BOM))


JSON = JsonFormat()


def parse_json(value: bytes) -> Any:
    """Parse JSON, with or without a byte order mark. Raises InvalidRecord."""
    try:
        return orjson.loads(value.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        if value[:1] == b"\0" and len(value) >= _WIRE_FORMAT_BYTES:
            number = int.from_bytes(value[1:_WIRE_FORMAT_BYTES])
            detail = f"a schema registry's wire format, schema id {number}; input.format json reads JSON without it"
            raise InvalidRecord(Reason.NOT_JSON, detail) from None
        decode_utf8(value)  # If the value is not UTF-8, that is the better reason.
        reason = Reason.LONE_SURROGATE if "surrogate" in str(error) else Reason.NOT_JSON
        # The position, not orjson's message: no part of the review may get into a log.
        raise InvalidRecord(reason, f"line {error.lineno} column {error.colno}") from None


def field_at_path(values: Mapping[str, Any], path: str) -> Any:
    """The value of the field with this very name or, if there is none, at the dotted path; MISSING if there is none."""
    if path in values or "." not in path:
        return values.get(path, MISSING)
    found: Any = values
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            return MISSING
        found = found[part]
    return found


def _ends_at_null(values: Mapping[str, Any], path: str) -> bool:
    """Whether the object that should have the field is null: `{"review": null}` has no `review.text`."""
    *parents, _ = path.split(".")
    return any(field_at_path(values, ".".join(parents[:count])) is None for count in range(1, len(parents) + 1))


def scalar(value: object) -> str | None:
    """An id or a group: a string unchanged, a number or boolean as JSON, None for anything else."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, int | float) else None


def is_inexact(value: object) -> bool:
    """Whether a number may have lost digits: orjson reads integers beyond 64 bits as floats of 17 digits."""
    return isinstance(value, float) and (abs(value) >= _FIRST_INEXACT or len(repr(value)) > _EXACT_CHARACTERS)


def as_written(value: bytes) -> Mapping[str, Any]:
    """A JSON object whose numbers are strings, digit by digit as they were written; empty if it is nested too deep."""
    try:
        read = json.loads(value.removeprefix(BOM), parse_int=str, parse_float=str)
    except RecursionError:
        return {}
    return read if isinstance(read, dict) else {}
