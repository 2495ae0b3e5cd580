"""Imports point downward: the table of levels in the design, enforced."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The longest name that a module begins with counts: `pipeline.batching` is of level 2, the rest of `pipeline` of 4.
LEVELS = {
    0: {"streamer", "moderation.patterns"},  # The package itself: its version; what settings ask of a library.
    1: {"events", "labels", "settings"},
    2: {
        "formats",
        "moderation",
        "pipeline.batching",
        "pipeline.cache",
        "pipeline.isolation",
        "pipeline.lag",
        "pipeline.sequencer",
        "planning.plan",
        "planning.profile",
        "planning.queueing",
        "planning.worker",
        "ports",
        "text",
        "trends",
    },
    3: {"files", "kafka", "models", "observe"},
    4: {"pipeline"},
}
LEVEL = {name: level for level, names in LEVELS.items() for name in names}
TOP = 5  # Everything else: what builds the concrete objects.

# What a module of a level may import of ours; 3 never another of 3, 4 sees 3 as Protocols.
BELOW = {0: {0}, 1: {0}, 2: {0, 1, 2}, 3: {0, 1, 2}, 4: {0, 1, 2}, TOP: {0, 1, 2, 3, 4, TOP}}

# The rooms of streamer/ that use a library: one, but for the pages of the worker and those of the dashboard.
OWNERS = {
    "torch": {"models"},
    "aiokafka": {"kafka"},
    "confluent_kafka": {"demo"},
    "opentelemetry": {"observe"},
    "prometheus_client": {"observe"},
    "re2": {"moderation"},
    "starlette": {"observe", "dashboard"},
    "uvicorn": {"observe"},
}

# Level 2 is pure: no asyncio, no clock, no files, no sockets, no chance.
PURE = {
    "__future__", "array", "base64", "binascii", "bisect", "collections", "contextlib", "dataclasses", "datetime",
    "enum", "functools", "heapq", "itertools", "logging", "math", "operator", "re", "statistics", "typing",
    "unicodedata",
    # Not of the standard library:
    "jieba", "numpy", "opencc", "orjson", "pydantic", "rjieba", "typing_extensions",
}  # fmt: skip
CLOCKS_AND_FILES = {"now", "utcnow", "today", "open", "print", "input", "getenv"}


def modules(package: str) -> dict[str, Path]:
    """Dotted names of a package's modules."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


STREAMER, TRAINING = modules("streamer"), modules("training")


def imported(path: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            known = [name for name in submodules if name in STREAMER or name in TRAINING]
            yield from known
            if len(known) < len(submodules):
                yield node.module


def unit(name: str) -> str:
    """What stands in the table for a module of streamer/: kafka for all of kafka/."""
    return name.split(".")[1] if "." in name else name


def level(name: str) -> int:
    """Of the longest prefix in the table."""
    parts = name.split(".")[1:] or [name]
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((LEVEL[prefix] for prefix in prefixes if prefix in LEVEL), TOP)


@pytest.mark.parametrize("name", STREAMER)
def test_imports_point_downward(name: str) -> None:
    """Every import of a module of ours is of a level that its importer may see."""
    wrong = [
        other
        for other in imported(STREAMER[name])
        if other in STREAMER and unit(other) != unit(name) and level(other) not in BELOW[level(name)]
    ]
    assert wrong == [], f"{name} is of level {level(name)}"


# What builds the concrete objects imports another such room only to run it, never as a utility.
RUNS = {
    "__main__": {"cli"},
    "cli": {"commands"},
    "commands": {"service", "planning", "dashboard", "demo"},
    "demo": {"service", "dashboard"},
    "planning": {"service"},
    "dashboard": {"service"},
    "service": set(),
}
COMMANDS = [name for name in STREAMER if unit(name) == "commands"]


@pytest.mark.parametrize("name", [name for name in STREAMER if level(name) == TOP])
def test_the_top_runs_what_is_beside_it(name: str) -> None:
    """And shares what several need through a lower room."""
    beside = {unit(other) for other in imported(STREAMER[name]) if other in STREAMER and level(other) == TOP}
    assert beside - {unit(name)} <= RUNS[unit(name)]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_imports_another(name: str) -> None:
    """What two of them share is in a lower room."""
    assert {other for other in imported(STREAMER[name]) if other in COMMANDS} == set()


@pytest.mark.parametrize("name", STREAMER)
def test_each_library_has_its_owners(name: str) -> None:
    """The outside world is behind one module each."""
    libraries = {other.split(".")[0] for other in imported(STREAMER[name])}
    wrong = {library: OWNERS[library] for library in libraries & OWNERS.keys() if unit(name) not in OWNERS[library]}
    assert wrong == {}, f"{name} uses what another owns"


PURE_MODULES = [name for name in STREAMER if level(name) == 2]


@pytest.mark.parametrize("name", PURE_MODULES)
def test_the_core_is_pure(name: str) -> None:
    """No module that waits, tells the time or touches the outside, and no function that does."""
    assert {other.split(".")[0] for other in imported(STREAMER[name])} - PURE <= {"streamer"}
    calls = [node.func for node in ast.walk(ast.parse(STREAMER[name].read_text())) if isinstance(node, ast.Call)]
    called = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}
    assert called & CLOCKS_AND_FILES == set()


@pytest.mark.parametrize("name", STREAMER)
def test_serving_never_imports_training(name: str) -> None:
    """An installation that only serves need not have it."""
    assert [other for other in imported(STREAMER[name]) if other.split(".")[0] in ("training", "tests")] == []


def test_the_walk_finds_what_is_there() -> None:
    """Late imports, submodules by either way of writing; else the tests above would pass on nothing."""
    assert "streamer.formats.decode" in set(imported(STREAMER["streamer.pipeline.pipeline"]))
    assert "aiokafka.errors" in set(imported(STREAMER["streamer.kafka.source"]))
    assert "streamer.text" in {other for path in TRAINING.values() for other in imported(path)}
    assert {"streamer.formats.schema", "streamer.pipeline.batching", "streamer.pipeline.sequencer"} <= set(PURE_MODULES)
    assert {level(name) for name in STREAMER} == {*LEVELS, TOP}
