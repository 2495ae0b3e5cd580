"""A token endpoint (RFC 6749 section 4.4) on loopback, and the unsigned tokens that test brokers take."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from pydantic import SecretStr

from streamer.settings import SecuritySettings

CLIENT_ID = "alice"
SECRET = "client-horse &=+%"  # noqa: S105  # Of an endpoint that lives for one test; it must be encoded to arrive.

Answer = tuple[int, Mapping[str, str], bytes]


class TokenEndpoint:
    """What came in, and what to answer instead of a token."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seconds = 3600
        self.asked: list[dict[str, str]] = []  # Each time it was asked: the form, and who did by `authorization`.
        self.answer: Callable[[], Answer] | None = None

    def reply(self, form: dict[str, str]) -> Answer:
        self.asked.append(form)
        if self.answer is not None:
            return self.answer()
        pair = base64.b64encode(b"alice:client-horse+%26%3D%2B%25").decode()
        if form["authorization"] != f"Basic {pair}" or form.get("grant_type") != "client_credentials":
            # Some endpoints quote what they were sent.
            return 401, {}, json.dumps({"error": "invalid_client", "error_description": str(form)}).encode()
        token = {"access_token": unsigned(self.seconds), "token_type": "Bearer", "expires_in": self.seconds}
        return 200, {"Content-Type": "application/json"}, json.dumps(token).encode()


def unsigned(seconds: float, subject: str = CLIENT_ID) -> str:
    """A JWT without a signature, good for so many seconds."""
    now = time.time()
    parts: list[dict[str, Any]] = [{"alg": "none"}, {"sub": subject, "iat": now - 1, "exp": now + seconds}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, ""])


def oauth(url: str, secret: str = SECRET, **more: object) -> SecuritySettings:
    """How a client with tokens comes, without TLS to the broker unless `more` says otherwise."""
    given = {"protocol": "SASL_PLAINTEXT", "mechanism": "OAUTHBEARER", "username": CLIENT_ID, "token_url": url}
    return SecuritySettings.model_validate(given | {"password": SecretStr(secret)} | more)


@contextmanager
def token_endpoint() -> Iterator[TokenEndpoint]:
    """One that runs until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            status, headers, content = endpoint.reply(form | {"authorization": self.headers.get("Authorization", "")})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # What a redirect would be followed by.

        def log_message(self, format: str, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        endpoint = TokenEndpoint(f"http://127.0.0.1:{server.server_port}/token")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()
