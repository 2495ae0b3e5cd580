"""Faults of the cluster: they stop the service, and nothing is committed that was not published."""

from __future__ import annotations

from aiokafka.errors import ClusterAuthorizationFailedError


class KafkaFault(Exception):
    """The cluster cannot be worked with; the message says what and where."""


class BrokerUnreachable(KafkaFault):
    """No broker answered, or none let us in."""


class NotIdempotent(KafkaFault):
    """This client may not have a producer id: what it lacks is an ACL, which Kafka's own message does not name."""

    def __init__(self) -> None:
        super().__init__(
            "not allowed to write without duplicates (ClusterAuthorizationFailed): grant this client WRITE on the "
            "topics that it writes to and, before Kafka 2.8, IDEMPOTENT_WRITE on the cluster"
        )


def unreachable(servers: str, error: BaseException) -> KafkaFault:
    """The fault for an error while connecting to the bootstrap servers; `streamer check` says more."""
    if isinstance(error, ClusterAuthorizationFailedError):
        return NotIdempotent()
    why = "no answer in time" if isinstance(error, TimeoutError) else str(error)
    if "Unable to bootstrap" in why:  # aiokafka's, with the addresses as Python writes them; its log has the cause.
        why = "none of them can be reached and lets us in"
    return BrokerUnreachable(
        f"kafka.bootstrap_servers {servers}: {why}; `streamer check` says which setting to look at"
    )


class TopicMissing(KafkaFault):
    """A topic that is needed is not there."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            f"topic {topic!r} does not exist, or may not be seen: `streamer check` says which, "
            "and with --create-topics makes what is missing"
        )


class PublishRefused(KafkaFault):
    """The broker refused a message for good."""
