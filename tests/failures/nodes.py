"""Faults of brokers on the shared cluster, all of which are undone at the end of the test."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.brokers import NodeCluster
from tests.failures.waiting import eventually


def warm_up(bootstrap: str) -> None:
    """The first transaction of a cluster makes its log, for which a worker does not wait on a busy machine."""
    Producer({"bootstrap.servers": bootstrap, "transactional.id": "first", "log_level": 0}).init_transactions(60)


class Nodes:
    """The cluster whose nodes are killed, paused and started by their ids, and that knows how to get well again."""

    def __init__(self, cluster: NodeCluster) -> None:
        self.cluster = cluster
        self._down: set[int] = set()
        self._paused: set[int] = set()
        self.bootstrap = cluster.bootstrap
        self.all = tuple(range(1, cluster.nodes + 1))

    def topic_on(self, node: int, partitions: int) -> str:
        """A topic that only this node has; returns its name."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        wanted = NewTopic(
            name, partitions, replica_assignment=[[node]] * partitions, config={"min.insync.replicas": "1"}
        )
        admin.create_topics([wanted])[name].result(10)
        self.wait_in_sync()
        return name

    def kill(self, *nodes: int) -> None:
        """kill -9, of all of them at once."""
        for node in nodes:
            self.cluster.kill(node)
            self._down.add(node)

    def start(self, *nodes: int) -> None:
        """Start what was killed, all at once: alone a node answers nothing. Returns when each answers."""
        with ThreadPoolExecutor(len(self.all)) as pool:
            list(pool.map(self.cluster.start, nodes))
        self._down -= set(nodes)

    def restart(self, node: int) -> None:
        """Stop and start in an orderly way."""
        self.cluster.restart(node)

    def pause(self, *nodes: int) -> None:
        """Let them hang: connections stay open, nothing answers."""
        for node in nodes:
            self.cluster.pause(node)
            self._paused.add(node)

    def resume(self) -> None:
        """Let all go on that hang."""
        while self._paused:
            self.cluster.resume(self._paused.pop())

    def heal(self) -> None:
        """All nodes run, and all replicas are in sync again."""
        self.resume()
        self.start(*sorted(self._down))
        self.wait_in_sync()

    def wait_in_sync(self) -> None:
        """Until every partition has a leader and all of its replicas."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

        def in_sync() -> bool:
            try:
                found = admin.list_topics(timeout=5)
            except KafkaException:
                return False
            partitions = [part for topic in found.topics.values() for part in topic.partitions.values()]
            return len(found.brokers) == len(self.all) and all(
                part.leader > 0 and set(part.isrs) == set(part.replicas) for part in partitions
            )

        eventually(in_sync, "all replicas in sync", 90)

    def coordinator(self, group: str) -> int:
        """The node that coordinates a group."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        node: int = admin.describe_consumer_groups([group])[group].result(10).coordinator.id
        return node

    def transaction_coordinator(self, transactional_id: str) -> int:
        """The node that coordinates the transactions of an id: it leads the partition that the id's hash names.

        The hash is Java's of a string; see TransactionStateManager.partitionFor in Kafka.
        """
        hashed = 0
        for unit in memoryview(transactional_id.encode("utf-16-le")).cast("H"):
            hashed = (31 * hashed + unit) & 0xFFFF_FFFF
        signed = hashed - (hashed >> 31 << 32)
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        log = admin.list_topics("__transaction_state", timeout=10).topics["__transaction_state"].partitions
        leader: int = log[abs(signed) % len(log)].leader
        return leader
