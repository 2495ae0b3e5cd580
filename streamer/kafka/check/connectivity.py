"""Whether the brokers accept a connection and, if not, why: aiokafka reports no reason."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from streamer.kafka.check.findings import Finding, Severity
from streamer.kafka.security import NoToken, client_options
from streamer.settings import KafkaSettings, SecuritySettings
from streamer.settings.addresses import join_address, split_address

# A service should not be started on a cluster whose brokers take longer than this to accept a client.
_MAX_SECONDS = 10.0


async def check_bootstrap_servers(kafka: KafkaSettings) -> list[Finding]:
    """A finding for each bootstrap server. A failure is only a warning if another server accepts us.

    Raises SettingsError if a certificate file cannot be used.
    """
    addresses, security = kafka.bootstrap_servers.split(","), kafka.security
    failures = await asyncio.gather(*(connection_failure(kafka, address) for address in addresses))
    severity: Severity = "warning" if None in failures else "error"
    sasl = security.protocol.startswith("SASL")
    method = f"{security.protocol}, {security.mechanism} as {security.username!r}" if sasl else security.protocol
    findings = [
        Finding(severity if failure else "ok", f"broker {address}", failure or f"lets us in by {method}")
        for address, failure in zip(addresses, failures, strict=True)
    ]
    if None in failures and security.protocol == "SASL_PLAINTEXT" and not security.mechanism.startswith("SCRAM"):
        detail = f"SASL_PLAINTEXT with {security.mechanism} sends the secret in the clear. Use SASL_SSL"
        findings.append(Finding("warning", "kafka.security.protocol", detail))
    return findings


async def check_advertised_listeners(kafka: KafkaSettings, brokers: Mapping[int, tuple[str, int]]) -> list[Finding]:
    """A finding for each broker, by its id, that advertises an address that is not a bootstrap server."""
    advertised = {node: join_address(host, port) for node, (host, port) in sorted(brokers.items())}
    bootstrap = kafka.bootstrap_servers.split(",")
    others = {node: address for node, address in advertised.items() if address not in bootstrap}
    failures = await asyncio.gather(*(connection_failure(kafka, address) for address in others.values()))
    return [
        Finding("error", f"broker {node}", f"advertises {address}, but there: {failure}. See its advertised.listeners")
        if failure
        else Finding("ok", f"broker {node}", f"lets us in at {address}, which it advertises")
        for (node, address), failure in zip(others.items(), failures, strict=True)
    ]


async def connection_failure(kafka: KafkaSettings, address: str) -> str | None:
    """Connect to `host:port`, with TLS and SASL if they are set, and close the connection.

    Returns None if the broker accepted it, otherwise the reason and which setting to check. Never quotes secrets or
    the broker's messages about them. Raises SettingsError if a certificate file cannot be used.
    """
    host, port = split_address(address)
    options = client_options(kafka)
    del options["bootstrap_servers"], options["metadata_max_age_ms"]
    seconds = min(kafka.request_timeout_ms / 1000, _MAX_SECONDS)
    try:
        async with asyncio.timeout(seconds):
            connection = await create_conn(host, port, **options)
            try:
                # A SASL listener accepts any connection, and closes it at the first request without SASL.
                await connection.send(MetadataRequest([]))
            finally:
                await connection.close()
    except TimeoutError:
        return f"no answer within {seconds:g} s: is a firewall in between?"
    except NoToken as error:
        return str(error.args[0])
    except (ConnectionResetError, KafkaConnectionError, IllegalSaslStateError) as error:
        # With TLS 1.3 a broker refuses our certificate only after the handshake: the connection opens, then breaks.
        if isinstance(error.__cause__, ssl.SSLError):
            return _network_failure(error.__cause__)
        return f"it hung up on {kafka.security.protocol}: does kafka.security.protocol name the listener's own?"
    except OSError as error:
        return _network_failure(error)
    except KafkaError as error:
        return _authentication_failure(error, kafka.security)
    return None


def _network_failure(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        return f"its certificate is not trusted: {reason}; see kafka.security.ca_file and check_hostname"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "no reason given").replace("_", " ").lower()
        if "alert" in reason and ("certificate" in reason or "unknown ca" in reason):
            return f"it does not take our certificate ({reason}): see kafka.security.cert_file and key_file"
        return f"TLS was not agreed on ({reason}): does kafka.security.protocol name the listener's own?"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there: is the broker up, and the port right?"
    if isinstance(error, socket.gaierror):
        return "the host name is not known here"
    return error.strerror or str(error) or type(error).__name__


def _authentication_failure(error: KafkaError, security: SecuritySettings) -> str:
    if isinstance(error, SaslAuthenticationFailed | AuthenticationFailedError):
        if security.mechanism == "OAUTHBEARER":
            return f"it refuses the token of {security.username!r}: see kafka.security.scope, and what the broker asks"
        return f"{security.mechanism} refused user {security.username!r}: see kafka.security.username and password"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"it does not offer {security.mechanism}: see kafka.security.mechanism"
    return str(error)
