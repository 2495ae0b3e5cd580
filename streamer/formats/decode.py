"""Decodes input records to reviews, tombstones and dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from streamer.events import DeadLetter, Decoded, Reason, Record, Review, Tombstone
from streamer.formats.cloudevents import unwrap
from streamer.formats.json import JSON, JsonFormat, field_at_path, scalar
from streamer.formats.text import TextFormat
from streamer.formats.times import clamped, parse_time
from streamer.formats.value import InvalidRecord, ValueFormat

_NO_ATTRIBUTES: Mapping[str, str] = {}


def value_format(name: Literal["json", "text"], text_field: str = "text") -> ValueFormat:
    """The format with this name in `input.format`."""
    formats: dict[str, ValueFormat] = {"json": JsonFormat(text_field), "text": TextFormat()}
    return formats[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """Decodes input records.

    id_field, event_time_field, group_field: dotted paths into the value's fields. max_bytes: of a value.
    keep_fields: whether reviews keep the value's fields, for moderation rules that check them.
    """

    value_format: ValueFormat = JSON
    id_field: str = "id"
    event_time_field: str = "event_time"
    group_field: str = "group"
    max_bytes: int = 1_000_000
    keep_fields: bool = False

    def decode(self, record: Record) -> Decoded:
        """Decode a record. Never raises, whatever the record contains."""
        value = record.value
        if value is None:
            return Tombstone(record)
        try:
            if len(value) > self.max_bytes:
                raise InvalidRecord(Reason.TOO_LARGE, f"{len(value)} bytes, at most {self.max_bytes}")
            return self._review(record, value)
        except InvalidRecord as invalid:
            return DeadLetter(record, invalid.reason, invalid.detail)

    def _review(self, record: Record, value: bytes) -> Review:
        """Uses the value's fields first, then the CloudEvent's attributes, then the record's timestamp."""
        attributes, data = unwrap(record.headers, value) if record.headers else (_NO_ATTRIBUTES, value)
        text, values = self.value_format.decode(data) if isinstance(data, bytes) else self.value_format.from_json(data)
        event_time = parse_time(field_at_path(values, self.event_time_field))
        if event_time is None:
            event_time = parse_time(attributes.get("time"))
        identifier = scalar(field_at_path(values, self.id_field))
        review = Review(
            record,
            text,
            attributes.get("id") if identifier is None else identifier,
            clamped(record.timestamp) if event_time is None else event_time,
            scalar(field_at_path(values, self.group_field)),
        )
        # Takes half the time of `_replace`. `rules` and `fields` are the last two.
        return Review(*review[:-2], (), values) if self.keep_fields else review
