"""The input: its topic, its format, and the fields of a value that are used."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, PositiveInt

from streamer.settings.fields import FieldPath, Section, Topic


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError.
        raise ValueError("not a time zone's name, as in Asia/Shanghai or UTC") from None
    except KeyError:
        raise ValueError("there is no such time zone; a name is one as in Asia/Shanghai or UTC") from None


TimeZone = Annotated[str, AfterValidator(_zone)]


class InputSettings(Section):
    topic: Topic = "reviews"
    """Topic to read reviews from."""
    format: Literal["json", "text"] = "json"
    """`json`: the value is a JSON object. `text`: the value is the review itself."""
    markup: Literal["auto", "html", "plain"] = "auto"
    """`auto`: markup (HTML, BBCode, Markdown) is read where there is some. `html`: all is HTML. `plain`: none."""
    text_field: FieldPath = "text"
    """Dotted path of the review's text in the JSON object."""
    missing_text: Literal["dead_letter", "blank", "skip"] = "dead_letter"
    """What a value without the text field becomes. One whose text is null is a blank review."""
    id_field: FieldPath = "id"
    """Dotted path of the review's id; without one, a CloudEvent's `id` is used."""
    event_time_field: FieldPath = "event_time"
    """Dotted path of the event time; without one that can be used, the record's timestamp is."""
    time_zone: TimeZone = "UTC"
    """IANA name of the zone of event times that name none, as Asia/Shanghai."""
    group_field: FieldPath = "group"
    """Dotted path of the group that reviews are counted by, for example a product id."""
    max_bytes: PositiveInt = 1_000_000
    """Maximum size of a value; a larger one becomes a dead letter."""
