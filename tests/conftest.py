"""Brokers for the tests that want one; see `tests.brokers` for where they come from.

    def test_labels(cluster, make_topic): ...                     # one node, shared by all
    @pytest.mark.requires("transactions")                         # skipped where the broker has none
    def test_election(three_nodes): new_topic(three_nodes, 3)     # shared too: leave all nodes running
    def test_crash(start_cluster): start_cluster().kill(1)        # one's own, to break or to configure

The shared ones start when the first test asks for them.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from tests.brokers import (
    FEATURES,
    Chain,
    Cluster,
    Feature,
    MakeTopic,
    NodeCluster,
    StartCluster,
    Wanted,
    new_topic,
    providers,
)

# An example takes longer than 200 ms on a busy machine, and says nothing by that.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

_chain = Chain(providers(os.environ))

# The files that take longest, by `--durations=0`. They start first, so that none is left to run alone at the end.
_LONGEST = (
    "trends/test_service.py",
    "test_end_to_end.py",
    "models/test_reload.py",
    "moderation/test_service.py",
    "kafka/test_exactly_once_service.py",
    "test_three_labels.py",
    "commands/test_workers.py",
    "failures/test_rebalance.py",
    "failures/test_crash.py",
    "dashboard/test_whole_way.py",
    "benchmarks/test_parts.py",
    "benchmarks/test_peers.py",
    "training/test_resume.py",
    "kafka/test_faults.py",
    "security/test_secrets.py",
    "observe/test_tracing.py",
    "dashboard/test_pages.py",
    "commands/test_label.py",
    "demo/test_reviews.py",
)
_header = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("failures", "the failure suite, tests/failures")
    group.addoption("--failures", action="store_true", help="run all of its scenarios, not only the fast ones")
    group.addoption("--reliability", metavar="DIR", help="keep what each scenario showed, for tests/failures/report.py")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "failures: a scenario of tests/failures; without --failures only fast ones run")
    config.addinivalue_line(
        "markers", "fast(mode): a scenario that runs without --failures too, in at_least_once or the mode given"
    )
    features = ", ".join(sorted(FEATURES))
    config.addinivalue_line("markers", f"requires(*features): needs a broker that has them, of {features}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first. With `--no-loadscope-reorder`, pytest-xdist hands files out in this order."""
    places = {str(Path("tests", name)): place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.split("::")[0], len(places)))


def pytest_report_header(config: pytest.Config) -> str:
    config.stash[_header] = _chain.describe()
    return f"kafka: {config.stash[_header]}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """A provider that was found may still fail to start, after the header has been written."""
    if config.stash.get(_header, _chain.describe()) != _chain.describe():
        terminalreporter.write_line(f"kafka: other than the header says, {_chain.describe()}", yellow=True)


@pytest.fixture(autouse=True)
def _requires(request: pytest.FixtureRequest) -> None:
    """Skips what the broker cannot do: before it is started, and again if another one had to step in."""
    needed = {feature for mark in request.node.iter_markers("requires") for feature in mark.args}
    if unknown := needed - FEATURES:
        raise pytest.UsageError(f"requires: no such feature: {', '.join(sorted(unknown))}")
    if needed:
        _skip_without(*needed)
        for name in ("cluster", "three_nodes"):
            if name in request.fixturenames:
                request.getfixturevalue(name)
        _skip_without(*needed)


@pytest.fixture(autouse=True)
def _no_handlers_left() -> Iterator[None]:
    """What a command of ours, run in this process, has set up to log: its stream is closed with the test."""
    yield
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        root.removeHandler(handler)


@pytest.fixture(autouse=True)
def _nothing_frozen() -> Iterator[None]:
    """A service that ran in this process has frozen all objects that there were: at exit they would never be freed.

    Triton, which torch's optimisers load, then prints hundreds of lines of what has leaked.
    """
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.fixture
def untraced_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that the test starts are not traced for coverage: for those that are timed, and those that are killed,
    which lose what was traced."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One node, shared by the whole session: whatever is done to it must be undone."""
    with _chain.running(Wanted()) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def three_nodes() -> Iterator[NodeCluster]:
    """Three nodes, shared by the whole session: leave them all running."""
    with ExitStack() as resources:
        yield _start(resources, Wanted(nodes=3))


@pytest.fixture
def make_topic(cluster: Cluster) -> MakeTopic:
    """Creates topics on `cluster`."""

    def make(partitions: int = 1, **configs: str) -> str:
        return new_topic(cluster, partitions, **configs)

    return make


@pytest.fixture
def start_cluster() -> Iterator[StartCluster]:
    """Starts clusters that are the test's own, to break or to configure, and ends them with it."""
    with ExitStack() as resources:

        def start(
            nodes: int = 1, *, properties: Mapping[str, str] | None = None, listeners: tuple[str, ...] = ()
        ) -> NodeCluster:
            return _start(resources, Wanted(nodes, properties or {}, listeners))

        yield start


def _start(resources: ExitStack, wanted: Wanted) -> NodeCluster:
    needed: list[Feature] = ["faults", "properties"]
    if wanted.nodes > 1:
        needed.append("multi_node")
    _skip_without(*needed)
    cluster = resources.enter_context(_chain.running(wanted))
    _skip_without(*needed)
    assert isinstance(cluster, NodeCluster), f"this is a bug: {cluster.name} has no nodes"
    return cluster


def _skip_without(*features: Feature) -> None:
    if missing := _chain.missing(features):
        pytest.skip(f"{_chain.provider.name} has no {', '.join(missing)}")
