"""TLS and SASL: from the settings to aiokafka's connection options."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from streamer.kafka.errors import BrokerUnreachable
from streamer.settings import KafkaSettings, SecuritySettings

_TOKEN_TIMEOUT_SECONDS = 10
# A token is asked for anew so long before it expires.
_TOKEN_MARGIN_SECONDS = 60


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka ships no types.
    """OAUTHBEARER tokens by the client credentials grant (RFC 6749 section 4.4), kept until they near expiry."""

    def __init__(self, url: str, client_id: str, client_secret: str, scope: str | None) -> None:
        self._url = url
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._token = ""
        self._expires = 0.0

    async def token(self) -> str:
        """A token that is valid for at least a minute.

        Raises KafkaConnectionError where none is to be had: what aiokafka takes for a failed connection, and retries.
        """
        if time.monotonic() >= self._expires - _TOKEN_MARGIN_SECONDS:
            answer = await asyncio.to_thread(self._ask)
            self._token = str(answer["access_token"])
            self._expires = time.monotonic() + float(answer.get("expires_in", 300))
        return self._token

    def _ask(self) -> dict[str, Any]:
        fields = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        # RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
        pair = f"{urllib.parse.quote_plus(self._client_id)}:{urllib.parse.quote_plus(self._client_secret)}"
        request = urllib.request.Request(  # noqa: S310  # The settings allow https, and http on loopback.
            self._url,
            urllib.parse.urlencode(fields).encode(),
            {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TOKEN_TIMEOUT_SECONDS) as response:  # noqa: S310
                answer = json.load(response)
            return {"access_token": answer["access_token"], **answer}
        except (OSError, ValueError, KeyError, TypeError) as error:
            # Not the error's text: an answer may quote what was sent.
            code = f" with status {error.code}" if isinstance(error, urllib.error.HTTPError) else ""
            raise KafkaConnectionError(f"{self._url}: no token: {type(error).__name__}{code}") from None


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """The options that every aiokafka client takes: brokers, name, timeouts, security.

    Raises BrokerUnreachable where a certificate cannot be read.
    """
    security = kafka.security
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "client_id": kafka.client_id,
        "request_timeout_ms": kafka.request_timeout_ms,
        "security_protocol": security.protocol,
    }
    if security.protocol in ("SSL", "SASL_SSL"):
        options["ssl_context"] = _ssl_context(security)
    if security.protocol.startswith("SASL") and security.username is not None and security.password is not None:
        options["sasl_mechanism"] = security.mechanism
        secret = security.password.get_secret_value()
        if security.mechanism == "OAUTHBEARER":
            options["sasl_oauth_token_provider"] = ClientCredentials(
                security.token_url or "", security.username, secret, security.scope
            )
        else:
            options |= {"sasl_plain_username": security.username, "sasl_plain_password": secret}
    return options


def _ssl_context(security: SecuritySettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=security.ca_file)
        context.check_hostname = security.check_hostname
        if security.cert_file is not None:
            password = security.key_password.get_secret_value() if security.key_password else None
            # An empty password instead of none: OpenSSL would ask for it on the terminal.
            context.load_cert_chain(security.cert_file, security.key_file, password=password or "")
    except (OSError, ssl.SSLError) as error:
        files = [str(f) for f in (security.ca_file, security.cert_file, security.key_file) if f is not None]
        raise BrokerUnreachable(f"certificates {', '.join(files)}: {error}") from None
    return context
