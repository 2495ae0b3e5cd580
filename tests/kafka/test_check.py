"""What `streamer check` finds out about a cluster, and the topics that it creates."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Its own __all__ is not what it documents.
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)
from pydantic import SecretStr

from streamer.demo.embedded_broker import EmbeddedBroker
from streamer.kafka.check.checks import check_cluster
from streamer.kafka.check.connectivity import check_advertised_listeners, connection_failure
from streamer.kafka.check.findings import (
    Finding,
    durability,
    output_partitions,
    permission,
    record_size,
    transactional_ids,
    trend_partitions,
)
from streamer.kafka.check.topics import ensure_topics
from streamer.kafka.cluster import InitProducerIdOutcome, Topic, TopicCreationRefused, connected
from streamer.kafka.protocol import Operation, authorized_operations
from streamer.settings import (
    InputSettings,
    KafkaSettings,
    ModerationSettings,
    OutputSettings,
    RuleSettings,
    SecuritySettings,
    Settings,
    TrendSettings,
)
from tests.brokers import Cluster, NodeCluster, StartCluster

PASSWORD = "correct-horse"  # noqa: S105  # Of a broker that lives for one test.
SASL = {
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.sasl_plaintext.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule "
    f'required user_alice="{PASSWORD}";',
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",  # The test itself, by the PLAINTEXT listener.
}


def settings(bootstrap: str, topic: str | None = None, security: SecuritySettings | None = None) -> Settings:
    """The three topics are `topic`, `topic.labelled` and `topic.dlq`."""
    topic = topic or f"check-{uuid.uuid4().hex[:12]}"
    return Settings(
        kafka=KafkaSettings(
            bootstrap_servers=bootstrap,
            group_id="checked",
            security=security or SecuritySettings(),
            request_timeout_ms=10_000,
        ),
        input=InputSettings(topic=topic),
        output=OutputSettings(topic=f"{topic}.labelled"),
    )


def alice(password: str = PASSWORD) -> SecuritySettings:
    return SecuritySettings(protocol="SASL_PLAINTEXT", username="alice", password=SecretStr(password))


def of(findings: Iterable[Finding], severity: str) -> dict[str, str]:
    """The details of the findings of a severity, by subject."""
    return {finding.subject: finding.detail for finding in findings if finding.severity == severity}


def config(bootstrap: str, topic: str, name: str) -> str | None:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    value: str | None = admin.describe_configs([resource])[resource].result(10)[name].value
    return value


@pytest.mark.requires("admin")
async def test_topics_that_are_missing_are_errors(cluster: Cluster) -> None:
    """One each, which says how to create them; the check itself creates none."""
    wanted = settings(cluster.bootstrap)
    for _ in range(2):
        errors = of(await check_cluster(wanted, False, 3, 1), "error")
        assert list(errors) == [
            f"input topic '{wanted.input.topic}'",
            f"output topic '{wanted.output.topic}'",
            f"dead-letter topic '{wanted.dead_letter_topic}'",
        ]
        assert all("does not exist; `streamer check --create-topics`" in detail for detail in errors.values())


@pytest.mark.requires("admin")
async def test_topics_are_created_on_request(cluster: Cluster) -> None:
    """The output topic with the input topic's count, the dead letters with one partition and room for headers."""
    wanted = settings(cluster.bootstrap)
    findings = await check_cluster(wanted, True, 3, 1)
    assert of(findings, "error") == {}
    made = [finding.detail for finding in findings if finding.detail.startswith("made now")]
    assert made == [f"made now: partitions: {count}, replicas: 1" for count in (3, 3, 1)]
    sizes = [
        int(config(cluster.bootstrap, topic, "max.message.bytes") or 0)
        for topic in (wanted.input.topic, wanted.dead_letter_topic)
    ]
    assert sizes[1] == sizes[0] + 64 * 1024
    assert not any("made now" in finding.detail for finding in await check_cluster(wanted, True, 9, 1))


def moderating(bootstrap: str) -> Settings:
    rules = (RuleSettings(name="a", action="block", pattern="x"),)
    return settings(bootstrap).model_copy(update={"moderation": ModerationSettings(rules=rules)})


@pytest.mark.requires("admin")
async def test_the_topics_of_moderation_are_checked_if_it_has_rules(cluster: Cluster) -> None:
    """Without the review topic a worker cannot run; without the verdict topic it can."""
    wanted = moderating(cluster.bootstrap)
    findings = await check_cluster(wanted, False, 3, 1)
    assert f"review topic '{wanted.review_topic}'" in of(findings, "error")
    assert list(of(findings, "warning")) == [f"verdict topic '{wanted.verdict_topic}'"]


@pytest.mark.requires("admin")
async def test_the_topics_of_moderation_are_created_on_request(cluster: Cluster) -> None:
    """The review topic like the output topic, for larger records; the verdict topic is compacted."""
    wanted = moderating(cluster.bootstrap)
    assert of(await check_cluster(wanted, True, 3, 1), "error") == {}
    async with connected(wanted.kafka) as asked:
        topics = [await asked.topic(name) for name in (wanted.review_topic, wanted.verdict_topic)]
    assert [topic.partitions for topic in topics if topic is not None] == [3, 1]
    size = int(config(cluster.bootstrap, wanted.input.topic, "max.message.bytes") or 0)
    assert config(cluster.bootstrap, wanted.review_topic, "max.message.bytes") == str(size + 64 * 1024)
    assert config(cluster.bootstrap, wanted.verdict_topic, "cleanup.policy") == "compact"
    found = await check_cluster(wanted, False, 3, 1)
    assert f"record size of review topic '{wanted.review_topic}'" in of(found, "ok")


@pytest.mark.requires("admin")
async def test_the_trends_topic_is_checked_if_trends_are_enabled(cluster: Cluster) -> None:
    """Created with the input topic's partitions and kept for 30 days; with fewer partitions there is a warning."""
    wanted = settings(cluster.bootstrap).model_copy(update={"trends": TrendSettings(enabled=True)})
    assert f"trends topic '{wanted.trend_topic}'" in of(await check_cluster(wanted, False, 3, 1), "error")
    findings = await check_cluster(wanted, True, 3, 1)
    assert of(findings, "error") == {}
    assert of(findings, "ok")[f"trends topic '{wanted.trend_topic}'"] == "made now: partitions: 3, replicas: 1"
    assert config(cluster.bootstrap, wanted.trend_topic, "retention.ms") == "2592000000"
    assert {f"permission to {verb} trends topic '{wanted.trend_topic}'" for verb in ("read", "write")} <= {
        finding.subject for finding in findings
    }
    assert trend_partitions(Topic("in", 6, 1), Topic("trends", 6, 1)).severity == "ok"
    assert trend_partitions(Topic("in", 6, 1), Topic("trends", 1, 1)).severity == "warning"


@pytest.mark.requires("admin")
async def test_a_refused_topic_says_why(cluster: Cluster) -> None:
    """In the broker's words."""
    errors = of(await check_cluster(settings(cluster.bootstrap), True, 3, 100), "error")
    assert len(errors) == 3
    assert all("was not made" in detail and "100" in detail for detail in errors.values())
    with pytest.raises(TopicCreationRefused, match="100"):
        await ensure_topics(settings(cluster.bootstrap), 3, 100)


@pytest.mark.requires("admin")
async def test_ensure_topics_creates_only_what_is_missing(cluster: Cluster) -> None:
    """And returns the names; the output topic gets as many partitions as an existing input topic."""
    wanted = settings(cluster.bootstrap)
    cluster.create_topic(wanted.input.topic, 5, {})
    assert await ensure_topics(wanted, 2, -1) == [wanted.output.topic, wanted.dead_letter_topic]
    assert await ensure_topics(wanted, 2, -1) == []
    async with connected(wanted.kafka) as asked:
        output = await asked.topic(wanted.output.topic)
    assert output is not None
    assert output.partitions == 5


async def test_what_a_broker_does_not_report_is_no_error() -> None:
    """The embedded broker knows no admin requests. So it cannot create topics, and the finding says so."""
    with EmbeddedBroker({"reviews": 2, "reviews.labelled": 2}) as broker:
        wanted = settings(broker.bootstrap, "reviews")
        findings = await check_cluster(wanted, True, 2, 1)
        assert of(findings, "error") == {
            "dead-letter topic 'reviews.dlq'": "does not exist and was not made: this broker makes no topics on request"
        }
        broker.create_topic("reviews.dlq", 1)
        findings = await check_cluster(wanted, False, 2, 1)
    assert of(findings, "error") == {}
    not_reported = {subject for subject, detail in of(findings, "ok").items() if detail == "not reported by the broker"}
    assert not_reported == {
        "record size of dead-letter topic 'reviews.dlq'",
        "permission to read input topic 'reviews'",
        "permission to write output topic 'reviews.labelled'",
        "permission to write dead-letter topic 'reviews.dlq'",
        "permission to read group 'checked'",
    }


async def test_no_broker_is_one_finding() -> None:
    """And nothing else is checked."""
    found = await check_cluster(settings("127.0.0.1:1"), False, 1, 1)
    assert [(finding.severity, finding.subject) for finding in found] == [("error", "broker 127.0.0.1:1")]
    assert "nothing listens there" in found[0].detail


@pytest.mark.requires("admin")
async def test_one_bootstrap_server_is_enough(cluster: Cluster) -> None:
    """The others are warnings."""
    found = await check_cluster(settings(f"127.0.0.1:1,{cluster.bootstrap}"), True, 1, 1)
    assert of(found, "error") == {}
    assert "broker 127.0.0.1:1" in of(found, "warning")


async def test_an_unreachable_advertised_address_is_an_error() -> None:
    """Wrong advertised listeners are the most common mistake."""
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:2")
    (found,) = await check_advertised_listeners(kafka, {1: ("127.0.0.1", 2), 7: ("127.0.0.1", 1)})
    assert (found.severity, found.subject) == ("error", "broker 7")
    assert "advertises 127.0.0.1:1" in found.detail
    assert "advertised.listeners" in found.detail


@pytest.mark.requires("admin")
@pytest.mark.parametrize(
    "security",
    [
        pytest.param(SecuritySettings(protocol="SSL"), id="TLS"),
        pytest.param(alice(), id="SASL"),
    ],
)
async def test_the_wrong_protocol_is_named(cluster: Cluster, security: SecuritySettings) -> None:
    """The broker does not say what it expects: it closes the connection."""
    address = cluster.bootstrap.split(",")[0]
    why = await connection_failure(
        KafkaSettings(bootstrap_servers=address, security=security, request_timeout_ms=5000), address
    )
    assert why == f"it hung up on {security.protocol}: does kafka.security.protocol name the listener's own?"


async def test_a_refused_login_is_explained(start_cluster: StartCluster) -> None:
    """A wrong password, no SASL at all, another mechanism: an error each, and no password in it."""
    address = start_cluster(properties=SASL, listeners=("SASL_PLAINTEXT",)).address("SASL_PLAINTEXT")
    for security, why in (
        (alice("wrong-pony"), "PLAIN refused user 'alice': see kafka.security.username and password"),
        (SecuritySettings(), "it hung up on PLAINTEXT: does kafka.security.protocol name the listener's own?"),
        (
            alice().model_copy(update={"mechanism": "SCRAM-SHA-256"}),
            "it does not offer SCRAM-SHA-256: see kafka.security.mechanism",
        ),
    ):
        found = await check_cluster(settings(address, security=security), False, 1, 1)
        assert found == [Finding("error", f"broker {address}", why)]


async def test_missing_permissions_are_named(start_cluster: StartCluster) -> None:
    """Each is an error that says what to grant; there is no error when all are granted."""
    cluster = start_cluster(properties=SASL, listeners=("SASL_PLAINTEXT",))
    wanted = settings(cluster.address("SASL_PLAINTEXT"), "reviews", alice())
    await ensure_topics(settings(cluster.bootstrap, "reviews"), 1, 1)

    errors = of(await check_cluster(wanted, True, 1, 1), "error")
    hidden = "does not exist, or may not be seen: grant {} to user 'alice'"
    assert errors == {
        "input topic 'reviews'": hidden.format("READ"),
        "output topic 'reviews.labelled'": hidden.format("WRITE"),
        "dead-letter topic 'reviews.dlq'": hidden.format("WRITE"),
        "permission to read group 'checked'": "missing: grant READ to user 'alice'",
        "idempotent writing": "not allowed: grant IDEMPOTENT_WRITE on the cluster to user 'alice', "
        "or WRITE on a topic from Kafka 2.8 on",
    }

    grant(cluster, ResourceType.TOPIC, "reviews", AclOperation.DESCRIBE)
    grant(cluster, ResourceType.TOPIC, "reviews.labelled", AclOperation.WRITE)
    grant(cluster, ResourceType.TOPIC, "reviews.dlq", AclOperation.READ)
    errors = of(await check_cluster(wanted, False, 1, 1), "error")
    assert errors == {
        "permission to read input topic 'reviews'": "missing: grant READ to user 'alice'",
        "permission to write dead-letter topic 'reviews.dlq'": "missing: grant WRITE to user 'alice'",
        "permission to read group 'checked'": "missing: grant READ to user 'alice'",
    }

    grant(cluster, ResourceType.TOPIC, "reviews", AclOperation.READ)
    grant(cluster, ResourceType.TOPIC, "reviews.dlq", AclOperation.WRITE)
    grant(cluster, ResourceType.GROUP, "checked", AclOperation.READ)
    found = await check_cluster(wanted, False, 1, 1)
    assert of(found, "error") == {}
    assert of(found, "ok")["permission to read group 'checked'"] == "granted"
    assert "in the clear" in of(found, "warning")["kafka.security.protocol"]
    assert not any(PASSWORD in str(finding) for finding in found)


async def test_a_client_that_may_not_create_topics_is_told_which_acl_it_lacks(start_cluster: StartCluster) -> None:
    """A client that may see that a topic is missing may not always create it."""
    cluster = start_cluster(properties=SASL, listeners=("SASL_PLAINTEXT",))
    grant(cluster, ResourceType.TOPIC, "*", AclOperation.WRITE)
    found = await check_cluster(settings(cluster.address("SASL_PLAINTEXT"), "reviews", alice()), True, 1, 1)
    assert of(found, "error")["input topic 'reviews'"] == (
        "does not exist and was not made: this client may not make topics: grant it CREATE on the cluster or the topic"
    )


def grant(cluster: NodeCluster, kind: ResourceType, name: str, operation: AclOperation) -> None:
    """Grant alice an operation."""
    acl = AclBinding(kind, name, ResourcePatternType.LITERAL, "User:alice", "*", operation, AclPermissionType.ALLOW)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_acls([acl])[acl].result(10)


def test_authorized_operations_are_bits() -> None:
    """Bit n is the operation with code n; the smallest integer means that they are not reported."""
    assert authorized_operations(1 << 3 | 1 << 8 | 1 << 10) == frozenset((Operation.READ, Operation.DESCRIBE))
    assert authorized_operations(0) == frozenset()
    assert authorized_operations(-(1 << 31)) is None


@pytest.mark.parametrize(("count", "severity"), [(4, "ok"), (3, "warning"), (8, "warning")])
def test_the_output_topic_should_have_the_input_topics_partitions(count: int, severity: str) -> None:
    """Order is kept with any number, but joins by partition need the same."""
    found = output_partitions(Topic("in", 4, 1), Topic("out", count, 1))
    assert found.severity == severity
    assert severity == "ok" or "in order" in found.detail


@pytest.mark.parametrize(
    ("size", "severity"), [(1_000_000, "error"), (1_004_095, "error"), (1_004_096, "ok"), (None, "ok")]
)
def test_a_dead_letter_needs_room_for_its_headers(size: int | None, severity: str) -> None:
    """A topic that accepts no larger records than the input topic would stop the service."""
    source = Topic("in", 1, 1, max_message_bytes=1_000_000)
    assert record_size(source, Topic("dlq", 1, 1, max_message_bytes=size), "dead-letter topic").severity == severity


@pytest.mark.parametrize(
    ("replicas", "minimum", "severity", "word"),
    [
        (1, 1, "warning", "lost"),
        (1, 2, "warning", "no writes"),
        (2, 2, "warning", "nothing can be written"),
        (3, 1, "warning", "one broker only"),
        (3, 2, "ok", "min.insync.replicas 2"),
        (3, 3, "warning", "nothing can be written"),
        (3, None, "ok", "not reported"),
    ],
)
def test_acknowledged_records_should_survive_the_loss_of_a_broker(
    replicas: int, minimum: int | None, severity: str, word: str
) -> None:
    """And writing should go on while one broker is down."""
    found = durability(Topic("out", 1, replicas, min_insync_replicas=minimum), "output topic")
    assert found.severity == severity
    assert word in found.detail


def test_a_permission_is_granted_missing_or_not_reported() -> None:
    """Only one that is reported as missing is an error."""
    severities = [
        permission(allowed, Operation.READ, "topic", None).severity
        for allowed in ({Operation.READ}, {Operation.WRITE}, frozenset[Operation](), None)
    ]
    assert severities == ["ok", "error", "error", "ok"]


@pytest.mark.parametrize("outcome", InitProducerIdOutcome)
def test_only_a_granted_transactional_id_is_ok(outcome: InitProducerIdOutcome) -> None:
    """All other outcomes are errors that name the prefix."""
    found = transactional_ids(outcome, "streamer", 60_000, None)
    assert found.subject == "transactional ids 'streamer/...'"
    assert found.ok == (outcome is InitProducerIdOutcome.GRANTED)
