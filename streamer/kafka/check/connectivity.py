"""Whether the brokers let us in and, in words, why not: aiokafka itself says only that they do not."""

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

# A broker that takes longer than this to let a client in is not one to start a service on.
_LONGEST_SECONDS = 10.0


async def bootstrap(kafka: KafkaSettings) -> list[Finding]:
    """A finding for each of the bootstrap servers; those that fail are warnings where another lets us in.

    Raises SettingsError where a certificate file cannot be used.
    """
    addresses, security = kafka.bootstrap_servers.split(","), kafka.security
    whys = await asyncio.gather(*(reach(kafka, address) for address in addresses))
    failed: Severity = "warning" if None in whys else "error"
    sasl = security.protocol.startswith("SASL")
    way = f"{security.protocol}, {security.mechanism} as {security.username!r}" if sasl else security.protocol
    found = [
        Finding(failed if why else "ok", f"broker {address}", why or f"lets us in by {way}")
        for address, why in zip(addresses, whys, strict=True)
    ]
    if None in whys and security.protocol == "SASL_PLAINTEXT" and not security.mechanism.startswith("SCRAM"):
        detail = f"SASL_PLAINTEXT with {security.mechanism} sends the secret in the clear. Use SASL_SSL"
        found.append(Finding("warning", "kafka.security.protocol", detail))
    return found


async def advertised(kafka: KafkaSettings, brokers: Mapping[int, tuple[str, int]]) -> list[Finding]:
    """A finding for each broker, by its id, that says to be at an address other than the bootstrap servers'."""
    told = {node: f"{host}:{port}" for node, (host, port) in sorted(brokers.items())}
    others = {node: told[node] for node in told if told[node] not in kafka.bootstrap_servers.split(",")}
    whys = await asyncio.gather(*(reach(kafka, address) for address in others.values()))
    return [
        Finding("error", f"broker {node}", f"says to be at {address}, but there: {why}. See its advertised.listeners")
        if why
        else Finding("ok", f"broker {node}", f"lets us in at {address}, where it says to be")
        for (node, address), why in zip(others.items(), whys, strict=True)
    ]


async def reach(kafka: KafkaSettings, address: str) -> str | None:
    """Connect to `host:port`, with TLS and SASL where they are set, and close again.

    Gives None where the broker let us in, else why not and what to look at. Secrets and what the broker says of
    them are not quoted. Raises SettingsError where a certificate file cannot be used.
    """
    host, _, port = address.rpartition(":")
    options = client_options(kafka)
    del options["bootstrap_servers"], options["metadata_max_age_ms"]
    seconds = min(kafka.request_timeout_ms / 1000, _LONGEST_SECONDS)
    try:
        async with asyncio.timeout(seconds):
            connection = await create_conn(host, int(port), **options)
            try:
                # A listener that wants SASL lets anybody connect, and hangs up on the first real request.
                await connection.send(MetadataRequest([]))
            finally:
                await connection.close()
    except TimeoutError:
        return f"no answer within {seconds:g} s: is a firewall in between?"
    except NoToken as error:
        return str(error.args[0])
    except (ConnectionResetError, KafkaConnectionError, IllegalSaslStateError) as error:
        # With TLS 1.3 a broker refuses our certificate only after the handshake: the connection opens, and breaks.
        if isinstance(error.__cause__, ssl.SSLError):
            return _network(error.__cause__)
        return f"it hung up on {kafka.security.protocol}: does kafka.security.protocol name the listener's own?"
    except OSError as error:
        return _network(error)
    except KafkaError as error:
        return _refusal(error, kafka.security)
    return None


def _network(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return f"its certificate is not trusted: {why}; see kafka.security.ca_file and check_hostname"
    if isinstance(error, ssl.SSLError):
        why = (error.reason or "no reason given").replace("_", " ").lower()
        if "alert" in why and ("certificate" in why or "unknown ca" in why):
            return f"it does not take our certificate ({why}): see kafka.security.cert_file and key_file"
        return f"TLS was not agreed on ({why}): does kafka.security.protocol name the listener's own?"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there: is the broker up, and the port right?"
    if isinstance(error, socket.gaierror):
        return "the host name is not known here"
    return error.strerror or str(error) or type(error).__name__


def _refusal(error: KafkaError, security: SecuritySettings) -> str:
    if isinstance(error, SaslAuthenticationFailed | AuthenticationFailedError):
        if security.mechanism == "OAUTHBEARER":
            return f"it refuses the token of {security.username!r}: see kafka.security.scope, and what the broker asks"
        return f"{security.mechanism} refused user {security.username!r}: see kafka.security.username and password"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"it does not offer {security.mechanism}: see kafka.security.mechanism"
    return str(error)
