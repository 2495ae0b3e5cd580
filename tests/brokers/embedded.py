"""The embedded broker as a Cluster: always there with confluent-kafka, and with the fewest features."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from streamer.demo.embedded_broker import BrokerError, EmbeddedBroker
from tests.brokers.cluster import Feature, Unavailable

FEATURES: frozenset[Feature] = frozenset()


class EmbeddedCluster:
    """A Cluster of one mock node."""

    def __init__(self) -> None:
        self.name = "librdkafka's mock cluster"
        self.features = FEATURES
        self._broker = EmbeddedBroker()

    @property
    def bootstrap(self) -> str:
        return self._broker.bootstrap

    def create_topic(self, name: str, partitions: int, configs: Mapping[str, str]) -> None:
        if configs:
            raise ValueError('the embedded broker has no topic settings: mark the test requires("admin")')
        self._broker.create_topic(name, partitions)

    def __enter__(self) -> Self:
        try:
            self._broker.__enter__()
        except BrokerError as error:
            raise Unavailable(str(error)) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broker.__exit__(kind, error, trace)
