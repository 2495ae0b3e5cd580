"""The AsyncAPI 3.0 document of the topics: the messages that the service and its commands receive and send.

It is committed under docs/. `python docs/generate.py` writes it, and tests check that it matches the code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from streamer.events import Reason
from streamer.formats.cloudevents import DECISION_TYPE, RESULT_TYPE, STRUCTURED
from streamer.formats.schema import LabelledReview, ModerationDecision
from streamer.labels import UNCERTAIN
from streamer.trends.schema import component_schemas


def asyncapi(
    input_topic: str,
    output_topic: str,
    dead_letter_topic: str,
    review_topic: str,
    verdict_topic: str,
    trend_topic: str,
) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of the service: the messages it receives and sends, and their topics."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sentiment streamer",
            "version": "1.0.0",  # Of the messages, not of the program.
            "description": "Labels each review with its sentiment, in order, or publishes it as a dead letter.",
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
                "Results (`output.topic`), with the review's key and in the order of each input partition.",
                ("labelledReview", "labelledTombstone"),
            ),
            "deadLetters": _channel(
                dead_letter_topic,
                "Records that cannot be labelled (`dead_letters.topic`), unchanged except for added `dlq.*` headers.",
                ("deadLetter",),
            ),
            "held": _channel(
                review_topic,
                "Results that moderation does not allow (`moderation.review_topic`), with their input.",
                ("labelledReview",),
            ),
            "verdicts": _channel(
                verdict_topic,
                "People's decisions on them (`moderation.verdict_topic`), by the review's identity: the newest counts.",
                ("verdict", "undoneVerdict"),
            ),
            "trends": _channel(
                trend_topic,
                "Counts of results (`trends.topic`), with `trends.enabled`, in the order of each input partition.",
                ("trendCounts",),
            ),
            # By default there is no such topic. In AsyncAPI null means that the address is not known.
            "alerts": _channel(None, "Alerts of `streamer trends` (`trends.alert_topic`).", ("trendAlert",)),
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
            "The result of a tombstone, with the same key: a compacted output stays correct.",
            json,
            "Tombstone",
            "ResultHeaders",
        ),
        "deadLetter": _message(
            "The record as it was read, and the reason why it cannot be labelled.",
            "application/octet-stream",
            "DeadLetter",
            "DeadLetterHeaders",
        ),
        "verdict": _message("A person's decision on a review.", json, "ModerationDecision", "VerdictHeaders"),
        "undoneVerdict": _message("A null value: undoes the decision.", json, "Tombstone", "VerdictHeaders"),
        "trendCounts": _message("Counts of a range of offsets.", json, "TrendCounts", "TrendHeaders"),
        "trendAlert": _message(
            "A group's share of a label has left its usual band, or is back in it.", json, "TrendAlert", "AlertHeaders"
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
                "ce_id": {"type": "string", "description": "Used where the value has no id."},
                "ce_time": {
                    "type": "string",
                    "format": "date-time",
                    "description": "Used where the value has no event time.",
                },
            }
        ),
        "StructuredCloudEvent": _headers({"content-type": {"type": "string", "pattern": "^application/cloudevents"}}),
        "ResultHeaders": _headers(_RESULT_HEADERS, required=True),
        "DeadLetterHeaders": _headers(_DEAD_LETTER_HEADERS, required=True),
        "VerdictHeaders": _headers(_DECISION_HEADERS, required=True),
        **component_schemas(),
    }


def _headers(properties: Mapping[str, Any], required: bool = False) -> dict[str, Any]:
    """Header schemas are open: the record's own headers are passed on."""
    return {
        "type": "object",
        "properties": dict(properties),
        **({"required": list(properties)} if required else {}),
    }


# Any field but the text may be missing. The names are settings; these are the defaults.
_REVIEW: dict[str, Any] = {
    "type": "object",
    "description": "The fields' paths are settings (`input.*_field`); other fields are ignored.",
    "required": ["text"],
    "properties": {
        "text": {"type": ["string", "null"], "description": f"The review; blank ones are labelled `{UNCERTAIN}`."},
        "id": {"description": "A string, number or boolean; any other value is ignored, and counted."},
        "event_time": {
            "type": ["string", "number", "object", "null"],
            "description": "RFC 3339 or another form of docs/operations.md, or seconds, milliseconds, microseconds or "
            "nanoseconds since the epoch; otherwise the record's timestamp is used.",
        },
        "group": {
            "description": "The group that the review is counted in: a string, number or boolean; any other value is "
            "ignored, and counted."
        },
    },
}

_STRUCTURED_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0, JSON format.",
    "required": ["specversion"],
    "anyOf": [{"required": ["data"]}, {"required": ["data_base64"]}],
    "properties": {
        "specversion": {"type": "string"},
        "id": {"type": "string", "description": "Used where the value has no id."},
        "time": {"type": "string", "format": "date-time", "description": "Used where the value has no event time."},
        "data": {"description": "The review object; with `input.format = text` a string."},
        "data_base64": {"type": "string", "description": "The review's bytes in base64."},
    },
}

_RESULT_HEADERS: dict[str, Any] = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": {
        "type": "string",
        "description": "`<topic>/<partition>/<offset>` of the source record: the same each time it is read.",
    },
    "ce_source": {"type": "string", "description": "`kafka://<topic>` of the source record."},
    "ce_type": {"const": RESULT_TYPE.decode()},
    "ce_time": {"type": "string", "format": "date-time", "description": "When the review was labelled."},
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

_DECISION_HEADERS: dict[str, Any] = _RESULT_HEADERS | {
    "ce_id": {"type": "string", "description": "The review's identity, and the time of the decision in milliseconds."},
    "ce_type": {"const": DECISION_TYPE.decode()},
    "ce_subject": {"type": "string", "description": "The review's identity, which is also the key."},
    "ce_time": {"type": "string", "format": "date-time", "description": "The time of the decision."},
}
