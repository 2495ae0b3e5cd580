"""What the service opens by default, it opens on loopback only."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import sys
from pathlib import Path

import pytest

from streamer.demo.embedded_broker import EmbeddedBroker
from tests.workers import Worker

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and takes all of 127.0.0.0/8 for loopback")


def listening(pid: int) -> set[tuple[str, int]]:
    """The addresses and ports on which a process listens for TCP, as the kernel tells."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor)):
            sockets.add(found[1])
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and inode in sockets:
                host, port = local.split(":")
                addresses.add((_address(host), int(port, 16)))
    return addresses


def _address(host: str) -> str:
    """The kernel writes words of 32 bits, each in the byte order of the machine."""
    words = [int(host[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(host), 8)]
    return str(ipaddress.ip_address(b"".join(words)))


def other_addresses() -> set[str]:
    """Other addresses of this machine: one more of loopback's and, where there is a network, one that others reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # Sends nothing: it only asks by which way it would go.
            return {"127.0.0.2", probe.getsockname()[0]}
        except OSError:
            return {"127.0.0.2"}


@linux
@pytest.mark.requires("faults", "properties")
def test_a_worker_listens_on_loopback_only(talkative: Worker) -> None:
    """One port, for metrics and health; nobody gets there by another address of the same machine."""
    assert listening(talkative.process.pid) == {("127.0.0.1", talkative.port)}
    with socket.create_connection(("127.0.0.1", talkative.port), timeout=5):
        pass
    for address in other_addresses():
        with pytest.raises(OSError), socket.create_connection((address, talkative.port), timeout=5):
            pass


@linux
def test_the_embedded_broker_listens_on_loopback_only() -> None:
    """It lets everybody in: it must not be for everybody to come."""
    with EmbeddedBroker({"reviews": 1}) as broker:
        assert {host for host, _ in listening(broker.pid)} == {"127.0.0.1"}
