"""Addresses of brokers as people paste them."""

from __future__ import annotations

import pytest
from aiokafka.conn import collect_hosts
from hypothesis import given
from hypothesis import strategies as st

from streamer.settings.addresses import join_address, normalise_addresses, split_address


@pytest.mark.parametrize(
    ("given_text", "normalised"),
    [
        ("localhost:9092", "localhost:9092"),
        ("a:9092,b:9092", "a:9092,b:9092"),
        (" a:9092 , b:9093 ", "a:9092,b:9093"),
        ("a:9092,", "a:9092"),
        ("a:9092,,b:9092", "a:9092,b:9092"),
        ("a:9092\n", "a:9092"),
        ("a:9092,\n  b:9092", "a:9092,b:9092"),
        ("a:9092,b:9092,a:9092", "a:9092,b:9092"),
        ("a:09092,a:9092", "a:9092"),
        ("[::1]:9092", "[::1]:9092"),
        ("[fe80::1%eth0]:9092", "[fe80::1%eth0]:9092"),
        ("[::1]:9092, [::1]:9093", "[::1]:9092,[::1]:9093"),
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("broker_1.example.com.:65535", "broker_1.example.com.:65535"),
        ("b-1.msk.eu-west-1.amazonaws.com:9098", "b-1.msk.eu-west-1.amazonaws.com:9098"),
        ("bücher.example:9092", "bücher.example:9092"),
    ],
)
def test_addresses_are_read_with_blanks_and_commas_as_they_come(given_text: str, normalised: str) -> None:
    """Blanks, empty entries and duplicates go; the client takes what is left."""
    assert normalise_addresses(given_text) == normalised
    assert len(collect_hosts(normalised)) == normalised.count(",") + 1


@pytest.mark.parametrize(
    ("given_text", "said"),
    [
        ("", "at least one broker"),
        (" , ", "at least one broker"),
        ("localhost", "has no port"),
        ("a:9092,b", "address 2: has no port"),
        ("[::1]", "no port after the brackets"),
        ("[::1]9092", "no port after the brackets"),
        ("[::1:9092", "no port after the brackets"),
        ("[host]:9092", "no IPv6 address in its brackets"),
        ("::1:9092", "IPv6 address in brackets"),
        ("::1", "IPv6 address in brackets"),
        (":9092", "has no host"),
        ("a:", "its port is not a number"),
        ("a:http", "its port is not a number"),
        ("a:٩٠٩٢", "its port is not a number"),
        ("a:-1", "its port is not a number"),
        ("a:0", "must be 1 to 65535"),
        ("a:70000", "must be 1 to 65535"),
        ("a:" + "9" * 5000, "must be 1 to 65535"),
        ("PLAINTEXT://a:9092", "without a scheme: kafka.security.protocol"),
        ("kafka://a:9092", "without a scheme"),
        ("a:9092/topic", "without a path"),
        ("a:9092 b:9092", "separated by commas"),
        ("a:9092;b:9092", "separated by commas"),
        ("user:s3cret@a:9092", "must not hold a user or a password"),
        ("SASL_SSL://user:s3cret@a:9092", "must not hold a user or a password"),
        ('["a:9092"', "without brackets and quotes"),
        ('["a:9092", "b:9092"]', "address 1: a list is written without brackets and quotes"),
        ("a..b:9092", "not the name or the address of a host"),
        ("x" * 64 + ":9092", "not the name or the address of a host"),
        ("a\x1b[2J:9092", "not the name or the address of a host"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_in_words(given_text: str, said: str) -> None:
    """With its number where there are several, and never with the address, which may hold a password."""
    with pytest.raises(ValueError, match=said.replace("[", r"\[")) as refused:
        normalise_addresses(given_text)
    assert "s3cret" not in str(refused.value)
    assert str(refused.value).isprintable()


@given(st.text(alphabet=st.sampled_from("a1.-_:,[]@/ %é\n"), max_size=30))
def test_what_is_accepted_can_be_split_and_accepted_again(text: str) -> None:
    """Whatever the text is, there is a normalised form or a ValueError."""
    try:
        normalised = normalise_addresses(text)
    except ValueError:
        return
    assert normalise_addresses(normalised) == normalised
    for address in normalised.split(","):
        host, port = split_address(address)
        assert join_address(host, port) == address
