"""What is published, described: the output event's JSON Schema and the topics' AsyncAPI document.

Both come from here and are committed under docs/; `python docs/generate.py` writes them, and a test holds them,
this module and `streamer.formats.codec.Encoder` together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic refuses typing's own below Python 3.12.
)

from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from streamer.events import Action, Reason
from streamer.formats.codec import EVENT_TYPE, STRUCTURED
from streamer.trends.schema import component_schemas

DECISION_TYPE = b"review.moderation.verdict.v1"
SCHEMA_ID = f"urn:sentiment-streamer:{EVENT_TYPE.decode()}"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_STRICT = ConfigDict(extra="forbid")

Time = Annotated[
    str,
    Field(
        json_schema_extra={"format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
        examples=["2026-11-21T08:15:30.250Z"],
    ),
]


class ModelName(TypedDict):
    """The artefact that judged."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # What pydantic asks for; it is no key.

    name: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]


class SourcePosition(TypedDict):
    """Where the review was read: the same whenever it is read again, so consumers can deduplicate by it."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]


class EvidenceWeight(TypedDict):
    """A token of the normalised text, and its share of the verdict."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    token: str
    weight: Annotated[
        float,
        Field(description="Share of the calibrated logit: above 0 speaks for positive, below for negative."),
    ]


class LabelledReview(TypedDict):
    """A review with its label, its calibrated score and the evidence: the value of a message on the output topic."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    id: Annotated[
        str | None,
        Field(description="The input's id, or its CloudEvent's; numbers as JSON writes them; null where it had none."),
    ]
    label: Annotated[
        str,
        Field(
            min_length=1,
            description="One of the model's labels, or `uncertain` where it does not decide or the text is blank.",
        ),
    ]
    score: Annotated[
        float,
        Field(ge=0, le=1, description="Expected value of the label, calibrated; of two labels P of the second."),
    ]
    confidence: Annotated[float, Field(ge=0, le=1, description="P of the likeliest label; six decimals.")]
    tokens: Annotated[int, Field(ge=0, description="How many tokens were judged, after truncation; 0 for blank texts.")]
    truncated: Annotated[
        bool, Field(description="Whether only head and tail were judged, the text being longer than the model takes.")
    ]
    event_time: Annotated[
        Time, Field(description="When the review was written: the input's event time, else its Kafka timestamp. UTC.")
    ]
    labelled_at: Annotated[Time, Field(description="When the result was made. UTC.")]
    group: Annotated[
        str | None, Field(description="What reviews are counted by, for example a product; null where it had none.")
    ]
    model: Annotated[ModelName, Field(description="The artefact that judged.")]
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


class PredictedEvent(TypedDict):
    """What the service had said of the review."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    label: str
    score: Annotated[float, Field(ge=0, le=1, description="P(positive), calibrated.")]
    model: ModelName
    rule: Annotated[str | None, Field(description="The moderation rule that held it; null where none matched.")]


class ModerationDecision(TypedDict):
    """What a person decided on a review: the value of a message on the verdict topic."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    action: Literal["allow", "block"]
    label: NotRequired[
        Annotated[Literal["positive", "negative"], Field(description="The person's own label, where one was given.")]
    ]
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


def asyncapi(
    input_topic: str,
    output_topic: str,
    dead_letter_topic: str,
    review_topic: str,
    verdict_topic: str,
    trend_topic: str,
) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of the service: what it receives, what it sends, and where."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sentiment streamer",
            "version": "1.0.0",  # The messages', not the program's.
            "description": "Reviews come in; each leaves with a sentiment label, in order, or as a dead letter.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "input": _channel(
                input_topic,
                "Reviews to be labelled (`input.topic`).",
                ("review", "reviewText", "cloudEvent", "tombstone"),
            ),
            "output": _channel(
                output_topic,
                "Results (`output.topic`): the review's key, and order within each of its partitions.",
                ("labelledReview", "labelledTombstone"),
            ),
            "deadLetters": _channel(
                dead_letter_topic,
                "Records that cannot be labelled (`dead_letters.topic`), untouched but for `dlq.*` headers.",
                ("deadLetter",),
            ),
            "held": _channel(
                review_topic,
                "What moderation does not allow (`moderation.review_topic`): the result, with its input.",
                ("labelledReview",),
            ),
            "verdicts": _channel(
                verdict_topic,
                "What people decide on it (`moderation.verdict_topic`), by the review's identity: the newest counts.",
                ("verdict", "undoneVerdict"),
            ),
            "trends": _channel(
                trend_topic,
                "Counts of results (`trends.topic`), with `trends.enabled`: the input's partition, in its order.",
                ("trendCounts",),
            ),
            # AsyncAPI's way to say that it is not known: without the setting there is none.
            "alerts": _channel(None, "What `streamer trends` finds (`trends.alert_topic`).", ("trendAlert",)),
        },
        "operations": {
            "receiveReviews": _operation("receive", "input", ("review", "reviewText", "cloudEvent", "tombstone")),
            "sendResults": _operation("send", "output", ("labelledReview", "labelledTombstone")),
            "sendDeadLetters": _operation("send", "deadLetters", ("deadLetter",)),
            "sendHeld": _operation("send", "held", ("labelledReview",)),
            "sendVerdicts": _operation("send", "verdicts", ("verdict", "undoneVerdict")),
            "sendTrends": _operation("send", "trends", ("trendCounts",)),
            "sendAlerts": _operation("send", "alerts", ("trendAlert",)),
        },
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _channel(address: str | None, description: str, messages: Sequence[str]) -> dict[str, Any]:
    references = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    return {"address": address, "description": description, "messages": references}


def _operation(action: str, channel: str, messages: Sequence[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _messages() -> dict[str, Any]:
    json = "application/json"
    return {
        "review": _message("A review as a JSON object (`input.format = json`).", json, "Review", "BinaryCloudEvent"),
        "reviewText": _message(
            "A review as bare UTF-8 text (`input.format = text`).", "text/plain", "ReviewText", "BinaryCloudEvent"
        ),
        "cloudEvent": _message(
            "A review in a structured CloudEvent.", STRUCTURED.decode(), "CloudEvent", "StructuredCloudEvent"
        ),
        "tombstone": _message("A null value: deletes its key.", json, "Tombstone"),
        "labelledReview": _message("The result of a review.", json, "LabelledReview", "ResultHeaders"),
        "labelledTombstone": _message(
            "The answer to a tombstone, with the same key: a compacted output stays right.",
            json,
            "Tombstone",
            "ResultHeaders",
        ),
        "deadLetter": _message(
            "The record as it came, and why it cannot be labelled.",
            "application/octet-stream",
            "DeadLetter",
            "DeadLetterHeaders",
        ),
        "verdict": _message("A person's verdict on a review.", json, "ModerationDecision", "VerdictHeaders"),
        "undoneVerdict": _message("A null value: takes the verdict back.", json, "Tombstone", "VerdictHeaders"),
        "trendCounts": _message("Counts of a range of offsets.", json, "TrendCounts", "TrendHeaders"),
        "trendAlert": _message(
            "A group's share of negative has left its usual band, or is back.", json, "TrendAlert", "AlertHeaders"
        ),
    }


def _message(summary: str, content_type: str, payload: str, headers: str | None = None) -> dict[str, Any]:
    described = {"headers": {"$ref": f"#/components/schemas/{headers}"}} if headers else {}
    return {
        "summary": summary,
        "contentType": content_type,
        **described,
        "payload": {"$ref": f"#/components/schemas/{payload}"},
    }


def _schemas() -> dict[str, Any]:
    place = "#/components/schemas/{model}"
    labelled = TypeAdapter(LabelledReview).json_schema(mode="serialization", ref_template=place)
    verdict = TypeAdapter(ModerationDecision).json_schema(mode="serialization", ref_template=place)
    return {
        "Review": _REVIEW,
        "ReviewText": {"type": "string"},
        "CloudEvent": _STRUCTURED_EVENT,
        "Tombstone": {"type": "null"},
        **labelled.pop("$defs"),
        **verdict.pop("$defs"),
        "LabelledReview": labelled,
        "ModerationDecision": verdict,
        "DeadLetter": {"type": ["string", "null"], "description": "The original value, byte for byte."},
        "BinaryCloudEvent": _headers(
            {
                "ce_id": {"type": "string", "description": "Stands in for the id field."},
                "ce_time": {"type": "string", "format": "date-time", "description": "Stands in for the event time."},
            }
        ),
        "StructuredCloudEvent": _headers({"content-type": {"type": "string", "pattern": "^application/cloudevents"}}),
        "ResultHeaders": _headers(_RESULT_HEADERS, required=True),
        "DeadLetterHeaders": _headers(_DEAD_LETTER_HEADERS, required=True),
        "VerdictHeaders": _headers(_VERDICT_HEADERS, required=True),
        **component_schemas(),
    }


def _headers(properties: Mapping[str, Any], required: bool = False) -> dict[str, Any]:
    """Header schemas are open: the record's own headers travel along."""
    return {
        "type": "object",
        "properties": dict(properties),
        **({"required": list(properties)} if required else {}),
    }


# Any field but the text may be missing; the names are settings, here with their defaults.
_REVIEW: dict[str, Any] = {
    "type": "object",
    "description": "The fields' paths are settings (`input.*_field`); other fields are ignored.",
    "required": ["text"],
    "properties": {
        "text": {"type": "string", "description": "The review; blank ones are labelled `uncertain`."},
        "id": {"description": "A string, number or boolean; anything else counts as none."},
        "event_time": {
            "type": ["string", "number"],
            "description": "RFC 3339, or milliseconds since the epoch; else the record's timestamp stands in.",
        },
        "group": {"description": "What reviews are counted by: a string, number or boolean."},
    },
}

_STRUCTURED_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0, JSON format.",
    "required": ["specversion"],
    "anyOf": [{"required": ["data"]}, {"required": ["data_base64"]}],
    "properties": {
        "specversion": {"type": "string"},
        "id": {"type": "string", "description": "Stands in for the id field."},
        "time": {"type": "string", "format": "date-time", "description": "Stands in for the event time."},
        "data": {"description": "The review object; with `input.format = text` a string."},
        "data_base64": {"type": "string", "description": "The review's bytes in base64."},
    },
}

_RESULT_HEADERS: dict[str, Any] = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": {
        "type": "string",
        "description": "`<topic>/<partition>/<offset>` of the source record: the same whenever it is read again.",
    },
    "ce_source": {"type": "string", "description": "`kafka://<topic>` of the source record."},
    "ce_type": {"const": EVENT_TYPE.decode()},
    "ce_time": {"type": "string", "format": "date-time", "description": "When the result was made."},
    "content-type": {"const": "application/json"},
}

_DEAD_LETTER_HEADERS: dict[str, Any] = {
    "dlq.reason": {"enum": [reason.value for reason in Reason]},
    "dlq.detail": {"type": "string", "description": "For people; never quotes the review."},
    "dlq.topic": {"type": "string"},
    "dlq.partition": {"type": "string", "pattern": r"^\d+$"},
    "dlq.offset": {"type": "string", "pattern": r"^\d+$"},
    "dlq.timestamp": {"type": "string", "pattern": r"^-?\d+$", "description": "Milliseconds since the epoch."},
    "dlq.group": {"type": "string", "description": "The consumer group that read the record."},
}

_VERDICT_HEADERS: dict[str, Any] = _RESULT_HEADERS | {
    "ce_id": {"type": "string", "description": "The review's identity and the milliseconds of the verdict."},
    "ce_type": {"const": DECISION_TYPE.decode()},
    "ce_subject": {"type": "string", "description": "The review's identity, which is also the key."},
    "ce_time": {"type": "string", "format": "date-time", "description": "When it was decided."},
}
