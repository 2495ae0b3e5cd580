"""Every threat in SECURITY.md names the tests that hold its defence, and those tests check something."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.markdown import tables

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
(THREATS,) = (table for table in tables(PAGE) if table.header[0] == "threat")


def files(cell: str) -> list[Path]:
    """The test files that a cell names, one by one or by their folder; a bare name is in tests/security."""
    named = [ROOT / (name if "/" in name else f"tests/security/{name}") for name in re.findall(r"`([^`]+)`", cell)]
    return [file for path in named for file in ([*path.glob("test_*.py")] if path.is_dir() else [path])]


def checks(path: Path) -> list[str]:
    """The tests of a file that contain an assertion, or an exception that they expect."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            called = [ast.unparse(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)]
            if any(isinstance(part, ast.Assert) for part in ast.walk(node)) or "pytest.raises" in called:
                found.append(node.name)
    return found


@pytest.mark.parametrize("row", THREATS.rows, ids=lambda row: row["threat"][:40])
def test_every_threat_has_a_defence_and_tests(row: dict[str, str]) -> None:
    """Each file that the row names has at least one test with a check in it."""
    assert row["what we do"]
    named = files(row["test"])
    assert named
    assert [path.name for path in named if not path.is_file() or not checks(path)] == []


def test_every_security_test_belongs_to_a_threat() -> None:
    """No file in tests/security is missing from the table."""
    named = {path for row in THREATS.rows for path in files(row["test"])}
    assert set(Path(__file__).parent.glob("test_*.py")) - {Path(__file__)} - named == set()
