"""Who may see the dashboard: a token, a cookie that proves it, and which pages may ask us anything.

Review text is other people's. So beyond loopback there is a token; and on loopback a page of another site must not get
at it by the browser of whoever runs the dashboard: neither by posting (Origin), nor by a host name that it points to
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
    """Whether an address to bind can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Access:
    """Decides by the headers of a request. Pure: times are in seconds since the epoch.

    host: what the dashboard is bound to. token: None where nobody is asked.
    """

    host: str
    token: str | None = None

    def right_host(self, headers: Mapping[str, str]) -> bool:
        """On loopback, whether the request names this machine; else the cookie, which is bound to a name, decides."""
        if not loopback(self.host):
            return True
        name = _split(f"//{headers.get('host', '')}").hostname or ""
        return name in ("localhost", "127.0.0.1", "::1", self.host.strip("[]"))

    def same_origin(self, headers: Mapping[str, str]) -> bool:
        """Whether a page of ours sent this: what changes something must say where it comes from."""
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return False
        origin = _split(headers.get("origin", ""))
        return bool(origin.netloc) and origin.netloc.lower() == headers.get("host", "").lower()

    def right_token(self, given: str) -> bool:
        """In a time that does not tell how much of it is right."""
        return self.token is None or hmac.compare_digest(_digest(given), _digest(self.token))

    def session(self, now: float) -> str:
        """A cookie's value: when it ends, signed with the token, so that another token ends all sessions."""
        ends = str(int(now) + SESSION_SECONDS)
        return f"{ends}.{self._signature(ends)}"

    def admitted(self, cookie: str | None, now: float) -> bool:
        """Whether the cookie is one of `session`'s and has not ended."""
        if self.token is None:
            return True
        ends, _, signature = (cookie or "").partition(".")
        right = hmac.compare_digest(signature.encode(), self._signature(ends).encode())
        return right and ends.isdecimal() and now < int(ends)

    def _signature(self, ends: str) -> str:
        return hmac.new((self.token or "").encode(), f"dashboard session {ends}".encode(), hashlib.sha256).hexdigest()


def _split(url: str) -> SplitResult:
    """Empty for what is no URL."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _digest(text: str) -> bytes:
    """Of equal length whatever is given."""
    return hashlib.sha256(text.encode()).digest()
