"""The data that passes between stages: records as read, reviews, predictions, and messages as published.

These are named tuples: each review needs several, and a frozen dataclass takes three times as long to create.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, NamedTuple

# A header's value may be null, and a name may occur more than once.
Headers = tuple[tuple[str, bytes | None], ...]
Action = Literal["allow", "review", "block"]  # What moderation does with a review.


class TopicPartition(NamedTuple):
    """One partition of a topic. Equals and hashes like any (topic, partition) pair; as text `<topic>/<partition>`."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


def record_identity(topic: str, partition: int, offset: int) -> str:
    """`<topic>/<partition>/<offset>`: the same each time the record is read."""
    return f"{topic}/{partition}/{offset}"


class Record(NamedTuple):
    """A Kafka record as it was read; `timestamp` is in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def source(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    @property
    def identity(self) -> str:
        """As `record_identity` writes it."""
        return record_identity(self.topic, self.partition, self.offset)


class Reason(StrEnum):
    """Why a record became a dead letter: the closed set of `dlq.reason`."""

    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    BAD_CLOUDEVENT = "bad_cloudevent"
    TEXT_MISSING = "text_missing"
    TEXT_NOT_A_STRING = "text_not_a_string"
    LONE_SURROGATE = "lone_surrogate"
    MODEL_FAILED = "model_failed"


class CommitOutcome(StrEnum):
    """How a commit ended. SKIPPED: the group has rebalanced, another member owns the partitions. FAILED: try again."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


class Outcome(StrEnum):
    """The final outcome of a record."""

    LABELLED = "labelled"
    TOMBSTONE = "tombstone"
    DEAD_LETTER = "dead_letter"
    SKIPPED = "skipped"


class Review(NamedTuple):
    """A decoded record; `event_time` is in milliseconds since the epoch.

    replaced: what could not be used of the record.
    rules: indices of the moderation rules whose conditions on the review itself hold (`Moderation.applicable`).
    fields: the input object, for rules that check its fields; None once these have been evaluated.
    """

    record: Record
    text: str
    id: str | None
    event_time: int
    group: str | None
    replaced: tuple[Replaced, ...] = ()
    rules: tuple[int, ...] = ()
    fields: Mapping[str, Any] | None = None


class Replaced(NamedTuple):
    """A value of a review that could not be used, so that its stand-in is: one of REPLACED_VALUES."""

    field: str
    cause: str


# All there are, so that a metric may have them as labels.
REPLACED_VALUES = (
    Replaced("event_time", "unreadable"),
    Replaced("event_time", "in_the_future"),
    Replaced("id", "not_a_scalar"),
    Replaced("id", "not_utf8"),  # Of a CloudEvent's header.
    Replaced("group", "not_a_scalar"),
    Replaced("group", "too_long"),
    Replaced("text", "null"),
    Replaced("text", "missing"),
)


class Tombstone(NamedTuple):
    """A record with a null value: deletes its key from a compacted topic."""

    record: Record


class DeadLetter(NamedTuple):
    """A record that cannot be labelled, and the reason. `detail` is for people and never quotes the review."""

    record: Record
    reason: Reason
    detail: str


class Skipped(NamedTuple):
    """A record that is no review, by the settings: nothing is published for it, its offset goes on."""

    record: Record


Decoded = Review | Tombstone | DeadLetter | Skipped


class Weight(NamedTuple):
    """A token's share of the logit, to four decimals: above zero, it supports labels with a higher value."""

    token: str
    weight: float


class Prediction(NamedTuple):
    """The model's prediction for a text.

    label: one of the model's, `streamer.labels.LabelSet.names`.
    score: the expected value of the label, calibrated, in [0, 1]; with two labels P of the second.
    confidence: P of the likeliest class.
    tokens: the number of tokens that the model was given, after truncation.
    evidence: the strongest tokens first.
    coverage: the share of the text's words that the model knows, 0 to 1; below half the review is uncertain.
    """

    label: str
    score: float
    confidence: float
    tokens: int
    truncated: bool
    evidence: tuple[Weight, ...] = ()
    coverage: float = 1.0


class RuleResult(NamedTuple):
    """Moderation's action for a review, and the name of the rule that matched, None if none did."""

    action: Action
    rule: str | None


class Message(NamedTuple):
    """A Kafka message to publish; `timestamp` is in milliseconds since the epoch.

    source_partition: sets the partition of a message without a key (modulo the topic's count), so that order is kept.
    partition: the partition to use regardless of the key, if the topic has it.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int
    source_partition: int
    partition: int | None = None


class TrendSample(NamedTuple):
    """The contribution of a result to the trends.

    second: its event time, in seconds since the epoch. score: in millionths, as published.
    """

    second: int
    group: str | None
    label: str
    score: int


class Outgoing(NamedTuple):
    """The messages of one record, ready to be published. Only a result has a label and a sample.

    message: of a record that is skipped it is empty, and not among `messages`.

    action, rule: moderation's action and the rule that matched; None if moderation is off or no rule matched.
    copies: further messages that are sent together with `message`, after it.
    coverage: the prediction's; only a result has one.
    """

    outcome: Outcome
    message: Message
    reason: Reason | None = None
    label: str | None = None
    action: Action | None = None
    rule: str | None = None
    copies: tuple[Message, ...] = ()
    sample: TrendSample | None = None
    coverage: float | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        return () if self.outcome is Outcome.SKIPPED else (self.message, *self.copies)
