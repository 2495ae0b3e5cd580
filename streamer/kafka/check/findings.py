"""What is to be said of the topics and of what is allowed. Pure: from facts to findings, in plain words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from streamer.kafka.cluster import InitOutcome, Topic
from streamer.kafka.protocol import Operation

Severity = Literal["ok", "warning", "error"]

# A dead letter is a whole input record and its `dlq.*` headers, which take up less than this.
HEADERS_ROOM = 4 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `detail` says what was found and, unless it is ok, what to do.

    warning: it works, with a weakness. error: it does not work.
    """

    severity: Severity
    subject: str
    detail: str

    @property
    def ok(self) -> bool:
        """Whether the service can run with it."""
        return self.severity != "error"


def agreement(source: Topic, output: Topic) -> Finding:
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


def apart(source: Topic, trends: Topic) -> Finding:
    """Whether each partition's counts have a partition of the trends topic to themselves."""
    subject = f"partitions of trends topic {trends.name!r}"
    if trends.partitions >= source.partitions:
        return Finding("ok", subject, f"{trends.partitions}, one for each of the input topic")
    return Finding(
        "warning",
        subject,
        f"{trends.partitions}, but the input topic has {source.partitions}: counts share partitions, and a worker that "
        "takes one over may have to read far back. Give both topics the same count",
    )


def room(source: Topic, target: Topic, subject: str) -> Finding:
    """Whether a topic takes the largest record of the input topic and the headers that are added to it."""
    subject = f"record size of {subject}"
    if source.max_message_bytes is None or target.max_message_bytes is None:
        return Finding("ok", subject, "not told by the broker")
    needed = source.max_message_bytes + HEADERS_ROOM
    if target.max_message_bytes >= needed:
        return Finding("ok", subject, f"max.message.bytes is {target.max_message_bytes}, enough for any input record")
    return Finding(
        "error",
        subject,
        f"max.message.bytes is {target.max_message_bytes}, the input topic's {source.max_message_bytes}: its largest "
        f"records would stop the service. Set it to {needed} or more",
    )


def durability(topic: Topic, subject: str) -> Finding:
    """Whether what is acknowledged survives a broker, and whether writing does."""
    subject = f"durability of {subject}"
    replicas, minimum = topic.replicas, topic.min_insync_replicas
    told = f"{replicas} replica{'s' if replicas > 1 else ''}, min.insync.replicas {minimum or 'not told by the broker'}"
    if minimum is not None and minimum > replicas:
        return Finding("warning", subject, f"{told}: older brokers take no writes with that. Use more replicas")
    if replicas == 1:
        return Finding("warning", subject, f"{told}: a broker that is lost takes results with it. Use 3 replicas")
    if minimum == 1:
        return Finding("warning", subject, f"{told}: what is acknowledged may be on one broker only. Set it to 2")
    if minimum == replicas:
        return Finding("warning", subject, f"{told}: with one broker away nothing can be written. Use more replicas")
    return Finding("ok", subject, told)


def permission(allowed: Iterable[Operation] | None, operation: Operation, subject: str, user: str | None) -> Finding:
    """Whether an operation is allowed; `allowed` is None where the broker does not tell."""
    verb, name = operation.name.lower(), operation.name
    subject = f"permission to {verb} {subject}"
    if allowed is None:
        return Finding("ok", subject, "not told by the broker")
    if operation in allowed:
        return Finding("ok", subject, "granted")
    return Finding("error", subject, f"missing: grant {name} to {grantee(user)}")


def transactions(taken: InitOutcome, prefix: str, timeout_ms: int, user: str | None) -> Finding:
    """Whether transactions may be written: from what came of taking a transactional id that begins with the prefix."""
    subject = f"transactional ids {f'{prefix}/...'!r}"
    if taken == "taken":
        return Finding("ok", subject, "granted")
    if taken == "timeout too long":
        detail = (
            f"the broker allows less than kafka.transaction_timeout_ms {timeout_ms}: see its transaction.max.timeout.ms"
        )
    elif taken == "no transactions":
        detail = "this broker has no transactions: exactly-once delivery needs Kafka 2.5 or later"
    else:
        detail = (
            f"missing: grant WRITE on the transactional ids that begin with {prefix!r} "
            f"(kafka.transactional_id_prefix; an ACL of the pattern type prefixed) to {grantee(user)}"
        )
    return Finding("error", subject, detail)


def grantee(user: str | None) -> str:
    """Whom to grant something."""
    return "this client" if user is None else f"user {user!r}"
