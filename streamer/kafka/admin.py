"""What `streamer check` asks the cluster, and the topics that it makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streamer.kafka.cluster import Cluster, Topic, TopicHidden, TopicRefused, connected
from streamer.kafka.errors import KafkaFault
from streamer.kafka.findings import Finding, agreement, apart, durability, grantee, permission, room
from streamer.kafka.reach import advertised, bootstrap
from streamer.kafka.wire import Operation
from streamer.settings import KafkaSettings, Settings

# What a new topic takes beyond the input topic's largest record, where it carries such records along.
_ROOM = 64 * 1024
_TREND_RETENTION_MS = 30 * 86_400_000  # As long as readers keep counts by the hour.


class _Role(NamedTuple):
    """One of the topics, and what the service does with it."""

    topic: str
    name: str
    operations: tuple[Operation, ...]

    @property
    def subject(self) -> str:
        return f"{self.name} topic {self.topic!r}"


class _New(NamedTuple):
    """How to make what is missing. A replication of -1 is the cluster's default."""

    partitions: int
    replication: int


async def check_cluster(settings: Settings, create_topics: bool, partitions: int, replication: int) -> list[Finding]:
    """Whether the service can run on this cluster: one finding for each thing looked at. Raises nothing of Kafka's.

    With `create_topics`, topics that are missing are made as `ensure_topics` makes them.
    """
    kafka = settings.kafka
    found: list[Finding] = []
    try:
        found += await bootstrap(kafka)
        if not any(finding.severity == "ok" for finding in found):
            return found
        async with connected(kafka) as cluster:
            found += await advertised(kafka, cluster.brokers())
            if all(finding.ok for finding in found):
                found += await _topics(cluster, settings, _New(partitions, replication) if create_topics else None)
                found += await _rights(cluster, kafka)
    except KafkaFault as error:
        found.append(Finding("error", "cluster", str(error)))
    return found


async def ensure_topics(settings: Settings, partitions: int, replication: int) -> list[str]:
    """Make those of the service's topics that are missing, and return their names.

    The input topic gets `partitions`, the output topic and the trends as many as the input topic has, and the dead
    letters one: they are few, and so they stay in the order in which they came. Where records are carried along whole,
    the new topic takes larger ones than the input topic. A replication of -1 is the cluster's default; from 3 on,
    writes wait for 2. Raises KafkaFault.
    """
    made = []
    async with connected(settings.kafka) as cluster:
        source = None
        for role in _roles(settings):
            topic = await cluster.topic(role.topic)
            if topic is None:
                topic = await _make(cluster, settings, role, source, _New(partitions, replication))
                made.append(role.topic)
            source = source or topic
    return made


def _roles(settings: Settings) -> Iterator[_Role]:
    """The input topic comes first: the others are made after it."""
    yield _Role(settings.input.topic, "input", (Operation.READ,))
    yield _Role(settings.output.topic, "output", (Operation.WRITE,))
    yield _Role(settings.dead_letter_topic, "dead-letter", (Operation.WRITE,))
    if settings.trends.enabled:  # Read by who takes a partition over: where to go on counting.
        yield _Role(settings.trend_topic, "trends", (Operation.WRITE, Operation.READ))


def _user(kafka: KafkaSettings) -> str | None:
    return kafka.security.username if kafka.security.protocol.startswith("SASL") else None


async def _topics(cluster: Cluster, settings: Settings, new: _New | None) -> list[Finding]:
    """The topics first, then how they go together, then what is allowed with them."""
    roles = list(_roles(settings))
    there: dict[str, Topic] = {}
    found = []
    for role in roles:
        finding, topic = await _look(cluster, settings, role, there.get(settings.input.topic), new)
        found.append(finding)
        if topic is not None:
            there[role.topic] = topic
    source, output, dead, *rest = (there.get(role.topic) for role in roles)
    if source and output:
        found.append(agreement(source, output))
    if source and dead:
        found.append(room(source, dead, roles[2].subject))
    if source and output and settings.output.include_input:
        found.append(room(source, output, roles[1].subject))
    if source and rest and rest[0]:
        found.append(apart(source, rest[0]))
    found += [durability(there[role.topic], role.subject) for role in roles[1:] if role.topic in there]
    user = _user(settings.kafka)
    for role in roles:
        if role.topic in there:
            allowed = there[role.topic].allowed
            found += [permission(allowed, operation, role.subject, user) for operation in role.operations]
    return found


async def _look(
    cluster: Cluster, settings: Settings, role: _Role, source: Topic | None, new: _New | None
) -> tuple[Finding, Topic | None]:
    """One topic, made where it is missing and that is wanted."""
    before = ""
    try:
        topic = await cluster.topic(role.topic)
        if topic is None:
            if new is None:
                return Finding("error", role.subject, "does not exist; `streamer check --create-topics` makes it"), None
            topic = await _make(cluster, settings, role, source, new)
            before = "made now: "
    except TopicHidden:
        granted = " and ".join(operation.name for operation in role.operations)
        detail = f"does not exist, or may not be seen: grant {granted} to {grantee(_user(settings.kafka))}"
        return Finding("error", role.subject, detail), None
    except TopicRefused as error:
        return Finding("error", role.subject, f"does not exist and was not made: {error}"), None
    if topic.leaderless:
        numbers = ", ".join(map(str, topic.leaderless))
        return Finding("error", role.subject, f"no broker leads partitions {numbers}: is one down?"), topic
    return Finding("ok", role.subject, f"{before}partitions: {topic.partitions}, replicas: {topic.replicas}"), topic


async def _make(cluster: Cluster, settings: Settings, role: _Role, source: Topic | None, new: _New) -> Topic:
    carries = role.name == "dead-letter" or (role.name == "output" and settings.output.include_input)
    config = {"min.insync.replicas": "2"} if new.replication >= 3 else {}
    if carries and source is not None and source.max_message_bytes is not None:
        config["max.message.bytes"] = str(source.max_message_bytes + _ROOM)
    if role.name == "trends":
        config |= {"cleanup.policy": "delete", "retention.ms": str(_TREND_RETENTION_MS)}
    partitions = new.partitions if source is None else source.partitions
    await cluster.create(role.topic, 1 if role.name == "dead-letter" else partitions, new.replication, config)
    topic = await cluster.topic(role.topic)
    if topic is None:
        raise TopicRefused("it was made, and is gone again")
    return topic


async def _rights(cluster: Cluster, kafka: KafkaSettings) -> list[Finding]:
    """What is allowed beside the topics: the group, and writing without duplicates."""
    user = _user(kafka)
    group = permission(await cluster.group(kafka.group_id), Operation.READ, f"group {kafka.group_id!r}", user)
    subject = "idempotent writing"
    if await cluster.idempotent_writes():
        return [group, Finding("ok", subject, "the broker gives us a producer id")]
    detail = (
        f"not allowed: grant IDEMPOTENT_WRITE on the cluster to {grantee(user)}, or WRITE on a topic from Kafka 2.8 on"
    )
    return [group, Finding("error", subject, detail)]
