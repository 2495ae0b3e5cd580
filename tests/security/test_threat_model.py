"""SECURITY.md names a test for each threat; those tests are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tests_that_are_named_are_there() -> None:
    """In tests/security where no folder is named, and none of those here is left out."""
    named = set(re.findall(r"`((?:tests/)?test_\w+\.py)`", (ROOT / "SECURITY.md").read_text()))
    here = {name for name in named if "/" not in name}
    assert [name for name in named - here if not (ROOT / name).is_file()] == []
    assert here == {path.name for path in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).name}
