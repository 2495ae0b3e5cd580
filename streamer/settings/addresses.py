"""Addresses of brokers: `host:port`, separated by commas, as people paste them."""

from __future__ import annotations

import ipaddress
import re
from itertools import count

# Letters of any script, digits, hyphens, dots, and Docker's underscores; RFC 1035 limits the lengths.
_HOST = re.compile(r"(?=.{1,253}$)[\w-]{1,63}(\.[\w-]{1,63})*\.?")


def normalise_addresses(text: str) -> str:
    """The addresses without blanks, empty entries and duplicates: `a:9092,[::1]:9092`.

    Raises ValueError, which gives the number of the wrong address, and does not quote it: it may hold a password.
    """
    entries = [entry.strip() for entry in text.split(",")]
    found: dict[str, None] = {}
    for number, entry in zip(count(1), filter(None, entries), strict=False):
        if (reason := _why_not(entry)) is not None:
            raise ValueError(f"address {number}: {reason}" if len(entries) > 1 else reason)
        host, _, port = entry.rpartition(":")
        found[f"{host}:{int(port)}"] = None
    if not found:
        raise ValueError("must name at least one broker, as host:port")
    return ",".join(found)


def split_address(address: str) -> tuple[str, int]:
    """Host, an IPv6 address without its brackets, and port of a normalised address."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_address(host: str, port: int) -> str:
    """The address as settings have it, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _why_not(entry: str) -> str | None:
    """What is wrong with an address, in words; None if nothing is."""
    if "@" in entry:
        return "must not hold a user or a password: set kafka.security.username and password"
    if "://" in entry:
        return "must be host:port without a scheme: kafka.security.protocol names the protocol"
    if any(character.isspace() or character == ";" for character in entry):
        return "addresses are separated by commas"
    if "'" in entry or '"' in entry:
        return "a list is written without brackets and quotes: a:9092,b:9092"
    if "/" in entry:
        return "must be host:port without a path"
    host, colon, port = entry.rpartition(":")
    if entry.startswith("["):
        if not entry.rpartition("]")[2].startswith(":"):
            return "has no port after the brackets: [::1]:9092"
        return _why_not_ipv6(host) or _why_not_port(port)
    if not colon:
        return "has no port: host:9092"
    if ":" in host:
        return "write an IPv6 address in brackets, before its port: [::1]:9092"
    if not host:
        return "has no host: host:9092"
    if not _HOST.fullmatch(host):
        return "is not the name or the address of a host"
    return _why_not_port(port)


def _why_not_ipv6(host: str) -> str | None:
    try:
        ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return "has no IPv6 address in its brackets: [::1]:9092"
    return None


def _why_not_port(port: str) -> str | None:
    if not (port.isascii() and port.isdigit()):
        return "its port is not a number"
    return None if len(port) <= 5 and 1 <= int(port) <= 65535 else "its port must be 1 to 65535"
