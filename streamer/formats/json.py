"""Values that are JSON objects, and access to their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from streamer.events import Reason
from streamer.formats.text import BOM, decode_utf8
from streamer.formats.value import Fields, InvalidRecord, json_type

MISSING = object()


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """`input.format = json`: an object with the text at a dotted path. Implements ValueFormat."""

    text_field: str = "text"

    def decode(self, value: bytes) -> Fields:
        """Parse the object. Raises InvalidRecord."""
        return self.from_json(parse_json(value))

    def from_json(self, data: object) -> Fields:
        """Find the text in a parsed object. Raises InvalidRecord."""
        if not isinstance(data, dict):
            raise InvalidRecord(Reason.NOT_AN_OBJECT, f"the value is a JSON {json_type(data)}")
        text = field_at_path(data, self.text_field)
        if not isinstance(text, str):
            if text is MISSING:
                raise InvalidRecord(Reason.TEXT_MISSING, f"no field {self.text_field!r}")
            raise InvalidRecord(Reason.TEXT_NOT_A_STRING, f"field {self.text_field!r} is a JSON {json_type(text)}")
        return Fields(text, data)

    def to_json(self, value: bytes) -> Any:
        """The value byte for byte: encoding it again would change numbers, and fail for deep nesting."""
        return orjson.Fragment(value.removeprefix(BOM))


JSON = JsonFormat()


def parse_json(value: bytes) -> Any:
    """Parse JSON, with or without a byte order mark. Raises InvalidRecord."""
    try:
        return orjson.loads(value.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
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


def scalar(value: object) -> str | None:
    """An id or a group: a string unchanged, a number or boolean as JSON, None for anything else."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, int | float) else None
