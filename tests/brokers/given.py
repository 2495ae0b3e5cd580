"""The broker that STREAMER_TEST_BOOTSTRAP points to: somebody else's, so never stopped or configured."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tests.brokers.cluster import Feature, Unavailable, create_topic, wait_for_nodes

FEATURES: frozenset[Feature] = frozenset(("admin", "rebalancing", "storage", "transactions"))
_TIMEOUT_S = 10.0


class GivenCluster:
    """A Cluster that somebody else runs."""

    def __init__(self, bootstrap: str) -> None:
        self.name = f"the broker at {bootstrap}"
        self.bootstrap = bootstrap
        self.features = FEATURES

    def create_topic(self, name: str, partitions: int, configs: Mapping[str, str]) -> None:
        create_topic(self.bootstrap, name, partitions, configs)

    def __enter__(self) -> Self:
        try:
            wait_for_nodes(self.bootstrap, frozenset(), _TIMEOUT_S)
        except TimeoutError as error:
            raise Unavailable(f"STREAMER_TEST_BOOTSTRAP: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass
