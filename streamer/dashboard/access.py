"""Access to the dashboard: a token, a cookie that proves it, and the pages that may send requests.

Reviews are other people's data, so any host but loopback needs a token. On loopback, a page of another site must not
reach the dashboard through the user's own browser: neither by a POST (Origin), nor by a host name that resolves to
127.0.0.1 (Host).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

COOKIE = "streamer-dashboard"
SESSION_SECONDS = 12 * 3600

HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",  # With no-referrer a form would be posted with the origin "null".
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def loopback(host: str) -> bool:
    """Whether an address to bind is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Access:
    """Accepts or refuses a request by its headers. Pure: times are in seconds since the epoch.

    host: the address that the dashboard is bound to. token: None if no login is required.
    """

    host: str
    token: str | None = None

    def accepts_host(self, headers: Mapping[str, str]) -> bool:
        """On loopback, whether the request names this machine. Elsewhere true: the cookie belongs to one name."""
        if not loopback(self.host):
            return True
        name = _split(f"//{headers.get('host', '')}").hostname or ""
        return name in ("localhost", "127.0.0.1", "::1", self.host.strip("[]"))

    def same_origin(self, headers: Mapping[str, str]) -> bool:
        """Whether a page of the dashboard sent this request. A request that changes something must have an Origin."""
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return False
        origin = _split(headers.get("origin", ""))
        return bool(origin.netloc) and origin.netloc.lower() == headers.get("host", "").lower()

    def accepts_token(self, given: str) -> bool:
        """Whether it is the token. Compares in constant time."""
        return self.token is None or hmac.compare_digest(_digest(given), _digest(self.token))

    def new_cookie(self, now: float) -> str:
        """A cookie's value: its expiry, signed with the token, so that a new token ends all sessions."""
        expiry = str(int(now) + SESSION_SECONDS)
        return f"{expiry}.{self._signature(expiry)}"

    def accepts_cookie(self, cookie: str | None, now: float) -> bool:
        """Whether the cookie comes from `new_cookie` and has not expired."""
        if self.token is None:
            return True
        expiry, _, signature = (cookie or "").partition(".")
        genuine = hmac.compare_digest(signature.encode(), self._signature(expiry).encode())
        return genuine and expiry.isdecimal() and now < int(expiry)

    def _signature(self, expiry: str) -> str:
        return hmac.new((self.token or "").encode(), f"dashboard session {expiry}".encode(), hashlib.sha256).hexdigest()


def _split(url: str) -> SplitResult:
    """The parts of a URL; empty if it is not valid."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _digest(text: str) -> bytes:
    """A digest, which has the same length for any text."""
    return hashlib.sha256(text.encode()).digest()
