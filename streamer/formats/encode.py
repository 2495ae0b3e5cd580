"""Encodes results, tombstones and dead letters as messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from streamer.events import (
    DeadLetter,
    Headers,
    Message,
    Outcome,
    Outgoing,
    Prediction,
    Record,
    Review,
    RuleResult,
    Tombstone,
    TrendSample,
)
from streamer.formats.cloudevents import RESULT_TYPE, cloudevent_headers, without_cloudevent
from streamer.formats.dead_letters import dead_letter_message
from streamer.formats.json import JSON
from streamer.formats.times import rfc3339
from streamer.formats.value import ValueFormat

# Trends count a longer group under its first characters, so that the size of a group is bounded.
MAX_GROUP = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """Encodes messages to publish. All times are in milliseconds since the epoch.

    value_format: the Decoder's, for results that include their input. review_topic: for a copy of results that
    moderation does not allow, with their input; None for no copy.
    """

    topic: str
    dead_letter_topic: str
    group_id: str
    model_name: str
    model_version: str
    include_input: bool = False
    value_format: ValueFormat = JSON
    review_topic: str | None = None

    def labelled(self, review: Review, prediction: Prediction, now: int, result: RuleResult | None = None) -> Outgoing:
        """The output event of a review. `result`: moderation's decision, None if there are no rules."""
        record = review.record
        labelled_at = rfc3339(now)
        event = self.event(review, prediction, labelled_at, result)
        message = Message(
            topic=self.topic,
            key=record.key,
            value=orjson.dumps(event),
            headers=_headers(record, labelled_at),
            timestamp=now,
            source_partition=record.partition,
        )
        group = review.group and review.group[:MAX_GROUP]
        sample = TrendSample(review.event_time // 1000, group, prediction.label, round(event["score"] * 1_000_000))
        outgoing = Outgoing(
            Outcome.LABELLED, message, label=prediction.label, sample=sample, coverage=prediction.coverage
        )
        if result is None:
            return outgoing
        copies = () if result.action == "allow" else self._held(record, message, event)
        return outgoing._replace(action=result.action, rule=result.rule, copies=copies)

    def _held(self, record: Record, message: Message, event: dict[str, Any]) -> tuple[Message, ...]:
        if self.review_topic is None:
            return ()
        value = orjson.dumps(event | {"input": self._input(record)})
        return (message._replace(topic=self.review_topic, value=value),)

    def event(
        self, review: Review, prediction: Prediction, labelled_at: str, result: RuleResult | None = None
    ) -> dict[str, Any]:
        """The output event's JSON object, as `streamer.formats.schema.LabelledReview` describes it."""
        record = review.record
        event: dict[str, Any] = {
            "id": review.id,
            "label": prediction.label,
            "score": round(prediction.score, 6),
            "confidence": round(prediction.confidence, 6),
            "tokens": prediction.tokens,
            "truncated": prediction.truncated,
            "coverage": round(prediction.coverage, 4),
            "event_time": rfc3339(review.event_time),
            "labelled_at": labelled_at,
            "group": review.group,
            "model": {"name": self.model_name, "version": self.model_version},
            "source": {"topic": record.topic, "partition": record.partition, "offset": record.offset},
        }
        if result is not None:
            event["action"] = result.action
            if result.rule is not None:
                event["rule"] = result.rule
        if prediction.evidence:
            event["evidence"] = [{"token": token, "weight": weight} for token, weight in prediction.evidence]
        if self.include_input:
            event["input"] = self._input(record)
        return event

    def _input(self, record: Record) -> Any:
        return self.value_format.to_json(record.value or b"")

    def tombstone(self, tombstone: Tombstone, now: int) -> Outgoing:
        """A tombstone with the same key, so that a compacted output topic stays correct."""
        record = tombstone.record
        message = Message(self.topic, record.key, None, _headers(record, rfc3339(now)), now, record.partition)
        return Outgoing(Outcome.TOMBSTONE, message)

    def skipped(self) -> Outgoing:
        """Nothing."""
        return Outgoing(Outcome.SKIPPED, Message(self.topic, None, None, (), 0, 0))

    def dead_letter(self, letter: DeadLetter, now: int) -> Outgoing:
        """The record with the reason in its headers."""
        message = dead_letter_message(letter, self.dead_letter_topic, self.group_id, now)
        return Outgoing(Outcome.DEAD_LETTER, message, reason=letter.reason)


def _headers(record: Record, time: str) -> Headers:
    own = without_cloudevent(record.headers)
    return (*own, *cloudevent_headers(record.identity.encode(), record.topic, RESULT_TYPE, time))
