"""One or three local Kafka nodes, each a JVM that is controller and broker at once, on loopback ports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.brokers.cluster import FEATURES, Feature, NotStarted, Wanted, create_topic, wait_for_nodes
from tests.brokers.maven import CLUSTER_ID, VERSION, install, write_properties
from tests.brokers.ports import ReservedPorts
from tests.brokers.properties import node_properties
from tests.brokers.watchdog import Watchdog

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0
# One compiler tier and the simplest collector: with two cores, starting counts for more than throughput.
_JVM = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto")
_LOG = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


@dataclass(slots=True)
class _Node:
    id: int
    folder: Path
    ports: dict[str, int]  # By listener, without the controller's.
    process: subprocess.Popen[bytes] | None = None

    def running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise RuntimeError(f"node {self.id} is not running")
        return self.process

    def check(self) -> None:
        """Raises NotStarted, with the end of the log, when the process has ended by itself."""
        if (status := self.running().poll()) is not None:
            raise NotStarted(f"node {self.id} ended with status {status}:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of the node's log, without the frames of stack traces."""
        lines = (self.folder / "node.log").read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if not line.startswith("\tat ")][-25:])


class KraftCluster:
    """A NodeCluster of local processes. Its data is kept across restarts of nodes and removed at the end."""

    def __init__(self, wanted: Wanted) -> None:
        self.name = f"Apache Kafka {VERSION}, {wanted.nodes} local node{'s' if wanted.nodes > 1 else ''}"
        self.features: frozenset[Feature] = FEATURES
        self._wanted = wanted
        self._nodes: dict[int, _Node] = {}
        self._resources = ExitStack()

    @property
    def nodes(self) -> int:
        return self._wanted.nodes

    @property
    def bootstrap(self) -> str:
        return self.address("PLAINTEXT")

    def address(self, listener: str) -> str:
        return ",".join(f"127.0.0.1:{node.ports[listener]}" for node in self._nodes.values())

    def create_topic(self, name: str, partitions: int, configs: Mapping[str, str]) -> None:
        create_topic(self.bootstrap, name, partitions, configs)

    def __enter__(self) -> Self:
        self._installation = install()
        self._watchdog = self._resources.enter_context(Watchdog())
        try:
            self._lay_out()
            for node in self._nodes.values():
                self._launch(node)
            for node in self._nodes.values():
                self._wait(node, frozenset(self._nodes))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def stop(self, node: int) -> None:
        process = self._nodes[node].running()
        process.terminate()
        process.send_signal(signal.SIGCONT)  # A paused process would not hear the other.
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_TIMEOUT_S)
        self.kill(node)
        if self._new_archive.exists():
            _publish(self._new_archive, self._installation.archive)

    def kill(self, node: int) -> None:
        process = self._nodes[node].running()
        process.kill()
        process.wait()
        self._nodes[node].process = None
        self._watchdog.release(process.pid)

    def pause(self, node: int) -> None:
        self._nodes[node].running().send_signal(signal.SIGSTOP)

    def resume(self, node: int) -> None:
        self._nodes[node].running().send_signal(signal.SIGCONT)

    def start(self, node: int) -> None:
        if self._nodes[node].process is not None:
            raise RuntimeError(f"node {node} is running")
        self._launch(self._nodes[node])
        self._wait(self._nodes[node], frozenset((node,)))

    def restart(self, node: int) -> None:
        self.stop(node)
        self.start(node)

    @property
    def _new_archive(self) -> Path:
        return self._watchdog.folder / "classes.jsa"

    def _lay_out(self) -> None:
        """Reserve the ports and write each node's properties and formatted data folder."""
        names = ("PLAINTEXT", *self._wanted.listeners)
        ids = range(1, self._wanted.nodes + 1)
        ports = iter(self._resources.enter_context(ReservedPorts(len(ids) * (len(names) + 1))).ports)
        voters = {node: next(ports) for node in ids}
        for node in ids:
            folder = self._watchdog.folder / f"node-{node}"
            data = folder / "data"
            data.mkdir(parents=True)
            listeners = {name: next(ports) for name in names}
            own = {"log.dirs": str(data)} | dict(self._wanted.properties)
            write_properties(folder / "server.properties", node_properties(node, voters, listeners, own))
            write_properties(data / "meta.properties", {"version": "1", "cluster.id": CLUSTER_ID, "node.id": str(node)})
            shutil.copy(self._installation.checkpoint, data)
            self._nodes[node] = _Node(node, folder, listeners)

    def _launch(self, node: _Node) -> None:
        archive = self._installation.archive
        classes = []
        if archive.exists():
            classes = [f"-XX:SharedArchiveFile={archive}"]
        elif node.id == 1:  # Written when the node stops, which `stop` and `_close` see to.
            classes = [f"-XX:ArchiveClassesAtExit={self._new_archive}"]
        command = [self._installation.java.path, *_JVM, *classes, *_LOG, "-cp", self._installation.classpath]
        with (node.folder / "node.log").open("ab") as log:
            node.process = subprocess.Popen(
                [*command, "kafka.Kafka", str(node.folder / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # A Ctrl-C is for the tests, which may still want to drain.
            )
        self._watchdog.guard(node.process.pid)

    def _wait(self, node: _Node, nodes: frozenset[int]) -> None:
        try:
            wait_for_nodes(f"127.0.0.1:{node.ports['PLAINTEXT']}", nodes, _START_TIMEOUT_S, node.check)
        except TimeoutError as error:
            raise NotStarted(f"node {node.id}: {error}\n{node.tail()}") from error

    def _close(self) -> None:
        """Kill what runs, as the data is thrown away; but let a node that can write the archive of classes."""
        with self._resources:
            for node in self._nodes.values():
                if node.process is None:
                    continue
                if node.id == 1 and not self._installation.archive.exists() and node.process.poll() is None:
                    self.stop(node.id)
                else:
                    self.kill(node.id)


def _publish(path: Path, to: Path) -> None:
    """Put a copy of a file in place, complete from the first moment that it is seen."""
    partial = to.with_name(f".{os.getpid()}-{to.name}")
    shutil.copy(path, partial)
    partial.replace(to)
