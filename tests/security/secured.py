"""A broker that wants to know who comes: its listeners, its users, and what they may do."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, cast

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Its own __all__ is not what it documents.
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from pydantic import SecretStr

from streamer.settings import SecuritySettings
from tests.brokers import Cluster
from tests.security.certificates import CLIENT, HOST, Certificates

# Each by the name of its listener; the protocol where that is not the name.
LISTENERS = {
    "SSL": "SSL",
    "MUTUAL": "SSL",  # Wants a certificate of the client.
    "EXPIRED": "SSL",
    "ELSEWHERE": "SSL",  # Its certificate is for localhost, but it says to be at 127.0.0.1.
    "SASL_PLAINTEXT": "SASL_PLAINTEXT",
    "SASL_SSL": "SASL_SSL",
}
USER = "alice"
PASSWORD = "correct-horse"  # noqa: S105  # Of a broker that lives for one session.
SCRAM = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}
_TIMEOUT_S = 10.0
_LOGIN = "org.apache.kafka.common.security"
_JAAS = {
    "plain": f'{_LOGIN}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
    "scram-sha-256": f"{_LOGIN}.scram.ScramLoginModule required;",
    "scram-sha-512": f"{_LOGIN}.scram.ScramLoginModule required;",
    # Kafka's own validator of unsigned tokens: it looks at the form, the subject and the time of expiry.
    "oauthbearer": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required;",
}


def properties(certificates: Certificates) -> dict[str, str]:
    """Broker properties: TLS and SASL on the listeners, and nobody may do anything but USER, CLIENT and the test."""
    protocols = {"CONTROLLER": "PLAINTEXT", "PLAINTEXT": "PLAINTEXT"} | LISTENERS
    given = {
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "sasl.enabled.mechanisms": ",".join(mechanism.upper() for mechanism in _JAAS),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        # Who comes by PLAINTEXT, or by TLS without a certificate, is the test itself.
        "super.users": f"User:ANONYMOUS;User:{USER};User:{CLIENT}",
    }
    good = certificates.broker(HOST)
    tls = {
        "SSL": good,
        "SASL_SSL": good,
        "MUTUAL": good | certificates.required(),
        "EXPIRED": certificates.broker(HOST, expired=True),
        "ELSEWHERE": certificates.broker("localhost"),
    }
    for listener, values in tls.items():
        given |= {f"listener.name.{listener.lower()}.{key}": value for key, value in values.items()}
    for listener in ("sasl_plaintext", "sasl_ssl"):
        given |= {f"listener.name.{listener}.{name}.sasl.jaas.config": module for name, module in _JAAS.items()}
    return given


def add_user(cluster: Cluster, name: str, password: str, *mechanisms: str) -> None:
    """A user of SCRAM, there once this returns."""
    admin = _admin(cluster)
    for mechanism in mechanisms:
        change = UserScramCredentialUpsertion(name, ScramCredentialInfo(SCRAM[mechanism], 4096), password.encode())
        admin.alter_user_scram_credentials([change])[name].result(_TIMEOUT_S)

    def there() -> bool:
        try:
            futures = cast(dict[str, Future[Any]], admin.describe_user_scram_credentials([name]))
            described = futures[name].result(_TIMEOUT_S)
        except KafkaException:
            return False
        return {info.mechanism for info in described.scram_credential_infos} >= {SCRAM[one] for one in mechanisms}

    _wait(there)


def scram(name: str, password: str, mechanism: str = "SCRAM-SHA-256", **more: object) -> SecuritySettings:
    """How such a user comes, without TLS unless `more` says otherwise."""
    given = {"protocol": "SASL_PLAINTEXT", "mechanism": mechanism, "username": name, "password": SecretStr(password)}
    return SecuritySettings.model_validate(given | more)


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """An operation that a user is allowed: what one line of kafka-acls says."""

    operation: str
    resource: str
    name: str
    pattern: str = "literal"

    def binding(self, user: str) -> AclBinding:
        return AclBinding(*self._where(user), AclPermissionType.ALLOW)

    def filter(self, user: str) -> AclBindingFilter:
        return AclBindingFilter(*self._where(user), AclPermissionType.ALLOW)

    def _where(self, user: str) -> tuple[ResourceType, str, ResourcePatternType, str, str, AclOperation]:
        kind, pattern = ResourceType[self.resource.upper()], ResourcePatternType[self.pattern.upper()]
        return kind, self.name, pattern, f"User:{user}", "*", AclOperation[self.operation.upper()]


def grant(cluster: Cluster, user: str, grants: Iterable[Grant]) -> None:
    """Allow it, and return once the broker knows."""
    admin = _admin(cluster)
    wanted = {one.binding(user) for one in grants}
    for made in admin.create_acls(list(wanted)).values() if wanted else ():
        made.result(_TIMEOUT_S)
    _wait(lambda: set(_described(admin, user)) >= wanted)


def revoke(cluster: Cluster, user: str, taken: Grant) -> None:
    """Allow it no longer, and return once the broker knows."""
    admin = _admin(cluster)
    (gone,) = admin.delete_acls([taken.filter(user)]).values()
    assert len(gone.result(_TIMEOUT_S)) == 1
    _wait(lambda: taken.binding(user) not in _described(admin, user))


def _admin(cluster: Cluster) -> AdminClient:
    return AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})


def _described(admin: AdminClient, user: str) -> list[AclBinding]:
    # Its types leave out that None is for any.
    any_name, any_host = cast(str, None), cast(str, None)
    who, what, permission = f"User:{user}", AclOperation.ANY, AclPermissionType.ANY
    wanted = AclBindingFilter(ResourceType.ANY, any_name, ResourcePatternType.ANY, who, any_host, what, permission)
    found: list[AclBinding] = admin.describe_acls(wanted).result(_TIMEOUT_S)
    return found


def some_user() -> str:
    """A name that nobody has."""
    return f"user-{uuid.uuid4().hex[:8]}"


def _wait(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)
