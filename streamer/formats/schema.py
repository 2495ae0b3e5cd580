"""The output event and a person's decision as types, and the JSON Schema made of them.

The schema is committed under docs/; `python docs/generate.py` writes it, and tests hold it, these types and
`streamer.formats.encode.Encoder` together.
"""

from __future__ import annotations

from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic refuses typing's own below Python 3.12.
)

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from streamer.events import Action
from streamer.formats.cloudevents import RESULT_TYPE
from streamer.labels import LABEL_NAME, UNCERTAIN

SCHEMA_ID = f"urn:sentiment-streamer:{RESULT_TYPE.decode()}"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_STRICT = ConfigDict(extra="forbid")

Time = Annotated[
    str,
    Field(
        json_schema_extra={"format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
        examples=["2026-11-21T08:15:30.250Z"],
    ),
]


@with_config(_STRICT)
class ModelName(TypedDict):
    """The model that predicted."""

    name: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]


@with_config(_STRICT)
class SourcePosition(TypedDict):
    """Where the review was read. It is the same whenever the review is read again: consumers can deduplicate by it."""

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]


@with_config(_STRICT)
class EvidenceWeight(TypedDict):
    """A token of the normalised text, and its share of the prediction."""

    token: str
    weight: Annotated[
        float,
        Field(description="Share of the calibrated logit: above 0 speaks for labels of a higher value."),
    ]


@with_config(_STRICT)
class LabelledReview(TypedDict):
    """A review with its label, its calibrated score and the evidence: the value of a message on the output topic."""

    id: Annotated[
        str | None,
        Field(description="The input's id, or its CloudEvent's; numbers as JSON writes them; null where it has none."),
    ]
    label: Annotated[
        str,
        Field(
            pattern=LABEL_NAME,
            description=f"One of the model's labels, or `{UNCERTAIN}` where it does not decide or the text is blank.",
        ),
    ]
    score: Annotated[
        float,
        Field(ge=0, le=1, description="Expected value of the label, calibrated; of two labels P of the second."),
    ]
    confidence: Annotated[float, Field(ge=0, le=1, description="P of the likeliest label; six decimals.")]
    tokens: Annotated[
        int, Field(ge=0, description="How many tokens the model read, after truncation; 0 for blank texts.")
    ]
    truncated: Annotated[
        bool, Field(description="Whether the model read only head and tail, because the text is longer than it takes.")
    ]
    event_time: Annotated[
        Time, Field(description="When the review was written: the input's event time, else its Kafka timestamp. UTC.")
    ]
    labelled_at: Annotated[Time, Field(description="When the review was labelled. UTC.")]
    group: Annotated[
        str | None,
        Field(description="What reviews are counted by, for example a product; null where the input has none."),
    ]
    model: Annotated[ModelName, Field(description="The model that predicted.")]
    source: Annotated[SourcePosition, Field(description="Where the review was read.")]
    action: NotRequired[Annotated[Action, Field(description="What moderation decided; absent where it has no rules.")]]
    rule: NotRequired[Annotated[str, Field(description="The moderation rule that decided; absent where none matched.")]]
    evidence: NotRequired[
        Annotated[
            list[EvidenceWeight],
            Field(
                description="The strongest tokens, strongest first; absent when `output.evidence_tokens` is 0 or the "
                "text is blank."
            ),
        ]
    ]
    input: NotRequired[
        Annotated[
            Any,
            Field(
                description="The input's value, when `output.include_input` is on, and always on the review topic: "
                "JSON as it came, else a string."
            ),
        ]
    ]


@with_config(_STRICT)
class PredictedEvent(TypedDict):
    """The result of the review, as the service published it."""

    label: str
    score: Annotated[float, Field(ge=0, le=1, description="Expected value of the label, calibrated.")]
    model: ModelName
    rule: Annotated[str | None, Field(description="The moderation rule that held it; null where none matched.")]


@with_config(_STRICT)
class ModerationDecision(TypedDict):
    """A person's decision on a review: the value of a message on the verdict topic."""

    action: Literal["allow", "block"]
    label: NotRequired[Annotated[str, Field(pattern=LABEL_NAME, description="The label that the person gave, if any.")]]
    by: Annotated[str, Field(min_length=1, description="Who decided.")]
    at: Annotated[Time, Field(description="When. UTC.")]
    source: Annotated[SourcePosition, Field(description="The review decided on: where it was read.")]
    group: str | None
    event: PredictedEvent
    text: NotRequired[Annotated[str, Field(description="The review's text, only with `moderation.verdict_text`.")]]


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an output event."""
    generated = TypeAdapter(LabelledReview).json_schema(mode="serialization")
    return {"$schema": _DIALECT, "$id": SCHEMA_ID, **generated}
