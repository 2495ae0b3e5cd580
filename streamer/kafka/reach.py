"""Connects to one broker and says in words why that does not work; aiokafka itself says only that it does not."""

from __future__ import annotations

import asyncio
import socket
import ssl

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

from streamer.kafka.errors import KafkaFault
from streamer.kafka.security import client_options
from streamer.settings import KafkaSettings, SecuritySettings

# A broker that takes longer than this to let a client in is not one to start a service on.
_LONGEST_SECONDS = 10.0


async def reach(kafka: KafkaSettings, host: str, port: int) -> str | None:
    """Connect, with TLS and SASL where they are set, and close again.

    Gives None where the broker let us in, else why not and what to look at. Secrets and what the broker says of
    them are not quoted. Raises BrokerUnreachable where a certificate file cannot be read.
    """
    options = client_options(kafka)
    del options["bootstrap_servers"]
    seconds = min(kafka.request_timeout_ms / 1000, _LONGEST_SECONDS)
    try:
        async with asyncio.timeout(seconds):
            connection = await create_conn(host, port, **options)
            try:
                # A listener that wants SASL lets anybody connect, and hangs up on the first real request.
                await connection.send(MetadataRequest([]))
            finally:
                await connection.close()
    except TimeoutError:
        return f"no answer within {seconds:g} s: is a firewall in between?"
    except (ConnectionResetError, KafkaConnectionError, IllegalSaslStateError):
        return f"it hung up on {kafka.security.protocol}: does kafka.security.protocol name the listener's own?"
    except OSError as error:
        return _network(error)
    except KafkaFault as error:  # The token endpoint of OAUTHBEARER.
        return str(error)
    except KafkaError as error:
        return _refusal(error, kafka.security)
    return None


def _network(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; see kafka.security.ca_file and check_hostname"
    if isinstance(error, ssl.SSLError):
        why = (error.reason or "no reason given").replace("_", " ").lower()
        return f"TLS was not agreed on ({why}): does kafka.security.protocol name the listener's own?"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there: is the broker up, and the port right?"
    if isinstance(error, socket.gaierror):
        return "the host name is not known here"
    return error.strerror or repr(error)


def _refusal(error: KafkaError, security: SecuritySettings) -> str:
    if isinstance(error, SaslAuthenticationFailed | AuthenticationFailedError):
        return f"{security.mechanism} refused user {security.username!r}: see kafka.security.username and password"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"it does not offer {security.mechanism}: see kafka.security.mechanism"
    return str(error)
