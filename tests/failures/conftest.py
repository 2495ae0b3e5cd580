"""What the scenarios run on; see `tests.failures`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.brokers import Cluster, NodeCluster, Unavailable, maven, new_topic
from tests.failures.harness import Scenario
from tests.failures.modes import AT_LEAST_ONCE, EXACTLY_ONCE, MODES
from tests.failures.nodes import Nodes, warm_up
from tests.failures.outcomes import Recorder
from tests.failures.proxied import ProxiedCluster
from tests.jobs import Job


class Begin(Protocol):
    """Begins a scenario on a cluster, with so many partitions; `configs` are the input topic's.

    `output` and `dead` are topics instead of those that it would make.
    """

    def __call__(
        self, cluster: Cluster, partitions: int = 6, *, output: str = "", dead: str = "", **configs: str
    ) -> Scenario: ...


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --failures only the fast scenarios run, each in one mode."""
    if config.getoption("--failures"):
        return
    slow = [item for item in items if item.get_closest_marker("failures") and not _is_fast(item)]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in set(slow)]


def _is_fast(item: pytest.Item) -> bool:
    """`@pytest.mark.fast(mode)` says in which."""
    mark = item.get_closest_marker("fast")
    callspec = getattr(item, "callspec", None)
    mode = callspec.params.get("mode") if callspec is not None else None
    return mark is not None and mode in (None, *(mark.args or (AT_LEAST_ONCE,)))


@pytest.fixture(autouse=True)
def _untraced(untraced_processes: None) -> None:
    """Nearly all of them are killed."""


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """The delivery mode."""
    return str(request.param)


@pytest.fixture
def repeats(mode: str) -> None:
    """For scenarios about what is published and not yet committed, which only one mode has."""
    if mode != AT_LEAST_ONCE:
        pytest.skip(f"in {mode} nothing is to be seen before it is committed")


@pytest.fixture
def transactional(mode: str) -> None:
    """For scenarios about transactions, which only one mode has."""
    if mode != EXACTLY_ONCE:
        pytest.skip(f"in {mode} there are no transactions")


@pytest.fixture
def nodes(three_nodes: NodeCluster) -> Iterator[Nodes]:
    """The three shared nodes, all well again after the test."""
    nodes = Nodes(three_nodes)
    nodes.wait_in_sync()
    yield nodes
    nodes.heal()


@pytest.fixture
def begin(mode: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Begin]:
    """Begins scenarios, and ends what is left of them with the test."""
    kept = request.config.getoption("--reliability")
    given = [str(value) for name, value in request.node.callspec.params.items() if name != "mode"]
    name = " ".join([request.node.originalname, *given])
    with ExitStack() as resources:

        def start(
            cluster: Cluster, partitions: int = 6, *, output: str = "", dead: str = "", **configs: str
        ) -> Scenario:
            recorder = Recorder(Path(kept) if kept else None, request.module.__name__, name, cluster.name)

            def make(partitions: int = 1, **own: str) -> str:
                return new_topic(cluster, partitions, **own)

            if mode == EXACTLY_ONCE:
                warm_up(cluster.bootstrap)
            job = Job(cluster, make, partitions, **configs)
            job.output, job.dead = output or job.output, dead or job.dead
            return resources.enter_context(Scenario(job, mode, tmp_path, recorder))

        yield start


@pytest.fixture
def scenario(begin: Begin, nodes: Nodes) -> Scenario:
    """A scenario on the three nodes."""
    return begin(nodes.cluster)


@pytest.fixture(scope="module")
def far_nodes() -> Iterator[ProxiedCluster]:
    """Three nodes behind proxies, shared by a module."""
    try:
        maven.detect()
    except Unavailable as error:
        pytest.skip(f"nodes behind proxies need the brokers from Maven: {error}")
    with ProxiedCluster() as cluster:
        yield cluster


@pytest.fixture
def far(begin: Begin, far_nodes: ProxiedCluster) -> Iterator[Scenario]:
    """A scenario whose workers reach the brokers through proxies, while the test itself has the direct way."""
    scenario = begin(far_nodes)
    scenario.job.settings["STREAMER_KAFKA__BOOTSTRAP_SERVERS"] = far_nodes.far
    yield scenario
    far_nodes.forward()
