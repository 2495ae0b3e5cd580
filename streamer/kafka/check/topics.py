"""The topics of the service: their roles, which of them are missing, and how they are created."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streamer.kafka.cluster import Cluster, Topic, TopicCreationRefused, TopicNotAuthorized, connected
from streamer.kafka.protocol import Operation
from streamer.settings import KafkaSettings, Settings

# How much larger than the input topic's largest record a new topic's records may be, if they include the input record.
_ADDED_BYTES = 64 * 1024
_TREND_RETENTION_MS = 30 * 86_400_000  # As long as readers keep hourly counts.


class TopicRole(NamedTuple):
    """A topic and what the service does with it. required: the service cannot run without it."""

    topic: str
    name: str
    operations: tuple[Operation, ...]
    required: bool = True

    @property
    def subject(self) -> str:
        return f"{self.name} topic {self.topic!r}"


class NewTopics(NamedTuple):
    """How to create missing topics. A replication factor of -1 is the cluster's default."""

    partitions: int
    replication_factor: int


def topic_roles(settings: Settings) -> Iterator[TopicRole]:
    """The topics that these settings use. The input topic comes first: the others are created to match it."""
    yield TopicRole(settings.input.topic, "input", (Operation.READ,))
    yield TopicRole(settings.output.topic, "output", (Operation.WRITE,))
    yield TopicRole(settings.dead_letter_topic, "dead-letter", (Operation.WRITE,))
    if settings.trends.enabled:  # A new owner of a partition reads where to continue counting.
        yield TopicRole(settings.trend_topic, "trends", (Operation.WRITE, Operation.READ))
    if settings.moderation.rules:
        yield TopicRole(settings.review_topic, "review", (Operation.WRITE,))
        yield TopicRole(settings.verdict_topic, "verdict", (Operation.WRITE,), required=False)


def includes_input(settings: Settings, role: TopicRole) -> bool:
    """Whether the records of this topic include the input record."""
    return role.name in ("dead-letter", "review") or (role.name == "output" and settings.output.include_input)


async def missing_topics(kafka: KafkaSettings, *topics: str) -> list[str]:
    """The topics that do not exist or are not visible to this client. Raises BrokerUnreachable."""
    missing = []
    async with connected(kafka) as cluster:
        for topic in topics:
            try:
                if await cluster.topic(topic) is None:
                    missing.append(topic)
            except TopicNotAuthorized:
                missing.append(topic)
    return missing


async def ensure_topics(settings: Settings, partitions: int, replication_factor: int) -> list[str]:
    """Create the topics that are missing, and return their names.

    | topic | partitions | configuration |
    |---|---|---|
    | input | `partitions` | |
    | output, trends, review | as the input topic | trends are kept for 30 days |
    | dead letters | 1: they stay in their order of arrival | |
    | verdicts | 1, likewise | compacted: the newest of each review is kept |

    Topics whose records include the input record accept larger records than the input topic. A replication factor of -1
    is the cluster's default; from 3 on, writes wait for two replicas. Raises KafkaFault.
    """
    created = []
    async with connected(settings.kafka) as cluster:
        source = None
        for role in topic_roles(settings):
            topic = await cluster.topic(role.topic)
            if topic is None:
                topic = await create_topic(cluster, settings, role, source, NewTopics(partitions, replication_factor))
                created.append(role.topic)
            source = source or topic
    return created


async def create_topic(
    cluster: Cluster, settings: Settings, role: TopicRole, source: Topic | None, new: NewTopics
) -> Topic:
    """Create one topic to match the input topic, `source`. Raises TopicCreationRefused."""
    config = {"min.insync.replicas": "2"} if new.replication_factor >= 3 else {}
    if role.name == "verdict":
        config["cleanup.policy"] = "compact"
    if role.name == "trends":
        config |= {"cleanup.policy": "delete", "retention.ms": str(_TREND_RETENTION_MS)}
    if includes_input(settings, role) and source is not None and source.max_message_bytes is not None:
        config["max.message.bytes"] = str(source.max_message_bytes + _ADDED_BYTES)
    as_input = new.partitions if source is None else source.partitions
    partitions = {"input": new.partitions, "output": as_input, "trends": as_input, "review": as_input}
    await cluster.create_topic(role.topic, partitions.get(role.name, 1), new.replication_factor, config)
    topic = await cluster.topic(role.topic)
    if topic is None:
        raise TopicCreationRefused("it was created, but no longer exists")
    return topic
