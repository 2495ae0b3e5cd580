"""Faults of the cluster: they stop the service, and nothing is committed that was not published."""

from __future__ import annotations


class KafkaFault(Exception):
    """The cluster cannot be worked with; the message says what and where."""


class BrokerUnreachable(KafkaFault):
    """No broker answered, or none let us in."""


def unreachable(servers: str, error: BaseException) -> BrokerUnreachable:
    """The fault for an error while connecting to the bootstrap servers; `streamer check` says more."""
    why = "no answer in time" if isinstance(error, TimeoutError) else str(error)
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
