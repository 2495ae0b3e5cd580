"""What `streamer check` asks the cluster, and the topics that it makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streamer.kafka.check.connectivity import advertised, bootstrap
from streamer.kafka.check.findings import (
    Finding,
    Severity,
    agreement,
    apart,
    durability,
    grantee,
    permission,
    room,
    transactions,
)
from streamer.kafka.cluster import Cluster, Topic, TopicHidden, TopicRefused, connected
from streamer.kafka.errors import KafkaFault
from streamer.kafka.protocol import Operation
from streamer.settings import KafkaSettings, Settings

# What a new topic takes beyond the input topic's largest record, where it carries such records along.
_ROOM = 64 * 1024
_TREND_RETENTION_MS = 30 * 86_400_000  # As long as readers keep counts by the hour.


class _Role(NamedTuple):
    """One of the topics, and what the service does with it; `needed` when it cannot run without."""

    topic: str
    name: str
    operations: tuple[Operation, ...]
    needed: bool = True

    @property
    def subject(self) -> str:
        return f"{self.name} topic {self.topic!r}"


class _New(NamedTuple):
    """How to make what is missing. A replication of -1 is the cluster's default."""

    partitions: int
    replication: int


async def check_cluster(settings: Settings, create_topics: bool, partitions: int, replication: int) -> list[Finding]:
    """Whether the service can run on this cluster: one finding for each thing looked at. Raises nothing of Kafka's.

    With `create_topics`, topics that are missing are made as `ensure_topics` makes them. With exactly-once delivery a
    transactional id is taken, `<prefix>/<group>/<topic>/check`. Raises SettingsError where a certificate file cannot be
    used.
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
                if settings.delivery == "exactly_once":
                    found.append(await _transactions(cluster, settings))
    except KafkaFault as error:
        found.append(Finding("error", "cluster", str(error)))
    return found


async def ensure_topics(settings: Settings, partitions: int, replication: int) -> list[str]:
    """Make those of the topics that are missing, and return their names; those of moderation where it has rules.

    The input topic gets `partitions`, the output topic, the trends and the review topic as many as the input topic
    has, and dead letters and verdicts one: they are few, and so they stay in the order in which they came. Where
    records are carried along whole, the new topic takes larger ones than the input topic; of verdicts the newest of
    each review are kept. A replication of -1 is the cluster's default; from 3 on, writes wait for 2. Raises KafkaFault.
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
    if settings.moderation.rules:
        yield _Role(settings.review_topic, "review", (Operation.WRITE,))
        yield _Role(settings.verdict_topic, "verdict", (Operation.WRITE,), needed=False)


def _carries(settings: Settings, role: _Role) -> bool:
    """Whether the input is carried along in this topic's records."""
    return role.name in ("dead-letter", "review") or (role.name == "output" and settings.output.include_input)


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
    source, output = there.get(settings.input.topic), there.get(settings.output.topic)
    if source and output:
        found.append(agreement(source, output))
    carrying = [role for role in (roles[2], roles[1], *roles[3:]) if _carries(settings, role)]
    if source:
        found += [room(source, there[role.topic], role.subject) for role in carrying if role.topic in there]
    counted = there.get(settings.trend_topic) if settings.trends.enabled else None
    if source and counted:
        found.append(apart(source, counted))
    found += [durability(there[role.topic], role.subject) for role in roles[1:] if role.topic in there]
    user = _user(settings.kafka)
    for role in roles:
        if role.topic in there and role.needed:
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
                missing: Severity = "error" if role.needed else "warning"
                return Finding(missing, role.subject, "does not exist; `streamer check --create-topics` makes it"), None
            topic = await _make(cluster, settings, role, source, new)
            before = "made now: "
    except TopicHidden:
        granted = " and ".join(operation.name for operation in role.operations)
        detail = f"does not exist, or may not be seen: grant {granted} to {grantee(_user(settings.kafka))}"
        return Finding("error" if role.needed else "warning", role.subject, detail), None
    except TopicRefused as error:
        return Finding("error", role.subject, f"does not exist and was not made: {error}"), None
    if topic.leaderless:
        numbers = ", ".join(map(str, topic.leaderless))
        return Finding("error", role.subject, f"no broker leads partitions {numbers}: is one down?"), topic
    return Finding("ok", role.subject, f"{before}partitions: {topic.partitions}, replicas: {topic.replicas}"), topic


async def _make(cluster: Cluster, settings: Settings, role: _Role, source: Topic | None, new: _New) -> Topic:
    config = {"min.insync.replicas": "2"} if new.replication >= 3 else {}
    if role.name == "verdict":
        config["cleanup.policy"] = "compact"
    if _carries(settings, role) and source is not None and source.max_message_bytes is not None:
        config["max.message.bytes"] = str(source.max_message_bytes + _ROOM)
    if role.name == "trends":
        config |= {"cleanup.policy": "delete", "retention.ms": str(_TREND_RETENTION_MS)}
    alike = new.partitions if source is None else source.partitions
    counts = {"input": new.partitions, "output": alike, "trends": alike, "review": alike}
    await cluster.create(role.topic, counts.get(role.name, 1), new.replication, config)
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


async def _transactions(cluster: Cluster, settings: Settings) -> Finding:
    """Whether transactional ids may be used: one is taken that no partition has, hence no worker is fenced."""
    kafka = settings.kafka
    ours = f"{kafka.transactional_id_prefix}/{kafka.group_id}/{settings.input.topic}/check"
    taken = await cluster.init_transactional_id(ours, kafka.transaction_timeout_ms)
    return transactions(taken, kafka.transactional_id_prefix, kafka.transaction_timeout_ms, _user(kafka))
