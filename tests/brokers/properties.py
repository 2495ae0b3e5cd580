"""The broker properties of a test node, the same whether it runs in a container or as a local process."""

from __future__ import annotations

from collections.abc import Mapping

CONTROLLER = "CONTROLLER"
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


def node_properties(
    node: int,
    voters: Mapping[int, int],
    listeners: Mapping[str, int],
    properties: Mapping[str, str],
    bind: str = "127.0.0.1",
) -> dict[str, str]:
    """The properties of a node that is broker and controller.

    `voters` maps node ids to controller ports; `listeners` maps names (each a security protocol) to the ports of
    this node, `bind` is where it listens, and 127.0.0.1 what it advertises. `properties` win over what is here.
    """
    nodes = len(voters)
    controller = f"{CONTROLLER}://127.0.0.1:{voters[node]}"
    quorum = {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": ",".join(f"{voter}@127.0.0.1:{port}" for voter, port in voters.items()),
        "controller.listener.names": CONTROLLER,
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": ",".join([*(f"{name}://{bind}:{port}" for name, port in listeners.items()), controller]),
        "advertised.listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items()),
        "listener.security.protocol.map": ",".join(
            [f"{CONTROLLER}:PLAINTEXT", *(f"{name}:{name}" for name in _PROTOCOLS)]
        ),
    }
    replication = {
        "default.replication.factor": nodes,
        "min.insync.replicas": max(1, nodes - 1),
        "offsets.topic.replication.factor": nodes,
        "transaction.state.log.replication.factor": nodes,
        "transaction.state.log.min.isr": max(1, nodes - 1),
    }
    quick = {
        "broker.session.timeout.ms": 3000,  # A killed node is noticed after this, not after 9 s.
        "broker.heartbeat.interval.ms": 500,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,  # Lets a test have members that are missed quickly.
        "offsets.topic.num.partitions": 3,
        "transaction.state.log.num.partitions": 3,
        "num.network.threads": 2,
        "num.io.threads": 2,
        "log.retention.ms": -1,  # Records may carry old timestamps, and are not to vanish for it.
        "log.index.size.max.bytes": 1048576,
    }
    return quorum | {key: str(value) for key, value in (replication | quick).items()} | dict(properties)
