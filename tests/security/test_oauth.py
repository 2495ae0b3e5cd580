"""How tokens are asked for: kept while they are good, and nothing that an endpoint does gives the secret away."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import ValidationError

from streamer.kafka.security import ClientCredentials, NoToken
from tests.security.tokens import CLIENT_ID, SECRET, Answer, TokenEndpoint, oauth, token_endpoint, unsigned


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with token_endpoint() as endpoint:
        yield endpoint


def client(endpoint: TokenEndpoint, secret: str = SECRET) -> ClientCredentials:
    return ClientCredentials(endpoint.url + "?key=query-horse", CLIENT_ID, secret, "kafka")


async def refusal(credentials: ClientCredentials) -> str:
    with pytest.raises(NoToken) as refused:
        await credentials.token()
    said = str(refused.value)
    assert refused.value.retriable
    assert "kafka.security.token_url http://127.0.0.1:" in said
    assert not any(secret in said for secret in (SECRET, "client-horse", "query-horse", "Basic"))
    return said


async def test_a_token_is_kept_while_it_is_good(endpoint: TokenEndpoint) -> None:
    """One request, with the grant and the scope; the secret goes in the header, encoded, and not in the form."""
    credentials = client(endpoint)
    assert await credentials.token() == await credentials.token()
    (asked,) = endpoint.asked
    assert (asked["grant_type"], asked["scope"]) == ("client_credentials", "kafka")
    assert asked.keys() == {"grant_type", "scope", "authorization"}


async def test_a_token_is_asked_for_anew_before_it_expires(endpoint: TokenEndpoint) -> None:
    """A minute before: the broker would hang up on one that expires on the way."""
    endpoint.seconds = 59
    credentials = client(endpoint)
    await credentials.token()
    await credentials.token()
    assert len(endpoint.asked) == 2


GOOD = unsigned(3600)
ANSWERS: dict[str, tuple[Answer, str]] = {
    "an error": ((500, {}, b"client-horse"), "status 500"),
    "not allowed": ((403, {}, b"client-horse"), "status 403: see kafka.security.username and password"),
    "no JSON": ((200, {}, b"client-horse"), "not an answer of a token endpoint"),
    "a list": ((200, {}, b"[]"), "not an answer of a token endpoint"),
    "no token": ((200, {}, b'{"token": "x"}'), "not an answer of a token endpoint"),
    "null": ((200, {}, b'{"access_token": null}'), "not an answer of a token endpoint"),
    "control characters": ((200, {}, b'{"access_token": "x\\u0001y"}'), "not an answer of a token endpoint"),
    "a word for a time": (
        (200, {}, json.dumps({"access_token": GOOD, "expires_in": "soon"}).encode()),
        "not an answer of a token endpoint",
    ),
    "no time": (
        (200, {}, json.dumps({"access_token": GOOD, "expires_in": None}).encode()),
        "not an answer of a token endpoint",
    ),
    "for ever": (
        (200, {}, json.dumps({"access_token": GOOD, "expires_in": float("nan")}).encode()),
        "not an answer of a token endpoint",
    ),
    "deeply nested": ((200, {}, b"[" * 100_000), "not an answer of a token endpoint"),
    "more than it may be": ((200, {}, b" " * (1 << 21)), "not an answer of a token endpoint"),
}


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_is_none_is_refused(endpoint: TokenEndpoint, case: tuple[Answer, str]) -> None:
    """As a failed connection, which is tried again; in words of our own."""
    answer, said = case
    endpoint.answer = lambda: answer
    assert (await refusal(client(endpoint))).endswith(f"no token: {said}")


async def test_a_wrong_secret_is_said_without_it(endpoint: TokenEndpoint) -> None:
    """Though the endpoint's answer quotes all that was sent."""
    said = await refusal(client(endpoint, "client-horse-of-another-colour"))
    assert said.endswith("status 401: see kafka.security.username and password")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_secret_follows_no_redirect(endpoint: TokenEndpoint, status: int) -> None:
    """urllib would carry the header along to any host, and from https to http."""
    with token_endpoint() as elsewhere:
        endpoint.answer = lambda: (status, {"Location": elsewhere.url}, b"")
        assert (await refusal(client(endpoint))).endswith(f"no token: status {status}")
        assert elsewhere.asked == []


@contextmanager
def answering(content: bytes) -> Iterator[str]:
    """A server that reads a little, says this, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(content)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/token"
        thread.join()


@pytest.mark.parametrize(
    "content", [b"", b"SSH-2.0-client-horse\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"], ids=repr
)
async def test_what_does_not_speak_http_is_refused(content: bytes) -> None:
    """Hung up on, another protocol, half an answer."""
    with answering(content) as url:
        said = await refusal(ClientCredentials(url, CLIENT_ID, SECRET, None))
    assert "no answer" in said or "not an answer of a token endpoint" in said


async def test_nobody_there_is_said() -> None:
    """With the network's reason."""
    said = await refusal(ClientCredentials("http://127.0.0.1:1/token", CLIENT_ID, SECRET, None))
    assert "Connection refused" in said


@pytest.mark.parametrize("url", ["https://me:client-horse@sso.example/token", "https://client-horse@sso.example/token"])
def test_the_address_holds_no_credentials(url: str) -> None:
    """It is shown in errors; and the one who put them there is told where they belong."""
    with pytest.raises(ValidationError, match="token_url must not hold a user or a password") as refused:
        oauth(url)
    assert "client-horse" not in str(refused.value)
