"""The output event and a person's decision as types, and the JSON Schema generated from them.

The schema is committed under docs/. `python docs/generate.py` writes it, and tests check that it, these types and
`streamer.formats.encode.Encoder` match.
"""

from __future__ import annotations

from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic refuses typing's own below Python 3.12.
)

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, with_config
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
    """The model that made the prediction."""

    name: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]


@with_config(_STRICT)
class SourcePosition(TypedDict):
    """The source record's position. It is the same each time the review is read: consumers can deduplicate by it."""

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]


@with_config(_STRICT)
class EvidenceWeight(TypedDict):
    """A token of the normalised text, and its contribution to the prediction."""

    token: str
    weight: Annotated[
        float,
        Field(description="Share of the calibrated logit: above 0, it supports labels with a higher value."),
    ]


@with_config(_STRICT)
class LabelledReview(TypedDict):
    """A review with its label, its calibrated score and the evidence: the value of a message on the output topic."""

    id: Annotated[
        str | None,
        Field(description="The input's id, or its CloudEvent's; numbers as in JSON; null if it has none."),
    ]
    label: Annotated[
        str,
        Field(
            pattern=LABEL_NAME,
            description=f"One of the model's labels, or `{UNCERTAIN}` if it does not decide, the text has no word, or "
            "fewer than half of its words are known.",
        ),
    ]
    score: Annotated[
        float,
        Field(ge=0, le=1, description="Calibrated expected value of the label; with two labels, P of the second."),
    ]
    confidence: Annotated[float, Field(ge=0, le=1, description="Probability of the likeliest label; six decimals.")]
    tokens: Annotated[
        int, Field(ge=0, description="Number of tokens that the model read, after truncation; 0 if it was not asked.")
    ]
    truncated: Annotated[
        bool, Field(description="Whether the text exceeds the model's limit, so that it read only head and tail.")
    ]
    coverage: Annotated[
        float,
        Field(ge=0, le=1, description="Share of the text's words that the model knows; 0 if there are none."),
    ]
    event_time: Annotated[
        Time,
        Field(description="When the review was written: the input's event time, else its Kafka timestamp. UTC."),
    ]
    labelled_at: Annotated[Time, Field(description="When the review was labelled. UTC.")]
    group: Annotated[
        str | None,
        Field(description="The group that the review counts in, for example a product; null if the input has none."),
    ]
    model: Annotated[ModelName, Field(description="The model that made the prediction.")]
    source: Annotated[SourcePosition, Field(description="The source record's position.")]
    action: NotRequired[Annotated[Action, Field(description="Moderation's decision; absent if there are no rules.")]]
    rule: NotRequired[Annotated[str, Field(description="The moderation rule that matched; absent if none did.")]]
    evidence: NotRequired[
        Annotated[
            list[EvidenceWeight],
            Field(
                description="The strongest tokens, strongest first; absent when `output.evidence_tokens` is 0 or the "
                "model was not asked."
            ),
        ]
    ]
    input: NotRequired[
        Annotated[
            Any,
            Field(
                description="The input's value, if `output.include_input` is on, and always on the review topic: "
                "JSON unchanged, otherwise a string."
            ),
        ]
    ]


@with_config(_STRICT)
class PredictedEvent(TypedDict):
    """The result of the review, as the service published it."""

    label: str
    score: Annotated[float, Field(ge=0, le=1, description="Calibrated expected value of the label.")]
    model: ModelName
    rule: Annotated[str | None, Field(description="The moderation rule that held it; null if none matched.")]


def _decided(label: str) -> str:
    if label == UNCERTAIN:
        raise ValueError(f"{UNCERTAIN} is no label that a person decides on")
    return label


@with_config(_STRICT)
class ModerationDecision(TypedDict):
    """A person's decision on a review: the value of a message on the verdict topic."""

    action: Literal["allow", "block"]
    label: NotRequired[
        Annotated[
            str,
            Field(
                pattern=LABEL_NAME,
                description="The label that the person chose, if any: one of the model's.",
                json_schema_extra={"not": {"const": UNCERTAIN}},
            ),
            AfterValidator(_decided),
        ]
    ]
    by: Annotated[str, Field(min_length=1, description="Who decided.")]
    at: Annotated[Time, Field(description="When the person decided. UTC.")]
    source: Annotated[SourcePosition, Field(description="The position of the review's source record.")]
    group: str | None
    event: PredictedEvent
    text: NotRequired[Annotated[str, Field(description="The review's text, only with `moderation.verdict_text`.")]]


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an output event."""
    generated = TypeAdapter(LabelledReview).json_schema(mode="serialization")
    return {"$schema": _DIALECT, "$id": SCHEMA_ID, **generated}
