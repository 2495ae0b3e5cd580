"""TLS and SASL: from the settings to aiokafka's connection options."""

from __future__ import annotations

import asyncio
import base64
import http.client
import math
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import aiokafka.conn
import orjson
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import OAuthAuthenticator
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed

from streamer.settings import KafkaSettings, SecuritySettings, SettingsError

_TOKEN_TIMEOUT_SECONDS = 10
# A token is asked for anew so long before it expires.
_TOKEN_MARGIN_SECONDS = 60
# Where the endpoint does not say how long a token is good.
_TOKEN_SECONDS = 300
_ANSWER_BYTES = 1 << 20
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1.


class NoToken(KafkaConnectionError):  # type: ignore[misc]  # aiokafka ships no types.
    """The token endpoint gives none. A failed connection to aiokafka, which tries again."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would take the client secret along to wherever an answer points, another host or plain http included."""

    def redirect_request(self, *_: Any) -> None:
        return None


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
        """A token that is valid for at least a minute, where the endpoint gives such. Raises NoToken."""
        if time.monotonic() >= self._expires - _TOKEN_MARGIN_SECONDS:
            self._token, seconds = await asyncio.to_thread(self._ask)
            self._expires = time.monotonic() + seconds
        return self._token

    def _ask(self) -> tuple[str, float]:
        """A token, and for how many seconds it is good."""
        fields = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        # RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
        pair = f"{urllib.parse.quote_plus(self._client_id)}:{urllib.parse.quote_plus(self._client_secret)}"
        request = urllib.request.Request(  # noqa: S310  # The settings allow https, and http on loopback.
            self._url,
            urllib.parse.urlencode(fields).encode(),
            {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}", "Accept": "application/json"},
        )
        try:
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=_TOKEN_TIMEOUT_SECONDS) as response:
                return _granted(orjson.loads(response.read(_ANSWER_BYTES)))
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
            # Not the whole address, of which the query may hold a key.
            where = f"kafka.security.token_url {self._url.partition('?')[0]}"
            raise NoToken(f"{where}: no token: {_why(error)}") from None


def _granted(answer: Any) -> tuple[str, float]:
    """What the endpoint grants (RFC 6749 section 5.1). Raises one of many errors where it is not in order."""
    token, seconds = answer["access_token"], float(answer.get("expires_in", _TOKEN_SECONDS))
    if not _TOKEN.fullmatch(token) or not 0 <= seconds < math.inf:
        raise ValueError("a token that is none, or for ever")
    return token, seconds


def _why(error: Exception) -> str:
    """In words of our own: what the endpoint answers may quote what was sent."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        hint = ": see kafka.security.username and password" if error.code in (400, 401, 403) else ""
        return f"status {error.code}{hint}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)  # The network's or TLS's, before anything was sent.
    return "no answer" if isinstance(error, OSError) else "not an answer of a token endpoint"


class _Authenticator(OAuthAuthenticator):  # type: ignore[misc]
    """A broker that refuses a token says so in its answer (RFC 7628 section 3.2.2), at which aiokafka 0.14 does not
    look: it takes itself for let in, gets metadata without brokers, and asks for them for ever."""

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if payload:
            raise SaslAuthenticationFailed("the broker refuses the token")
        step: tuple[bytes, bool] | None = await super().step(payload)
        return step


aiokafka.conn.OAuthAuthenticator = _Authenticator  # There is no other way in.


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """The options that every aiokafka client takes: brokers, name, timeouts, security.

    Raises SettingsError where a certificate, or its key, cannot be used.
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
    for name in ("ca_file", "cert_file", "key_file"):
        _readable(name, getattr(security, name))
    what = f"kafka.security.ca_file {security.ca_file}"
    try:
        context = ssl.create_default_context(cafile=security.ca_file)
        context.check_hostname = security.check_hostname
        if security.cert_file is not None:
            what = f"kafka.security.cert_file {security.cert_file}, key_file {security.key_file}, key_password"
            password = security.key_password.get_secret_value() if security.key_password else None
            # An empty password instead of none: OpenSSL would ask for it on the terminal.
            context.load_cert_chain(security.cert_file, security.key_file, password=password or "")
    except ssl.SSLError as error:
        why = error.reason.replace("_", " ").lower() if error.reason else "not in PEM, or the password is another"
        raise SettingsError(f"{what}: {why}") from None
    return context


def _readable(name: str, path: Path | None) -> None:
    """OpenSSL does not say which of the files it cannot read."""
    try:
        if path is not None:
            path.open("rb").close()
    except OSError as error:
        raise SettingsError(f"kafka.security.{name} {path}: {error.strerror}") from None
