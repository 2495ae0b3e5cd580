"""Faults of the cluster: they stop the service, and nothing is committed that was not published."""

from __future__ import annotations


class KafkaFault(Exception):
    """The cluster cannot be worked with; the message says what and where."""


class BrokerUnreachable(KafkaFault):
    """No broker answered, or none let us in."""


class TopicMissing(KafkaFault):
    """A topic that is needed is not there."""


class PublishRefused(KafkaFault):
    """The broker refused a message for good."""
