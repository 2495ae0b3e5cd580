"""Who may see the dashboard: decided by headers alone."""

from __future__ import annotations

import pytest

from streamer.dashboard.access import SESSION_SECONDS, Access, loopback


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_what_can_be_reached_from_this_machine_only(host: str, expected: bool) -> None:
    """Names are not looked up: what they lead to may change."""
    assert loopback(host) is expected


@pytest.mark.parametrize("host", ["localhost:8090", "127.0.0.1:8090", "[::1]:8090", "LOCALHOST"])
def test_on_loopback_this_machine_may_be_named(host: str) -> None:
    """In all of its ways."""
    assert Access("127.0.0.1").accepts_host({"host": host})


@pytest.mark.parametrize("host", ["evil.example:8090", "127.0.0.1.evil.example", "", "[", "localhost@evil.example"])
def test_on_loopback_a_name_that_leads_here_is_turned_away(host: str) -> None:
    """DNS rebinding: a page of that name would otherwise read all reviews."""
    assert not Access("127.0.0.1").accepts_host({"host": host})


def test_beyond_loopback_any_name_will_do() -> None:
    """It may be a proxy's; the cookie is bound to the name."""
    assert Access("0.0.0.0", "t" * 16).accepts_host({"host": "reviews.example"})  # noqa: S104


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"origin": "http://localhost:8090"}, True),
        ({"origin": "https://localhost:8090"}, True),  # A proxy in front may speak TLS.
        ({"origin": "http://localhost:8090", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://localhost:8091"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({}, False),
        ({"origin": "http://localhost:8090", "sec-fetch-site": "cross-site"}, False),
        ({"origin": "http://["}, False),
    ],
)
def test_only_our_own_pages_may_change_something(headers: dict[str, str], expected: bool) -> None:
    """By where the browser says that the request comes from."""
    assert Access("127.0.0.1").same_origin({"host": "localhost:8090", **headers}) is expected


def test_the_token_must_be_right() -> None:
    """To the last character; without one, nobody is asked."""
    access = Access("127.0.0.1", "a token of ours, ä")
    assert access.accepts_token("a token of ours, ä")
    assert not access.accepts_token("a token of ours, a")
    assert not access.accepts_token("")
    assert Access("127.0.0.1").accepts_token("anything")


def test_a_session_ends() -> None:
    """By itself after twelve hours, and with its token."""
    access = Access("127.0.0.1", "first token of all")
    cookie = access.new_cookie(1000.0)
    assert access.accepts_cookie(cookie, 1000.0 + SESSION_SECONDS - 1)
    assert not access.accepts_cookie(cookie, 1000.0 + SESSION_SECONDS)
    assert not Access("127.0.0.1", "another token now").accepts_cookie(cookie, 1000.0)


@pytest.mark.parametrize("cookie", [None, "", ".", "9999999999", "9999999999.", "9999999999.00", "x.y", "é.é"])
def test_a_cookie_that_is_made_up_is_worth_nothing(cookie: str | None) -> None:
    """Nor is one whose end was moved."""
    access = Access("127.0.0.1", "first token of all")
    assert not access.accepts_cookie(cookie, 0.0)
    ends, _, signature = access.new_cookie(0.0).partition(".")
    assert not access.accepts_cookie(f"{int(ends) + 1}.{signature}", 0.0)


def test_without_a_token_everybody_on_this_machine_is_admitted() -> None:
    """The default, on loopback."""
    assert Access("127.0.0.1").accepts_cookie(None, 0.0)
