"""Which broker the tests run on: the first provider that is there and starts."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.brokers import container, embedded, given, kraft, maven
from tests.brokers.cluster import FEATURES, Cluster, Feature, NotStarted, Unavailable, Wanted

FORCE = "STREAMER_TEST_BROKER"
BOOTSTRAP = "STREAMER_TEST_BOOTSTRAP"


@dataclass(frozen=True, slots=True)
class Provider:
    """A way to come by a broker. `detect` says in words what there is, quickly and without starting it, and
    raises Unavailable where there is nothing; `cluster` makes a cluster that is not started yet."""

    name: str
    features: frozenset[Feature]
    detect: Callable[[], str]
    cluster: Callable[[Wanted], Cluster]


def _detect_embedded() -> str:
    if importlib.util.find_spec("confluent_kafka") is None:
        raise Unavailable("no confluent-kafka")
    return "librdkafka's mock cluster"


DOCKER = Provider("docker", container.FEATURES, container.detect, container.ContainerCluster)
MAVEN = Provider("maven", FEATURES, maven.detect, kraft.KraftCluster)
EMBEDDED = Provider("embedded", embedded.FEATURES, _detect_embedded, lambda _: embedded.EmbeddedCluster())


def providers(environ: Mapping[str, str]) -> tuple[Provider, ...]:
    """Those to try, in order. One that the environment names is the only one: it is that or an error."""
    if bootstrap := environ.get(BOOTSTRAP):
        cluster = given.GivenCluster(bootstrap)
        return (Provider("given", given.FEATURES, lambda: cluster.name, lambda _: cluster),)
    chain = (DOCKER, MAVEN, EMBEDDED)
    if forced := environ.get(FORCE):
        if chosen := tuple(provider for provider in chain if provider.name == forced):
            return chosen
        raise ValueError(f"{FORCE}={forced}: not one of {', '.join(provider.name for provider in chain)}")
    return chain


class Chain:
    """The providers in order, of which it settles on the first that starts a cluster.

    Until then a failure moves it on to the next one; afterwards a failure is raised, because tests that have
    run on one broker should not be followed by tests on another.
    """

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._left = list(providers)
        self._described: str | None = None
        self._settled = False
        self.passed: list[str] = []  # The providers passed over, each with the reason, in order.

    @property
    def provider(self) -> Provider:
        """The provider in use, or the next to be tried. Raises Unavailable when none is left."""
        while self._described is None:
            if not self._left:
                raise Unavailable("no broker to test with: " + "; ".join(self.passed))
            try:
                self._described = self._left[0].detect()
            except Unavailable as error:
                self._pass_over(error)
        return self._left[0]

    def describe(self) -> str:
        """The provider in use or next, and those passed over with their reasons, on one line."""
        try:
            return "; ".join([f"{self.provider.name} ({self._described})", *self.passed])
        except Unavailable as error:
            return str(error)

    def missing(self, features: Iterable[Feature]) -> list[Feature]:
        """Those of `features` that the provider in use or next does not have."""
        return sorted(set(features) - self.provider.features)

    @contextmanager
    def running(self, wanted: Wanted) -> Iterator[Cluster]:
        """A cluster that runs until the end of the block."""
        with ExitStack() as resources:
            yield self._start(wanted, resources)

    def _start(self, wanted: Wanted, resources: ExitStack) -> Cluster:
        while True:
            try:
                cluster = resources.enter_context(self.provider.cluster(wanted))
            except Unavailable as error:
                own_fault = isinstance(error, NotStarted) and (wanted.properties or wanted.listeners)
                if own_fault or self._settled or len(self._left) < 2:
                    raise
                self._pass_over(error)
            else:
                self._settled = True
                return cluster

    def _pass_over(self, error: Unavailable) -> None:
        self.passed.append(f"not {self._left.pop(0).name}: {error}")
        self._described = None
