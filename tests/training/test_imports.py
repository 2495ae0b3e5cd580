"""Inside training/, imports point downward, and of streamer/ it knows what the artefact's contract needs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import training

ROOT = Path(training.__file__).parent

# A room imports itself and the rooms before it. What is not named here is above them all: the runs and the commands.
ROOMS = ("files", "labels", "recipe", "sources", "corpus", "evaluation", "model")
TOP = len(ROOMS)

# The tokeniser, which serves too, and how text from outside is shown; the model as it is served, which evaluation
# predicts with. The rest is the artefact.
STREAMER_ANYWHERE = {"streamer.text", "streamer.printable"}
STREAMER = {
    # What people decided: the format of the decisions, and Kafka, where they may be read.
    "training.sources.decisions": {
        "streamer.formats.schema",
        "streamer.moderation.decisions",
        "streamer.kafka",
        "streamer.settings",
    },
    "training.evaluation.artefact": {"streamer.events", "streamer.models.artefact", "streamer.models.torchscript"},
    # One reader of tables for every command.
    "training.sources.tables": {
        "streamer.files.bad_rows",
        "streamer.files.compression",
        "streamer.files.errors",
        "streamer.files.options",
        "streamer.files.tables",
        "streamer.formats.json",
    },
    "training.recipe": {"streamer.settings.words"},  # Errors of a recipe are words, as those of settings.
    "training.cli": {"streamer.models.artefact"},  # For the error that it ends with.
}


def modules() -> dict[str, Path]:
    """Dotted names of the package's modules."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("training", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """Dotted names of all modules that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            assert node.module is not None
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from names & MODULES.keys() or {node.module}


def room(name: str) -> str:
    """The folder of a module, or the module itself where it is in none."""
    return [*name.split("."), ""][1]


def level(name: str) -> int:
    return ROOMS.index(room(name)) if room(name) in ROOMS else TOP


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downward(name: str) -> None:
    """A module sees its own room and those below it; only what is above all rooms sees its like."""
    wrong = [
        other
        for other in imported(name)
        if other in MODULES and room(other) != room(name) and level(other) >= level(name) and level(name) < TOP
    ]
    assert wrong == []


def test_no_module_imports_itself_by_a_detour() -> None:
    """There is an order in which every module comes after all that it imports."""
    graph = {name: {other for other in imported(name) if other in MODULES} for name in MODULES}
    assert {*TopologicalSorter(graph).static_order()} == MODULES.keys()


@pytest.mark.parametrize("name", MODULES)
def test_of_streamer_only_the_tokeniser_and_the_model_are_used(name: str) -> None:
    """The artefact is the rest of the contract; what people decided has a reader of its own."""
    known = {other for other in imported(name) if other.split(".")[0] == "streamer"}
    assert known <= STREAMER_ANYWHERE | STREAMER.get(name, set())


def test_the_walk_finds_late_imports_too() -> None:
    """Else the tests above would pass on nothing."""
    assert {"training.steps", "training.runs", "streamer.models.artefact"} <= set(imported("training.cli"))
    assert {room(name) for name in MODULES} >= {*ROOMS, "cli"}
    assert set(STREAMER) <= MODULES.keys()
