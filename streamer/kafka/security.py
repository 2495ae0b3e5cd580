"""TLS and SASL: converts the settings to aiokafka's connection options."""

from __future__ import annotations

import asyncio
import base64
import http.client
import math
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import orjson
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from streamer.kafka.tls import ssl_context
from streamer.settings import KafkaSettings

_TOKEN_TIMEOUT_SECONDS = 10
# A new token is requested this long before the old one expires.
_TOKEN_MARGIN_SECONDS = 60
# How long a token is valid when the endpoint does not say.
_TOKEN_SECONDS = 300
_ANSWER_BYTES = 1 << 20
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1.


class NoToken(KafkaConnectionError):  # type: ignore[misc]  # aiokafka ships no types.
    """The token endpoint returned no token. aiokafka treats this as a failed connection and tries again."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: urllib would send the client secret to any host in a response, even over http."""

    def redirect_request(self, *_: Any) -> None:
        return None


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka ships no types.
    """OAUTHBEARER tokens from the client credentials grant (RFC 6749 section 4.4), cached until they nearly expire."""

    def __init__(self, url: str, client_id: str, client_secret: str, scope: str | None) -> None:
        self._url = url
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._token = ""
        self._expires_at = 0.0

    async def token(self) -> str:
        """A token that is valid for at least a minute, unless the endpoint issues shorter ones. Raises NoToken."""
        if time.monotonic() >= self._expires_at - _TOKEN_MARGIN_SECONDS:
            self._token, seconds = await asyncio.to_thread(self._request_token)
            self._expires_at = time.monotonic() + seconds
        return self._token

    def _request_token(self) -> tuple[str, float]:
        """A token, and its lifetime in seconds."""
        fields = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        # RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
        credentials = f"{urllib.parse.quote_plus(self._client_id)}:{urllib.parse.quote_plus(self._client_secret)}"
        request = urllib.request.Request(  # noqa: S310  # The settings allow https, and http on loopback.
            self._url,
            urllib.parse.urlencode(fields).encode(),
            {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}", "Accept": "application/json"},
        )
        try:
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=_TOKEN_TIMEOUT_SECONDS) as response:
                return _parse_token(orjson.loads(response.read(_ANSWER_BYTES)))
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
            # Without the query, which may hold a key.
            setting = f"kafka.security.token_url {self._url.partition('?')[0]}"
            raise NoToken(f"{setting}: no token: {_reason(error)}") from None


def _parse_token(response: Any) -> tuple[str, float]:
    """The token and its lifetime in seconds (RFC 6749 section 5.1). Raises various errors if it is not valid."""
    token, seconds = response["access_token"], float(response.get("expires_in", _TOKEN_SECONDS))
    if not _TOKEN.fullmatch(token) or not 0 <= seconds < math.inf:
        raise ValueError("not a token, or one that never expires")
    return token, seconds


def _reason(error: Exception) -> str:
    """The reason without the response's own text, which may quote the credentials that we sent."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        hint = ": see kafka.security.username and password" if error.code in (400, 401, 403) else ""
        return f"status {error.code}{hint}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)  # From the network or TLS, before anything was sent.
    return "no answer" if isinstance(error, OSError) else "not an answer of a token endpoint"


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """The options of every aiokafka client: brokers, client id, timeouts, security.

    Raises SettingsError when a certificate, or its key, cannot be used.
    """
    security = kafka.security
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "client_id": kafka.client_id,
        "request_timeout_ms": kafka.request_timeout_ms,
        "metadata_max_age_ms": kafka.metadata_max_age_ms,
        "security_protocol": security.protocol,
    }
    if security.protocol in ("SSL", "SASL_SSL"):
        options["ssl_context"] = ssl_context(security)
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
