"""Cluster errors that stop the service. Offsets of unpublished results are not committed."""

from __future__ import annotations

from aiokafka.errors import ClusterAuthorizationFailedError


class KafkaFault(Exception):
    """The service cannot work with the cluster. The message says what is wrong and where."""


class BrokerUnreachable(KafkaFault):
    """No broker answered, or none accepted this client."""


class NotIdempotent(KafkaFault):
    """This client may not have a producer id. Kafka's own message does not name the ACL that is missing."""

    def __init__(self) -> None:
        super().__init__(
            "not allowed to write without duplicates (ClusterAuthorizationFailed): grant this client WRITE on the "
            "topics that it writes to and, before Kafka 2.8, IDEMPOTENT_WRITE on the cluster"
        )


def unreachable(servers: str, error: BaseException) -> KafkaFault:
    """The exception for an error while connecting to the bootstrap servers. `streamer check` finds the cause."""
    if isinstance(error, ClusterAuthorizationFailedError):
        return NotIdempotent()
    reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
    if "Unable to bootstrap" in reason:  # aiokafka logs the cause, and repeats the addresses in this message.
        reason = "none of them accepts a connection"
    return BrokerUnreachable(
        f"kafka.bootstrap_servers {servers}: {reason}; `streamer check` says which setting to look at"
    )


def describe(error: BaseException) -> str:
    """The error's message, or its type if it has none."""
    return str(error) or type(error).__name__


class TopicMissing(KafkaFault):
    """A required topic does not exist."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            f"topic {topic!r} does not exist, or may not be seen: `streamer check` says which, "
            "and `streamer check --create-topics` creates missing topics"
        )


class PublishRefused(KafkaFault):
    """The broker refused a message. Sending it again would not help."""
