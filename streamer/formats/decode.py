"""Decodes input records to reviews, tombstones and dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, Literal

from streamer.events import DeadLetter, Decoded, Reason, Record, Replaced, Review, Skipped, Tombstone
from streamer.formats.cloudevents import unwrap
from streamer.formats.encode import MAX_GROUP
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
        text, values, no_text = (
            self.value_format.decode(data) if isinstance(data, bytes) else self.value_format.from_json(data)
        )
        replaced = [Replaced("text", no_text)] if no_text else []
        given = field_at_path(values, self.event_time_field)
        event_time = None if given is MISSING else parse_time(given, self.time_zone)
        if event_time is None or event_time > now + _DAY:
            event_time = self._other_time(given, attributes, now, replaced)
            if event_time is None:
                event_time = clamped(record.timestamp)
        identifier = field_at_path(values, self.id_field)
        if type(identifier) is not str:  # The usual case costs nothing.
            identifier = _text_of(identifier, "id", replaced, value, data, self.id_field)
            if identifier is None and attributes:
                identifier = _text_of(attributes.get("id"), "id", replaced, value, value, "id")
        group = field_at_path(values, self.group_field)
        if type(group) is not str:
            group = _text_of(group, "group", replaced, value, data, self.group_field)
        if group is not None and len(group) > MAX_GROUP:
            replaced.append(Replaced("group", "too_long"))
        noted = tuple(replaced) if replaced else ()
        if self.keep_fields:
            return Review(record, text, identifier, event_time, group, noted, fields=values)
        return Review(record, text, identifier, event_time, group, noted)

    def _other_time(
        self, unusable: object, attributes: Mapping[str, Any], now: int, replaced: list[Replaced]
    ) -> int | None:
        """The CloudEvent's time where the value's cannot be used; None if neither can. Notes what cannot."""
        for given in (unusable, attributes.get("time")):
            if given is None or given is MISSING:
                continue
            found = parse_time(given, self.time_zone)
            if found is not None and found <= now + _DAY:
                return found
            replaced.append(Replaced("event_time", "unreadable" if found is None else "in_the_future"))
        return None


def _text_of(given: object, field: str, replaced: list[Replaced], value: bytes, data: object, path: str) -> str | None:
    """An id or a group as text; None if there is none, or none that can be used, which is then noted.

    value, data, path: where it was, to read it again with all of its digits (see `_exact`).
    """
    if given is None or given is MISSING:
        return None
    if is_inexact(given) and (again := field_at_path(_exact(value, data), path)) is not MISSING:
        given = again
    found = scalar(given)
    if found is None:
        replaced.append(Replaced(field, "not_utf8" if isinstance(given, bytes) else "not_a_scalar"))
    return found


def _exact(value: bytes, data: object) -> Mapping[str, Any]:
    """The fields of a value with its numbers as they were written; `data` is what `unwrap` found."""
    if isinstance(data, bytes):
        return as_written(data)
    fields = as_written(value).get("data")
    return fields if isinstance(fields, dict) else {}
