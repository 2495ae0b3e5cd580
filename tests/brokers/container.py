"""Apache Kafka's own image in a container, through testcontainers, on a Docker engine of this machine."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import get_docker_host

from tests.brokers.cluster import FEATURES as ALL_FEATURES
from tests.brokers.cluster import Feature, NotStarted, Unavailable, Wanted, create_topic, wait_for_nodes
from tests.brokers.maven import VERSION, as_file
from tests.brokers.ports import ReservedPorts
from tests.brokers.properties import node_properties

FEATURES: frozenset[Feature] = ALL_FEATURES - {"multi_node"}
IMAGE = f"apache/kafka:{VERSION}"
_CONTROLLER_PORT = 9093  # Inside the container only.
_CONFIG = "/mnt/shared/config/server.properties"  # Where the image looks for the user's own.
_PING_TIMEOUT_S = 1.5
_START_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 20


def detect() -> str:
    """What there is, in words. Raises Unavailable, in under two seconds, when no local engine answers a ping."""
    host = get_docker_host() or "unix:///var/run/docker.sock"
    url = urlsplit(host)
    try:
        with ExitStack() as resources:
            if url.scheme == "unix":
                engine = resources.enter_context(socket.socket(socket.AF_UNIX))
                engine.settimeout(_PING_TIMEOUT_S)
                engine.connect(url.path)
            elif url.scheme in ("tcp", "http") and url.hostname in ("127.0.0.1", "localhost"):
                address = (url.hostname, url.port or 2375)
                engine = resources.enter_context(socket.create_connection(address, _PING_TIMEOUT_S))
            else:
                raise Unavailable(f"the engine at {host} is not on this machine")
            engine.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            status = engine.recv(64)
    except OSError as error:
        raise Unavailable(f"no engine at {host}: {error}") from error
    if b" 200 " not in status:
        raise Unavailable(f"the engine at {host} answers a ping with {status[:40]!r}")
    return f"{IMAGE} in Docker"


class ContainerCluster:
    """A NodeCluster of one container. The port is the same inside and outside, so that one address is right
    for clients and for the broker when it calls itself.

    The properties come as a file, not as KAFKA_* variables: the image's script wants a keystore file where it sees
    a TLS listener among these and KAFKA_OPTS where it sees one with SASL, and a PEM key has line breaks.
    """

    def __init__(self, wanted: Wanted) -> None:
        if wanted.nodes != 1:
            raise Unavailable("a container has one node")
        self.name = IMAGE
        self.features = FEATURES
        self._wanted = wanted
        self._resources = ExitStack()
        self._ports: dict[str, int] = {}

    @property
    def nodes(self) -> int:
        return 1

    @property
    def bootstrap(self) -> str:
        return self.address("PLAINTEXT")

    def address(self, listener: str) -> str:
        return f"127.0.0.1:{self._ports[listener]}"

    def create_topic(self, name: str, partitions: int, configs: Mapping[str, str]) -> None:
        create_topic(self.bootstrap, name, partitions, configs)

    def __enter__(self) -> Self:
        listeners = ("PLAINTEXT", *self._wanted.listeners)
        with ReservedPorts(len(listeners)) as reserved:  # Given back before the engine binds them.
            self._ports = dict(zip(listeners, reserved.ports, strict=True))
        anywhere = "0.0.0.0"  # noqa: S104 -- within the container: it is published on 127.0.0.1 only.
        properties = node_properties(1, {1: _CONTROLLER_PORT}, self._ports, self._wanted.properties, anywhere)
        try:
            container = DockerContainer(IMAGE, env={"KAFKA_HEAP_OPTS": "-Xmx512m"})
            container.with_copy_into_container(as_file(properties).encode(), _CONFIG)
            published = cast(dict[str, Any], container.ports)  # Its type leaves out the address to publish on.
            published.update({f"{port}/tcp": ("127.0.0.1", port) for port in self._ports.values()})
            self._resources.enter_context(container)
            self._container = container.get_wrapped_container()
            self._wait()
        except BaseException as error:
            self._resources.close()
            if isinstance(error, Exception) and not isinstance(error, Unavailable):
                raise Unavailable(f"{IMAGE}: {error}") from error  # No image, no Ryuk, a port taken, ...
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def stop(self, node: int) -> None:
        self._container.stop(timeout=_STOP_TIMEOUT_S)

    def kill(self, node: int) -> None:
        self._container.kill()

    def pause(self, node: int) -> None:
        self._container.pause()

    def resume(self, node: int) -> None:
        self._container.unpause()

    def start(self, node: int) -> None:
        self._container.start()
        self._wait()

    def restart(self, node: int) -> None:
        self.stop(node)
        self.start(node)

    def _wait(self) -> None:
        try:
            wait_for_nodes(self.bootstrap, frozenset((1,)), _START_TIMEOUT_S, self._check)
        except TimeoutError as error:
            raise NotStarted(f"{IMAGE}: {error}\n{self._log()}") from error

    def _check(self) -> None:
        """Raises NotStarted when the node has ended by itself."""
        self._container.reload()
        if self._container.status == "exited":
            status = self._container.attrs["State"]["ExitCode"]
            raise NotStarted(f"node 1 ended with status {status}:\n{self._log()}")

    def _log(self) -> str:
        log: bytes = self._container.logs(tail=25)
        return log.decode(errors="replace")
