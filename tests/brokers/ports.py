"""Loopback ports that stay free until the process they are meant for takes them."""

from __future__ import annotations

import socket
import sys
from types import TracebackType
from typing import Self


class ReservedPorts:
    """`count` free ports on 127.0.0.1, reserved from construction until `release` or the end of the block.

    On Linux a reservation is a bound socket that does not listen. With SO_REUSEADDR on both sides (Java and Go
    set it) a server may listen on the same port, while the kernel gives it to nobody else: not as the free port
    of another test run, nor as the local port of a connection. So a broker can be stopped and started again
    on its port. Elsewhere two sockets cannot share a port, and the reservation only shows which ports were free.
    """

    def __init__(self, count: int) -> None:
        self._sockets: list[socket.socket] = []
        try:
            for _ in range(count):
                held = socket.socket()
                self._sockets.append(held)
                held.bind(("127.0.0.1", 0))  # All are held at once, so no two are the same.
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except BaseException:
            self.release()
            raise
        self.ports: tuple[int, ...] = tuple(held.getsockname()[1] for held in self._sockets)
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        """Give the ports back."""
        while self._sockets:
            self._sockets.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
