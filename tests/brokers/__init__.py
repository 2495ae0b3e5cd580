"""Real brokers to test on, from whatever this machine has: see `chain` for the order, `cluster` for the contract.

Providers: `given` (STREAMER_TEST_BOOTSTRAP), `container` (Docker), `maven` and `kraft` (Java), `embedded`.
"""

from tests.brokers.chain import Chain, Provider, providers
from tests.brokers.cluster import (
    FEATURES,
    Cluster,
    Feature,
    MakeTopic,
    NodeCluster,
    StartCluster,
    Unavailable,
    Wanted,
    new_topic,
    wait_for_nodes,
)

__all__ = [
    "FEATURES",
    "Chain",
    "Cluster",
    "Feature",
    "MakeTopic",
    "NodeCluster",
    "Provider",
    "StartCluster",
    "Unavailable",
    "Wanted",
    "new_topic",
    "providers",
    "wait_for_nodes",
]
