"""Decodes input records to reviews, tombstones and dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, Literal

from streamer.events import DeadLetter, Decoded, Reason, Record, Replaced, Review, Skipped, Tombstone
from streamer.formats.cloudevents import unwrap
from streamer.formats.json import (
    JSON,
    MISSING,
    JsonFormat,
    MissingText,
    as_written,
    field_at_path,
    is_inexact,
    scalar,
)
from streamer.formats.text import TextFormat
from streamer.formats.times import MAX_TIME, clamped, parse_time
from streamer.formats.value import InvalidRecord, SkippedRecord, ValueFormat

_NO_ATTRIBUTES: Mapping[str, str] = {}
_DAY = 86_400_000


def value_format(
    name: Literal["json", "text"], text_field: str = "text", missing_text: MissingText = "dead_letter"
) -> ValueFormat:
    """The format with this name in `input.format`."""
    formats: dict[str, ValueFormat] = {"json": JsonFormat(text_field, missing_text), "text": TextFormat()}
    return formats[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """Decodes input records.

    id_field, event_time_field, group_field: dotted paths into the value's fields. max_bytes: of a value.
    keep_fields: whether reviews keep the value's fields, for moderation rules that check them. time_zone: of event
    times that name none.
    """

    value_format: ValueFormat = JSON
    id_field: str = "id"
    event_time_field: str = "event_time"
    group_field: str = "group"
    max_bytes: int = 1_000_000
    keep_fields: bool = False
    time_zone: tzinfo = UTC

    def decode(self, record: Record, now: int = MAX_TIME) -> Decoded:
        """Decode a record. Never raises, whatever the record contains.

        now: in milliseconds since the epoch; an event time more than a day later is not used.
        """
        value = record.value
        if value is None:
            return Tombstone(record)
        try:
            if len(value) > self.max_bytes:
                raise InvalidRecord(Reason.TOO_LARGE, f"{len(value)} bytes, at most {self.max_bytes}")
            return self._review(record, value, now)
        except SkippedRecord:
            return Skipped(record)
        except InvalidRecord as invalid:
            return DeadLetter(record, invalid.reason, invalid.detail)

    def _review(self, record: Record, value: bytes, now: int) -> Review:
        """Uses the value's fields first, then the CloudEvent's attributes, then the record's timestamp."""
        attributes, data = unwrap(record.headers, value) if record.headers else (_NO_ATTRIBUTES, value)
        read = self.value_format.decode(data) if isinstance(data, bytes) else self.value_format.from_json(data)
        values = read.values
        replaced: list[Replaced] = []
        if read.no_text:
            replaced.append(Replaced("text", read.no_text))
        event_time = self._time(field_at_path(values, self.event_time_field), now, replaced)
        if event_time is None and attributes:
            event_time = self._time(attributes.get("time"), now, replaced)
        given_id, given_group = field_at_path(values, self.id_field), field_at_path(values, self.group_field)
        if is_inexact(given_id) or is_inexact(given_group):
            exact = _exact(value, data)
            given_id = _exactly(given_id, exact, self.id_field)
            given_group = _exactly(given_group, exact, self.group_field)
        identifier, group = scalar(given_id), scalar(given_group)
        if identifier is None and given_id is not MISSING and given_id is not None:
            replaced.append(Replaced("id", "not_a_scalar"))
        if group is None and given_group is not MISSING and given_group is not None:
            replaced.append(Replaced("group", "not_a_scalar"))
        return Review(
            record,
            read.text,
            attributes.get("id") if identifier is None else identifier,
            clamped(record.timestamp) if event_time is None else event_time,
            group,
            tuple(replaced),
            fields=values if self.keep_fields else None,
        )

    def _time(self, given: object, now: int, replaced: list[Replaced]) -> int | None:
        """An event time; None if there is none, or none that can be used, which is then noted."""
        if given is None or given is MISSING:
            return None
        found = parse_time(given, self.time_zone)
        if found is not None and found <= now + _DAY:
            return found
        replaced.append(Replaced("event_time", "unreadable" if found is None else "in_the_future"))
        return None


def _exact(value: bytes, data: object) -> Any:
    """The fields of a value with its numbers as they were written; `data` is what `unwrap` found."""
    if isinstance(data, bytes):
        return as_written(data)
    envelope = as_written(value)
    return envelope.get("data") if isinstance(envelope, dict) else None


def _exactly(given: object, exact: object, path: str) -> object:
    if not is_inexact(given) or not isinstance(exact, dict):
        return given
    return field_at_path(exact, path)
