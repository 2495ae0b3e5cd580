"""What every provider of a test broker offers, and the few requests that all of them share."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, Self, runtime_checkable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

Feature = Literal[
    "admin",  # The admin API: topic settings, describe, delete.
    "faults",  # Nodes can be stopped, killed, paused and started again.
    "multi_node",  # Three nodes with elections among them.
    "properties",  # A cluster of one's own, with broker properties and listeners of one's choice.
    "rebalancing",  # Groups of more than one member.
    "storage",  # Everything written can be read back, however much it is.
    "transactions",  # Isolated, fenced, and read by read_committed.
]
FEATURES: frozenset[Feature] = frozenset(
    ("admin", "faults", "multi_node", "properties", "rebalancing", "storage", "transactions")
)


class Unavailable(Exception):
    """This provider cannot give a broker on this machine; the message says why."""


class NotStarted(Unavailable):
    """A node did not come up, for which the properties that a test gave it may be to blame."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A cluster to start. `listeners` are asked for beside PLAINTEXT, by the name of their security protocol."""

    nodes: int = 1
    properties: Mapping[str, str] = field(default_factory=dict)
    listeners: tuple[str, ...] = ()


class Cluster(Protocol):
    """A cluster that runs inside its `with` block. Entering raises Unavailable when it does not come up."""

    @property
    def name(self) -> str:
        """What runs, for people."""

    @property
    def bootstrap(self) -> str:
        """Loopback addresses for `bootstrap.servers`."""

    @property
    def features(self) -> frozenset[Feature]:
        """What this cluster can do beyond topics, producers, one-member groups and commits."""

    def create_topic(self, name: str, partitions: int, configs: Mapping[str, str]) -> None:
        """Create a topic on all nodes and wait until each partition has a leader. Needs "admin" for configs."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class NodeCluster(Cluster, Protocol):
    """A cluster with "faults". Nodes are named by their broker ids, 1 to `nodes`, as metadata names leaders.

    `start` and `restart` return when the node answers a metadata request; the others when it is done.
    """

    @property
    def nodes(self) -> int:
        """How many nodes there are, running or not."""

    def address(self, listener: str) -> str:
        """Loopback addresses of one of the listeners that were asked for."""

    def stop(self, node: int) -> None:
        """End a node in an orderly way (SIGTERM)."""

    def kill(self, node: int) -> None:
        """End a node at once (SIGKILL)."""

    def pause(self, node: int) -> None:
        """Make a node hang (SIGSTOP): its connections stay open and nothing answers."""

    def resume(self, node: int) -> None:
        """Let a paused node go on (SIGCONT)."""

    def start(self, node: int) -> None:
        """Start a node that was stopped or killed, on the data and the port that it had."""

    def restart(self, node: int) -> None:
        """Stop a node and start it again."""


class MakeTopic(Protocol):
    """`new_topic` on the shared cluster: the fixture `make_topic`."""

    def __call__(self, partitions: int = 1, **configs: str) -> str: ...


class StartCluster(Protocol):
    """Starts a cluster that is the test's own: the fixture `start_cluster`. See Wanted for what it takes."""

    def __call__(
        self, nodes: int = 1, *, properties: Mapping[str, str] = ..., listeners: tuple[str, ...] = ...
    ) -> NodeCluster: ...


def new_topic(cluster: Cluster, partitions: int = 1, **configs: str) -> str:
    """Create a topic with a name of its own. `configs` are Kafka's with underscores for dots."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    cluster.create_topic(name, partitions, {key.replace("_", "."): value for key, value in configs.items()})
    return name


def wait_for_nodes(
    address: str, nodes: frozenset[int], timeout_s: float, alive: Callable[[], None] = lambda: None
) -> None:
    """Return when a metadata request to `address` is answered and names all of `nodes`.

    Raises TimeoutError after `timeout_s`, and whatever `alive` raises, which is called between the tries.
    """
    deadline = time.monotonic() + timeout_s
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0, "reconnect.backoff.max.ms": 100})
    while True:
        alive()
        try:
            if nodes <= admin.list_topics(timeout=0.5).brokers.keys():
                return
        except KafkaException:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{address} did not answer with nodes {sorted(nodes)} within {timeout_s:g} s")
        time.sleep(0.02)


def create_topic(
    bootstrap: str, name: str, partitions: int, configs: Mapping[str, str], timeout_s: float = 15.0
) -> None:
    """Create a topic by the admin API, replicated as is the cluster's default, and wait for its leaders."""
    deadline = time.monotonic() + timeout_s
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    topic = NewTopic(name, partitions, replication_factor=-1, config=dict(configs))
    admin.create_topics([topic], request_timeout=timeout_s)[name].result(timeout_s)
    while True:
        found = admin.list_topics(name, timeout=timeout_s).topics[name]
        if len(found.partitions) == partitions and all(p.leader > 0 for p in found.partitions.values()):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"topic {name} has no leaders after {timeout_s:g} s: {found.error}")
        time.sleep(0.02)
