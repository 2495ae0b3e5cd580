"""The JSON Schemas of the messages on the trends topic and the alerts topic."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, WithJsonSchema
from typing_extensions import TypedDict

from streamer.labels import UNCERTAIN, UNNAMED_COLUMNS, watched
from streamer.trends.anomalies import ALERT_TYPE
from streamer.trends.message import EVENT_TYPE

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_STRICT = ConfigDict(extra="forbid")
# The only other field is the count under the label's own name.
_ALERT = ConfigDict(
    extra="allow", json_schema_extra={"additionalProperties": {"type": "integer", "minimum": 0}, "minProperties": 9}
)

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]

TrendSource = TypedDict(
    "TrendSource",
    {
        "topic": str,
        "partition": Count,
        "from": Annotated[int, Field(ge=0, description="The first offset of the range.")],
        "to": Annotated[int, Field(ge=1, description="The offset after its last.")],
    },
)
TrendSource.__pydantic_config__ = _STRICT  # type: ignore[attr-defined]  # The only place for it in this syntax.

_CELL: dict[str, Any] = {
    "description": "Counts of the reviews of a second and a group.",
    "type": "array",
    "prefixItems": [
        {"type": "integer", "minimum": 0, "description": "Event time, in whole seconds since the epoch."},
        {
            "type": ["string", "null"],
            "description": "The reviews' group; of a long one its first 256 characters.",
        },
    ],
    "items": {
        "type": "integer",
        "minimum": 0,
        "description": "A count for each of `labels`, in that order, then the sum of their scores, in millionths.",
    },
    "minItems": 4,
}
# A tuple whose length depends on the labels; pydantic has no type for that.
TrendCell = Annotated[list[Any], WithJsonSchema(_CELL)]


class TrendCounts(TypedDict):
    """Counts of the results of a range of an input partition's offsets: the value of a message on the trends topic."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic requires this; it is not a key.

    source: Annotated[TrendSource, Field(description="The range, with records that gave no result.")]
    epoch: Annotated[
        tuple[Count, Count],
        Field(
            description="The partition owner's: each later owner has a higher one, by the first number, then the "
            "second. A message with a lower one than seen before does not count."
        ),
    ]
    labels: NotRequired[
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=100)]],
            Field(
                min_length=1,
                description="What the counts of a cell stand for: the model's labels, the most favourable first, and "
                f"last `{UNCERTAIN}`. Without it they are `{'`, `'.join(UNNAMED_COLUMNS)}`.",
            ),
        ]
    ]
    cells: list[TrendCell]


class AlertWindow(TypedDict):
    """The window that was tested."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    start: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    seconds: Annotated[int, Field(ge=1)]


class TrendAlert(TypedDict):
    """A group's share of a label has left its usual band, or is back: the value of a message on the alerts topic."""

    __pydantic_config__ = _ALERT  # type: ignore[misc]

    group: Annotated[str | None, Field(description="null stands for all reviews.")]
    direction: Literal["above", "below", "back"]
    window: AlertWindow
    reviews: Count
    label: NotRequired[
        Annotated[
            str,
            Field(
                min_length=1,
                description="The label. The count of reviews that have it is in the field of its name. Without it the "
                f"label is `{watched(UNNAMED_COLUMNS)}`.",
            ),
        ]
    ]
    share: Annotated[Share, Field(description="The share of reviews with this label.")]
    usual: Annotated[Share, Field(description="The group's usual share.")]
    low: Annotated[Share, Field(description="The band around it.")]
    high: Share


def trend_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a message on the trends topic."""
    generated = TypeAdapter(TrendCounts).json_schema(mode="serialization")
    return {"$schema": _DIALECT, "$id": f"urn:sentiment-streamer:{EVENT_TYPE.decode()}", **generated}


def component_schemas() -> dict[str, Any]:
    """For the AsyncAPI document: payloads and headers of the two messages, with the schemas that they refer to."""
    found: dict[str, Any] = {}
    for name, adapter in (("TrendCounts", TypeAdapter(TrendCounts)), ("TrendAlert", TypeAdapter(TrendAlert))):
        schema = adapter.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        found |= {**schema.pop("$defs", {}), name: schema}
    return found | {
        "TrendHeaders": _headers(EVENT_TYPE, "`<topic>/<partition>/<from>-<to>` of the range."),
        "AlertHeaders": _headers(ALERT_TYPE, "Trends topic, start of the window, group: the same in every process."),
    }


def _headers(event_type: bytes, identity: str) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string", "description": identity},
        "ce_source": {"type": "string"},
        "ce_type": {"const": event_type.decode()},
        "ce_time": {"type": "string", "format": "date-time"},
        "content-type": {"const": "application/json"},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}
