"""The JSON Schemas of what goes to the trends topic and to the alerts' topic."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from streamer.trends.anomalies import ALERT_TYPE
from streamer.trends.message import EVENT_TYPE

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_STRICT = ConfigDict(extra="forbid")

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
TrendSource.__pydantic_config__ = _STRICT  # type: ignore[attr-defined]  # Not to be had in this way of writing.

TrendCell = Annotated[
    tuple[
        Annotated[int, Field(ge=0, description="Event time, in whole seconds since the epoch.")],
        Annotated[str | None, Field(description="The reviews' group; of a long one its first 256 characters.")],
        Annotated[int, Field(ge=0, description="Positive ones.")],
        Annotated[int, Field(ge=0, description="Negative ones.")],
        Annotated[int, Field(ge=0, description="Uncertain ones.")],
        Annotated[int, Field(ge=0, description="Sum of their scores, in millionths.")],
    ],
    Field(description="Counts of the reviews of a second and a group."),
]


class TrendCounts(TypedDict):
    """Counts of the results of a range of an input partition's offsets: the value of a message on the trends topic."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # What pydantic asks for; it is no key.

    source: Annotated[TrendSource, Field(description="The range; records that gave no result are in it too.")]
    epoch: Annotated[
        tuple[Count, Count],
        Field(
            description="Of the partition's owner: each later owner's is higher, by the first number, then the second. "
            "What comes from a lower one than seen before does not count."
        ),
    ]
    cells: list[TrendCell]


class AlertWindow(TypedDict):
    """The window that was judged."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    start: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    seconds: Annotated[int, Field(ge=1)]


class TrendAlert(TypedDict):
    """A group's share of negative has left its usual band, or is back: the value of a message on the alerts' topic."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    group: Annotated[str | None, Field(description="null stands for all reviews.")]
    direction: Literal["above", "below", "back"]
    window: AlertWindow
    reviews: Count
    negative: Count
    share: Share
    usual: Annotated[Share, Field(description="The group's usual share.")]
    low: Annotated[Share, Field(description="The band around it.")]
    high: Share


def trend_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a message on the trends topic."""
    generated = TypeAdapter(TrendCounts).json_schema(mode="serialization")
    return {"$schema": _DIALECT, "$id": f"urn:sentiment-streamer:{EVENT_TYPE.decode()}", **generated}


def component_schemas() -> dict[str, Any]:
    """For the AsyncAPI document: the two messages' payloads and headers, with what they refer to."""
    found: dict[str, Any] = {}
    for name, adapter in (("TrendCounts", TypeAdapter(TrendCounts)), ("TrendAlert", TypeAdapter(TrendAlert))):
        schema = adapter.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        found |= {**schema.pop("$defs", {}), name: schema}
    return found | {
        "TrendHeaders": _headers(EVENT_TYPE, "`<topic>/<partition>/<from>-<to>` of the range."),
        "AlertHeaders": _headers(ALERT_TYPE, "Trends topic, start of the window, group: the same whoever finds it."),
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
