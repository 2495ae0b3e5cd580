"""The input: its topic, its format, and the fields of a value that are used."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from streamer.settings.fields import FieldPath, Section, Topic


class InputSettings(Section):
    topic: Topic = "reviews"
    """Topic to read reviews from."""
    format: Literal["json", "text"] = "json"
    """`json`: the value is a JSON object. `text`: the value is the review itself."""
    text_field: FieldPath = "text"
    """Dotted path of the review's text in the JSON object."""
    id_field: FieldPath = "id"
    """Dotted path of the review's id; without one, a CloudEvent's `id` is used."""
    event_time_field: FieldPath = "event_time"
    """Dotted path of the event time (RFC 3339 or epoch milliseconds); without one, the record's timestamp is used."""
    group_field: FieldPath = "group"
    """Dotted path of the group that reviews are counted by, for example a product id."""
    max_bytes: PositiveInt = 1_000_000
    """Maximum size of a value; a larger one becomes a dead letter."""
