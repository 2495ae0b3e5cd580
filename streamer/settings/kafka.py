"""The Kafka clients: consumer group, timeouts, transactions, TLS and SASL."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PositiveInt,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from streamer.settings import pem
from streamer.settings.addresses import normalise_addresses
from streamer.settings.fields import FilePath, Section, split_url

_LOOPBACK = tuple(("http", host) for host in ("localhost", "127.0.0.1", "::1"))


class SecuritySettings(Section):
    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Security protocol of the connections to the brokers."""
    ca_file: FilePath | None = None
    """PEM file of the trusted certificate authorities; unset, the system's."""
    cert_file: FilePath | None = None
    """PEM file of the client's certificate, for mutual TLS."""
    key_file: FilePath | None = None
    """PEM file of the client's private key."""
    ca: SecretStr | None = None
    """The trusted certificate authorities as PEM text, instead of `ca_file`."""
    cert: SecretStr | None = None
    """The client's certificate, with its chain, as PEM text, instead of `cert_file`."""
    key: SecretStr | None = None
    """The client's private key as PEM text, instead of `key_file`."""
    key_password: SecretStr | None = None
    """Password of the private key."""
    check_hostname: bool = True
    """Whether the broker's certificate must carry its host name."""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "PLAIN"
    """SASL mechanism, used when the protocol is `SASL_PLAINTEXT` or `SASL_SSL`."""
    username: str | None = None
    """User of PLAIN and SCRAM, client id of OAUTHBEARER."""
    password: SecretStr | None = None
    """Password of PLAIN and SCRAM, client secret of OAUTHBEARER."""
    token_url: str | None = None
    """Token endpoint of OAUTHBEARER (client credentials grant, RFC 6749 section 4.4)."""
    scope: str | None = None
    """Scope to request from the token endpoint."""

    @field_validator("ca", "cert", "key")
    @classmethod
    def _read_pem(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            return None
        part: pem.Part = info.field_name  # type: ignore[assignment]  # One of the three above.
        if (reason := pem.why_not(part, value.get_secret_value())) is not None:
            raise ValueError(reason)
        return SecretStr(pem.normalise(value.get_secret_value()))

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        for name in ("ca", "cert", "key"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"give {name} or {name}_file, not both")
        certificate, key = self.cert or self.cert_file, self.key or self.key_file
        if (certificate is None) != (key is None):
            raise ValueError("cert_file and key_file go together, or cert and key")
        if self.key is not None and self.key_password is None and pem.is_encrypted(self.key.get_secret_value()):
            raise ValueError("key is encrypted: set key_password")
        return self

    @model_validator(mode="after")
    def _check_complete(self) -> Self:
        if self.protocol.startswith("SASL") and (self.username is None or self.password is None):
            raise ValueError("username and password are needed with SASL")
        if self.protocol.startswith("SASL") and self.mechanism == "OAUTHBEARER":
            if self.token_url is None:
                raise ValueError("token_url is needed with OAUTHBEARER")
            url = split_url(self.token_url, "token_url")
            if url.scheme != "https" and (url.scheme, url.hostname) not in _LOOPBACK:
                raise ValueError("token_url must be https: the client secret is sent to it")
            if url.username is not None or url.password is not None:
                raise ValueError("token_url must not hold a user or a password: set username and password")
        return self


class KafkaSettings(Section):
    bootstrap_servers: Annotated[str, AfterValidator(normalise_addresses)] = "localhost:9092"
    """Brokers to connect to first: `host:port`, separated by commas; an IPv6 address in brackets, `[::1]:9092`."""
    group_id: Annotated[str, StringConstraints(min_length=1)] = "sentiment-streamer"
    """Consumer group; workers of one group share the partitions."""
    client_id: Annotated[str, StringConstraints(min_length=1)] = "sentiment-streamer"
    """Name that appears in the brokers' logs."""
    group_instance_id: str | None = None
    """Static membership: a restart within the session timeout causes no rebalance. One name per worker."""
    auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    """Where a group without committed offsets starts."""
    session_timeout_ms: Annotated[int, Field(ge=1000)] = 30_000
    """The group removes a worker that has sent no heartbeat for this long."""
    heartbeat_interval_ms: Annotated[int, Field(ge=100)] = 3_000
    """How often a worker sends a heartbeat; at most a third of the session timeout."""
    rebalance_timeout_ms: Annotated[int, Field(ge=1000)] = 60_000
    """How long a rebalance waits for workers to finish the records in flight."""
    request_timeout_ms: Annotated[int, Field(ge=1000)] = 30_000
    """How long to wait for a broker's answer."""
    metadata_max_age_ms: Annotated[int, Field(ge=1000)] = 60_000
    """New partitions of a topic are found within this time."""
    max_poll_records: PositiveInt = 1000
    """Maximum number of records that one poll returns."""
    transaction_timeout_ms: Annotated[int, Field(ge=10_000)] = 60_000
    """With `exactly_once`: the broker aborts a transaction that has been open for this long."""
    transactional_id_prefix: Annotated[str, StringConstraints(min_length=1)] = "streamer"
    """With `exactly_once`: transactional ids are `<prefix>/<group>/<topic>/<partition>`."""
    security: SecuritySettings = SecuritySettings()
    """TLS and SASL."""

    @model_validator(mode="after")
    def _check_heartbeat(self) -> Self:
        if self.heartbeat_interval_ms * 3 > self.session_timeout_ms:
            raise ValueError("heartbeat_interval_ms must be at most a third of session_timeout_ms")
        return self
