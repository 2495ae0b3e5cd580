"""The checks of `streamer check`, in order."""

from __future__ import annotations

from streamer.kafka.check.connectivity import check_advertised_listeners, check_bootstrap_servers
from streamer.kafka.check.findings import (
    Finding,
    Severity,
    durability,
    idempotent_writes,
    output_partitions,
    permission,
    principal,
    record_size,
    transactional_ids,
    trend_partitions,
)
from streamer.kafka.check.topics import NewTopics, TopicRole, create_topic, includes_input, topic_roles
from streamer.kafka.cluster import Cluster, Topic, TopicCreationRefused, TopicNotAuthorized, connected
from streamer.kafka.errors import KafkaFault
from streamer.kafka.protocol import Operation
from streamer.settings import KafkaSettings, Settings


async def check_cluster(
    settings: Settings, create_topics: bool, partitions: int, replication_factor: int
) -> list[Finding]:
    """Whether the service can run on this cluster: one finding for each check. Kafka's errors become findings.

    With `create_topics`, missing topics are created as `ensure_topics` creates them. With exactly-once delivery a
    transactional id is initialised, `<prefix>/<group>/<topic>/check`. Raises SettingsError if a certificate file cannot
    be used.
    """
    kafka = settings.kafka
    findings: list[Finding] = []
    try:
        findings += await check_bootstrap_servers(kafka)
        if not any(finding.severity == "ok" for finding in findings):
            return findings
        async with connected(kafka) as cluster:
            findings += await check_advertised_listeners(kafka, cluster.brokers())
            if all(finding.ok for finding in findings):
                new = NewTopics(partitions, replication_factor) if create_topics else None
                findings += await _check_topics(cluster, settings, new)
                findings += await _check_group_and_writes(cluster, kafka)
                if settings.delivery == "exactly_once":
                    findings.append(await _check_transactional_ids(cluster, settings))
    except KafkaFault as error:
        findings.append(Finding("error", "cluster", str(error)))
    return findings


async def _check_topics(cluster: Cluster, settings: Settings, new: NewTopics | None) -> list[Finding]:
    """Whether the topics exist, whether they match each other, and what this client may do with them."""
    roles = list(topic_roles(settings))
    topics: dict[str, Topic] = {}
    findings = []
    for role in roles:
        finding, topic = await _check_topic(cluster, settings, role, topics.get(settings.input.topic), new)
        findings.append(finding)
        if topic is not None:
            topics[role.topic] = topic
    source, output = topics.get(settings.input.topic), topics.get(settings.output.topic)
    if source and output:
        findings.append(output_partitions(source, output))
    including = [role for role in (roles[2], roles[1], *roles[3:]) if includes_input(settings, role)]
    if source:
        findings += [
            record_size(source, topics[role.topic], role.subject) for role in including if role.topic in topics
        ]
    trends = topics.get(settings.trend_topic) if settings.trends.enabled else None
    if source and trends:
        findings.append(trend_partitions(source, trends))
    findings += [durability(topics[role.topic], role.subject) for role in roles[1:] if role.topic in topics]
    user = _user(settings.kafka)
    for role in roles:
        if role.topic in topics and role.required:
            authorized = topics[role.topic].authorized_operations
            findings += [permission(authorized, operation, role.subject, user) for operation in role.operations]
    return findings


async def _check_topic(
    cluster: Cluster, settings: Settings, role: TopicRole, source: Topic | None, new: NewTopics | None
) -> tuple[Finding, Topic | None]:
    """Whether a topic exists. It is created if it is missing and `new` is given."""
    created = ""
    missing: Severity = "error" if role.required else "warning"
    try:
        topic = await cluster.topic(role.topic)
        if topic is None:
            if new is None:
                return Finding(missing, role.subject, "does not exist; `streamer check --create-topics` makes it"), None
            topic = await create_topic(cluster, settings, role, source, new)
            created = "made now: "
    except TopicNotAuthorized:
        operations = " and ".join(operation.name for operation in role.operations)
        detail = f"does not exist, or may not be seen: grant {operations} to {principal(_user(settings.kafka))}"
        return Finding(missing, role.subject, detail), None
    except TopicCreationRefused as error:
        return Finding("error", role.subject, f"does not exist and was not made: {error}"), None
    if topic.leaderless:
        numbers = ", ".join(map(str, topic.leaderless))
        return Finding("error", role.subject, f"partitions {numbers} have no leader: is a broker down?"), topic
    return Finding("ok", role.subject, f"{created}partitions: {topic.partitions}, replicas: {topic.replicas}"), topic


async def _check_group_and_writes(cluster: Cluster, kafka: KafkaSettings) -> list[Finding]:
    user = _user(kafka)
    operations = await cluster.group_operations(kafka.group_id)
    return [
        permission(operations, Operation.READ, f"group {kafka.group_id!r}", user),
        idempotent_writes(await cluster.idempotent_writes(), user),
    ]


async def _check_transactional_ids(cluster: Cluster, settings: Settings) -> Finding:
    """Initialises an id that no partition has, so that no worker is fenced."""
    kafka = settings.kafka
    unused_id = f"{kafka.transactional_id_prefix}/{kafka.group_id}/{settings.input.topic}/check"
    outcome = await cluster.init_transactional_id(unused_id, kafka.transaction_timeout_ms)
    return transactional_ids(outcome, kafka.transactional_id_prefix, kafka.transaction_timeout_ms, _user(kafka))


def _user(kafka: KafkaSettings) -> str | None:
    return kafka.security.username if kafka.security.protocol.startswith("SASL") else None
