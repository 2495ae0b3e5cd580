"""The proxy that the network scenarios use does what they think it does."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.failures.proxy import Flow, Proxy


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that are cut are what this is about."""


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """In front of a server that sends back what it gets."""
    with _Server(("127.0.0.1", 0), _Echo) as server, Proxy(server.server_address[1]) as proxy:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield proxy
        server.shutdown()


def connect(proxy: Proxy) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxy.port), 5)
    connection.settimeout(5)
    return connection


def answer(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return connection.recv(100)


def closed(connection: socket.socket) -> bool:
    try:
        return answer(connection, b"?") == b""
    except ConnectionError:
        return True


def nothing_comes(connection: socket.socket) -> bool:
    connection.settimeout(0.3)
    try:
        connection.recv(100)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(5)
    return False


def test_it_forwards_in_both_directions(proxy: Proxy) -> None:
    """A megabyte comes back as it was sent."""
    with connect(proxy) as connection:
        data = bytes(range(256)) * 4096
        threading.Thread(target=connection.sendall, args=(data,)).start()
        received = b""
        while len(received) < len(data):
            received += connection.recv(65536)
        assert received == data


def test_a_cut_closes_and_refuses_until_it_forwards_again(proxy: Proxy) -> None:
    """Open connections end, new ones as soon as they are made."""
    with connect(proxy) as connection:
        assert answer(connection, b"1") == b"1"
        proxy.cut()
        assert closed(connection)
    with connect(proxy) as connection:
        assert closed(connection)
    proxy.forward()
    with connect(proxy) as connection:
        assert answer(connection, b"4") == b"4"


def test_a_stall_keeps_bytes_back(proxy: Proxy) -> None:
    """Connections are accepted and nothing answers; when it forwards again, all that was sent comes."""
    with connect(proxy) as before:
        assert answer(before, b"1") == b"1"
        proxy.stall()
        with connect(proxy) as during:
            for connection in (before, during):
                connection.sendall(b"2")
                assert nothing_comes(connection)
            proxy.forward()
            assert before.recv(100) == during.recv(100) == b"2"


def test_a_half_open_connection_loses_bytes_in_silence(proxy: Proxy) -> None:
    """It stays open, and what was sent meanwhile never comes."""
    with connect(proxy) as connection:
        assert answer(connection, b"1") == b"1"
        proxy.half_open()
        connection.sendall(b"2")
        assert nothing_comes(connection)
        proxy.forward()
        assert answer(connection, b"3") == b"3"


def test_directions_have_faults_of_their_own(proxy: Proxy) -> None:
    """With only the way back stalled, the request arrives, and its answer comes later."""
    with connect(proxy) as connection:
        assert answer(connection, b"1") == b"1"
        proxy.to_client = Flow("stall")
        connection.sendall(b"2")
        assert nothing_comes(connection)
        proxy.to_target = Flow("drop")  # Too late for what has arrived.
        proxy.to_client = Flow()
        assert connection.recv(100) == b"2"


def test_latency_delays_and_keeps_the_order(proxy: Proxy) -> None:
    """Each way takes at least the delay less the jitter; pieces do not overtake each other."""
    proxy.slow(0.05, 0.04)
    with connect(proxy) as connection:
        begin = time.monotonic()
        assert answer(connection, b"1") == b"1"
        assert time.monotonic() - begin >= 2 * (0.05 - 0.04)
        for number in range(10):
            connection.sendall(b"%d" % number)
            time.sleep(0.005)
        received = b""
        while len(received) < 10:
            received += connection.recv(100)
        assert received == b"0123456789"
