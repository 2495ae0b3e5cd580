"""Text from outside, as messages show it."""

from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.printable import (
    printable,
    printable_lines,
    shown_path,
    spaced,
    why_not_a_path,
    without_credentials,
)

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n"
BLOB = base64.b64encode(random.Random(1).randbytes(1200)).decode()  # Not a secret.


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("好看 emoji 😀 é", "好看 emoji 😀 é"),
        ("\x1b[31mred\x1b[0m\r\n", " [31mred [0m  "),
        ("\x9b1m \x7f \u202eabc\u2028", " 1m    abc "),
        ("\ud800", " "),
    ],
)
def test_what_a_terminal_acts_upon_becomes_a_space(text: str, shown: str) -> None:
    """C0, C1, and what turns the direction of writing."""
    assert spaced(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("好看.csv 😀 é", "好看.csv 😀 é"),
        ("\x1b[31mred\r\n\t", "\\x1b[31mred\\r\\n\\t"),
        ("\x9b1m\x7f\u202eabc\u2028", "\\x9b1m\\x7f\\u202eabc\\u2028"),
        ("caf\udce9.csv", "caf\\xe9.csv"),
        ("\ufefftext\u200b", "\\ufefftext\\u200b"),
        ("\U000e0001", "\\U000e0001"),
        ("\ud800", "\\ud800"),
        ("x" * 81, "x" * 80 + "…"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_an_escape(text: str, shown: str) -> None:
    """Two names that differ are never shown as the same, and no terminal acts upon either."""
    assert printable(text) == shown


def test_a_long_text_is_cut() -> None:
    """At the limit, with an ellipsis that says so."""
    assert printable("x" * 1000, 10) == "x" * 10 + "…"
    assert printable("x" * 10, 10) == "x" * 10
    assert printable("x" * 1000, None) == "x" * 1000


def test_the_lines_of_a_text_stay_lines() -> None:
    """A traceback is read line by line; what is in a line is escaped."""
    assert printable_lines("one\n\ttwo\x1b[2J\r\n") == "one\n    two\\x1b[2J\\r\n"


@given(st.text(st.characters()))
def test_no_text_is_acted_upon(text: str) -> None:
    """Whatever the text is, what is shown is printable and can be encoded."""
    for shown in (printable(text), spaced(text), shown_path(text)):
        assert shown.isprintable()
        shown.encode()


@pytest.mark.parametrize(
    "path", [PEM, PEM.replace("\n", "\\n"), "key\n.pem", "a\0b", "x" * 256, "x/" * 3000, "é" * 128]
)
def test_what_is_no_path_is_not_shown(path: str) -> None:
    """A pasted key, line breaks, NUL, a name or a path that no file system has."""
    assert why_not_a_path(path) is not None
    assert path[:10] not in shown_path(path)


@pytest.mark.parametrize(
    "blob", [BLOB, BLOB[:120], "MII" + BLOB[:20], base64.b64encode(PEM.encode()).decode(), f"/etc/{BLOB[:300]}"]
)
def test_a_key_in_base64_is_not_shown(blob: str) -> None:
    """It has slashes where chance put them, so that its parts are short enough for a path."""
    assert blob[-15:] not in shown_path(blob)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/kafka/client.key",
        "数据/评论 2024.csv",
        "C:\\Users\\Ann\\reviews.csv",
        "/var/lib/docker/overlay2/0a3b1c5d7e9f0a3b1c5d7e9f0a3b1c5d7e9f0a3b1c5d7e9f0a3b1c5d7e9f0a3b/merged/ca.pem",
        "/private/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/pytest-of-User1/pytest-42/test_Something0/ca.pem",
        "/home/User1/Projects/SentimentStreamer/Certificates/Production/Europe/Frankfurt/Client2024",
        "/nix/store/5rvqf1nkgjh7dbvgzv3fqv1bmnwxyz0a-nss-cacert-3.95/etc/ssl/certs/ca-bundle.crt",
    ],
)
def test_the_paths_that_people_have_are_shown(path: str) -> None:
    """Whole, since a path that is wrong is found by reading it."""
    assert why_not_a_path(path) is None
    assert shown_path(path) == path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:s3cret@host:9092/path", "https://host:9092/path"),
        ("cannot reach http://user:p@/s@host/ now", "cannot reach http://host/ now"),
        ("SASL_SSL://u:p@host:9092,b:c@other:9092", "SASL_SSL://other:9092"),
        ("https://host:9092/path ann@example.com", "https://host:9092/path ann@example.com"),
    ],
)
def test_credentials_in_a_url_are_left_out(text: str, shown: str) -> None:
    """In the middle of a message too."""
    assert without_credentials(text) == shown
