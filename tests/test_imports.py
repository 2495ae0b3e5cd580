"""The shape of the house: imports point downward, the core is pure, no module outgrows a head."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The longest name that a module begins with counts: `pipeline.batching` is of level 2, the rest of `pipeline` of 4.
LEVELS = {
    0: {
        "streamer",
        "moderation.patterns",
        "printable",
    },  # Its version; what settings ask of a library; text for messages.
    1: {"events", "labels", "settings"},
    2: {
        "formats",
        "moderation",
        "pipeline.batching",
        "pipeline.cache",
        "pipeline.in_flight",
        "pipeline.isolation",
        "pipeline.lag",
        "pipeline.limits",
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
    4: {"pipeline", "trends.publisher", "trends.recovery"},
}
LEVEL = {name: level for level, names in LEVELS.items() for name in names}
TOP = 5  # Everything else: what builds the concrete objects.

# What a module of a level may import of ours; 3 never another room of 3, 4 sees 3 as Protocols.
BELOW = {0: {0}, 1: {0}, 2: {0, 1, 2}, 3: {0, 1, 2}, 4: {0, 1, 2}, TOP: {0, 1, 2, 3, 4}}

# At the top, which rooms a room may use besides what is below. No command uses another command.
TOP_MAY = {
    "service": set[str](),
    "planning": {"service"},
    "dashboard": set[str](),
    "demo": {"dashboard", "service"},
    "commands": {"dashboard", "demo", "planning", "service"},
    "cli": {"commands", "demo", "planning"},
    "__main__": {"cli"},
}

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
    "email", "enum", "functools", "heapq", "html", "itertools", "json", "logging", "math", "operator", "re",
    "statistics", "typing", "unicodedata",
    # Not of the standard library:
    "emoji", "jieba", "lxml", "numpy", "opencc", "orjson", "pydantic", "rjieba", "typing_extensions",
}  # fmt: skip
CLOCKS_AND_FILES = {"now", "utcnow", "today", "open", "print", "input", "getenv"}

MAX_ENTRIES = 24  # Of streamer/.
MAX_MODULE_LINES = 350
MAX_CLASS_LINES = 250
MAX_POSITIONAL = 6  # Arguments of a call; a dataclass's fields or keywords say what they are.


def modules(package: str) -> dict[str, Path]:
    """Dotted names of a package's modules."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


STREAMER, TRAINING = modules("streamer"), modules("training")
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in {**STREAMER, **TRAINING}.items()}


def imported(name: str) -> Iterator[str]:
    """Dotted names of all modules that a module imports, wherever in it."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            assert node.module is not None
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            known = [submodule for submodule in submodules if submodule in TREES]
            yield from known
            if len(known) < len(submodules):
                yield node.module


def room(name: str) -> str:
    """The folder of a module of streamer/, or the module itself where it is in none."""
    return name.split(".")[1] if "." in name else name


def level(name: str) -> int:
    """Of the longest prefix in the table."""
    parts = name.split(".")[1:] or [name]
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((LEVEL[prefix] for prefix in prefixes if prefix in LEVEL), TOP)


def allowed(name: str, other: str) -> bool:
    """Whether one module of streamer/ may import another."""
    if level(other) in BELOW[level(name)]:
        return True
    if room(other) == room(name):
        return level(other) <= level(name) and room(name) != "commands"
    return level(name) == level(other) == TOP and room(other) in TOP_MAY[room(name)]


@pytest.mark.parametrize("name", STREAMER)
def test_imports_point_downward(name: str) -> None:
    """Every import of a module of ours is one that its importer may see."""
    wrong = [other for other in imported(name) if other in STREAMER and other != name and not allowed(name, other)]
    assert wrong == [], f"{name} is of level {level(name)}"


def test_no_module_imports_itself_by_a_detour() -> None:
    """There is an order in which every module comes after all that it imports, late imports included."""
    graph = {name: {other for other in imported(name) if other in TREES and other != name} for name in TREES}
    assert {*TopologicalSorter(graph).static_order()} == TREES.keys()


@pytest.mark.parametrize("name", STREAMER)
def test_each_library_has_its_owners(name: str) -> None:
    """The outside world is behind one room each."""
    libraries = {other.split(".")[0] for other in imported(name)}
    wrong = {library: OWNERS[library] for library in libraries & OWNERS.keys() if room(name) not in OWNERS[library]}
    assert wrong == {}, f"{name} uses what another owns"


PURE_MODULES = [name for name in STREAMER if level(name) == 2]


@pytest.mark.parametrize("name", PURE_MODULES)
def test_the_core_is_pure(name: str) -> None:
    """No module that waits, tells the time or touches the outside, and no function that does."""
    assert {other.split(".")[0] for other in imported(name)} - PURE <= {"streamer"}
    calls = [node.func for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    called = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}
    assert called & CLOCKS_AND_FILES == set()


@pytest.mark.parametrize("name", STREAMER)
def test_serving_never_imports_training(name: str) -> None:
    """An installation that only serves need not have it."""
    assert [other for other in imported(name) if other.split(".")[0] in ("training", "tests")] == []


def test_a_newcomer_finds_the_way_in() -> None:
    """`ls streamer` fits on a screen."""
    entries = {path.name for path in (ROOT / "streamer").iterdir()} - {"__pycache__"}
    assert len(entries) <= MAX_ENTRIES, sorted(entries)


@pytest.mark.parametrize("name", TREES)
def test_a_module_fits_in_a_head(name: str) -> None:
    """So do its classes."""
    path = {**STREAMER, **TRAINING}[name]
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES
    classes = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes if (node.end_lineno or 0) - node.lineno >= MAX_CLASS_LINES] == []


@pytest.mark.parametrize("name", TREES)
def test_nothing_is_handed_over_by_seven_positional_arguments(name: str) -> None:
    """Who reads the call could not tell which is which."""
    calls = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    lists = ("Array", "CompactArray", "Schema")  # Of fields of Kafka's protocol.
    long = [call for call in calls if len(call.args) > MAX_POSITIONAL and getattr(call.func, "id", "") not in lists]
    assert [call.lineno for call in long] == []


def test_the_walk_finds_what_is_there() -> None:
    """Late imports, submodules by either way of writing; else the tests above would pass on nothing."""
    assert "streamer.pipeline.reading" in set(imported("streamer.pipeline.pipeline"))
    assert "aiokafka.errors" in set(imported("streamer.kafka.source"))
    assert "streamer.text" in {other for name in TRAINING for other in imported(name)}
    assert {"streamer.formats.schema", "streamer.pipeline.batching", "streamer.pipeline.sequencer"} <= set(PURE_MODULES)
    assert {level(name) for name in STREAMER} == {*LEVELS, TOP}


@pytest.mark.parametrize("package", ["streamer.kafka", "streamer.trends"])
def test_a_rooms_docstring_names_what_is_in_it(package: str) -> None:
    """Every module of the folder, and nothing that is not there."""
    text = ast.get_docstring(TREES[package]) or ""
    first_cells = re.findall(r"^\| ([a-z_, ]+) \|", text, re.MULTILINE)
    listed = re.findall(r"(?:^|\. )([a-z_]+):", text, re.MULTILINE)
    named = {name.strip() for cell in first_cells for name in cell.split(",")} - {"module"} | set(listed)
    there = {name.removeprefix(f"{package}.").split(".")[0] for name in STREAMER if name.startswith(f"{package}.")}
    assert named == there
