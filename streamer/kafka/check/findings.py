"""What the facts about a cluster mean for the service: converts facts to findings. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from streamer.kafka.cluster import InitProducerIdOutcome, Topic
from streamer.kafka.protocol import Operation

Severity = Literal["ok", "warning", "error"]

# A dead letter is a whole input record and its `dlq.*` headers, which take up less than this.
ADDED_HEADER_BYTES = 4 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `detail` says what was found and, unless it is ok, what to do.

    warning: the service works, with a weakness. error: it does not work.
    """

    severity: Severity
    subject: str
    detail: str

    @property
    def ok(self) -> bool:
        """Whether the service can run despite it."""
        return self.severity != "error"


def output_partitions(source: Topic, output: Topic) -> Finding:
    """Whether the output topic has as many partitions as the input topic."""
    subject = f"partitions of output topic {output.name!r}"
    if source.partitions == output.partitions:
        return Finding("ok", subject, f"{output.partitions}, as many as the input topic has")
    return Finding(
        "warning",
        subject,
        f"{output.partitions}, but the input topic has {source.partitions}. All results of a key, or of an input "
        "partition without keys, still go to one partition, in order; but it has another number than the review's, "
        "so joins by partition with the input do not work. Give both topics the same count",
    )


def trend_partitions(source: Topic, trends: Topic) -> Finding:
    """Whether the counts of each input partition have their own partition of the trends topic."""
    subject = f"partitions of trends topic {trends.name!r}"
    if trends.partitions >= source.partitions:
        return Finding("ok", subject, f"{trends.partitions}, one for each of the input topic")
    return Finding(
        "warning",
        subject,
        f"{trends.partitions}, but the input topic has {source.partitions}: counts share partitions, and a worker that "
        "takes one over may have to read far back. Give both topics the same count",
    )


def record_size(source: Topic, target: Topic, subject: str) -> Finding:
    """Whether a topic accepts the input topic's largest record together with the added headers."""
    subject = f"record size of {subject}"
    if source.max_message_bytes is None or target.max_message_bytes is None:
        return Finding("ok", subject, "not reported by the broker")
    needed = source.max_message_bytes + ADDED_HEADER_BYTES
    if target.max_message_bytes >= needed:
        return Finding("ok", subject, f"max.message.bytes is {target.max_message_bytes}, enough for any input record")
    return Finding(
        "error",
        subject,
        f"max.message.bytes is {target.max_message_bytes}, the input topic's {source.max_message_bytes}: its largest "
        f"records would stop the service. Set it to {needed} or more",
    )


def durability(topic: Topic, subject: str) -> Finding:
    """Whether acknowledged records survive the loss of a broker, and whether writing continues."""
    subject = f"durability of {subject}"
    replicas, minimum = topic.replicas, topic.min_insync_replicas
    reported = "not reported by the broker" if minimum is None else minimum
    facts = f"{replicas} replica{'s' if replicas > 1 else ''}, min.insync.replicas {reported}"
    if minimum is not None and minimum > replicas:
        return Finding("warning", subject, f"{facts}: older brokers accept no writes with that. Use more replicas")
    if replicas == 1:
        return Finding("warning", subject, f"{facts}: if a broker is lost, so are results. Use 3 replicas")
    if minimum == 1:
        return Finding("warning", subject, f"{facts}: acknowledged records may be on one broker only. Set it to 2")
    if minimum == replicas:
        return Finding("warning", subject, f"{facts}: while a broker is down nothing can be written. Use more replicas")
    return Finding("ok", subject, facts)


def permission(authorized: Iterable[Operation] | None, operation: Operation, subject: str, user: str | None) -> Finding:
    """Whether an operation is authorized; `authorized` is None if the broker does not report it."""
    verb, name = operation.name.lower(), operation.name
    subject = f"permission to {verb} {subject}"
    if authorized is None:
        return Finding("ok", subject, "not reported by the broker")
    if operation in authorized:
        return Finding("ok", subject, "granted")
    return Finding("error", subject, f"missing: grant {name} to {principal(user)}")


def idempotent_writes(authorized: bool, user: str | None) -> Finding:
    """Whether the broker assigns this client a producer id."""
    subject = "idempotent writing"
    if authorized:
        return Finding("ok", subject, "the broker assigns a producer id")
    detail = f"grant IDEMPOTENT_WRITE on the cluster to {principal(user)}, or WRITE on a topic from Kafka 2.8 on"
    return Finding("error", subject, f"not allowed: {detail}")


def transactional_ids(outcome: InitProducerIdOutcome, prefix: str, timeout_ms: int, user: str | None) -> Finding:
    """Whether transactions may be written, judging by a transactional id that begins with the prefix."""
    subject = f"transactional ids {f'{prefix}/...'!r}"
    match outcome:
        case InitProducerIdOutcome.GRANTED:
            return Finding("ok", subject, "granted")
        case InitProducerIdOutcome.TIMEOUT_TOO_LONG:
            detail = (
                f"the broker allows less than kafka.transaction_timeout_ms {timeout_ms}: "
                "see its transaction.max.timeout.ms"
            )
        case InitProducerIdOutcome.UNSUPPORTED:
            detail = "this broker has no transactions: exactly-once delivery needs Kafka 2.5 or later"
        case InitProducerIdOutcome.NOT_AUTHORIZED:
            detail = (
                f"missing: grant WRITE on the transactional ids that begin with {prefix!r} "
                f"(kafka.transactional_id_prefix; an ACL of the pattern type prefixed) to {principal(user)}"
            )
    return Finding("error", subject, detail)


def principal(user: str | None) -> str:
    """The principal that an ACL has to name."""
    return "this client" if user is None else f"user {user!r}"
