"""`requirements.lock` pins, with hashes, whatever pyproject.toml asks for at run time."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)(?: ; .+?)?(.*)$")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def wanted() -> list[Requirement]:
    """The dependencies, and those of all extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(line) for lines in (project["dependencies"], *extras) for line in lines]


def pins(lock: str) -> dict[str, list[tuple[str, int]]]:
    """By name: each version, which may be one for each platform, with the number of its hashes."""
    entries = re.sub(r"\\\n", " ", lock).splitlines()
    found: dict[str, list[tuple[str, int]]] = {}
    for entry in entries:
        if entry and not entry.lstrip().startswith("#"):
            pin = PIN.match(entry)
            assert pin, entry
            found.setdefault(pin[1], []).append((pin[2], len(HASH.findall(pin[3]))))
    return found


def wrong(requirement: Requirement, lock: str) -> str | None:
    """What the lock lacks of a requirement."""
    there = pins(lock).get(canonicalize_name(requirement.name), [])
    if not there:
        return f"{requirement} is not pinned"
    outside = [version for version, _ in there if version not in requirement.specifier]
    return f"{requirement} is pinned to {outside}" if outside else None


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_what_we_depend_on_is_pinned(requirement: Requirement) -> None:
    """To a version that pyproject.toml allows; `make lock` makes it so after a change there."""
    assert wrong(requirement, LOCK) is None


def test_everything_has_hashes() -> None:
    """What others need in turn, too: pip takes nothing without a hash from such a file."""
    without = [name for name, versions in pins(LOCK).items() if not all(hashes for _, hashes in versions)]
    assert without == []
    assert len(pins(LOCK)) > len(wanted())


def test_it_names_no_index() -> None:
    """Whoever installs from it says where from."""
    index = re.compile(r"://|^\s*(-i|--\S+-url|--find-links)\b")
    assert [line for line in LOCK.splitlines() if index.search(line)] == []


def test_a_lock_that_is_behind_is_found() -> None:
    """A package that it lacks, another version than is wanted, a pin without a hash."""
    lock = "one==1.0 ; python_version >= '3.11' \\\n    --hash=sha256:" + "0" * 64 + "\n    # via two\ntwo==2.0\n"
    assert pins(lock) == {"one": [("1.0", 1)], "two": [("2.0", 0)]}
    assert wrong(Requirement("one>=1,<2"), lock) is None
    assert wrong(Requirement("One[extra]>=1.1"), lock) == "One[extra]>=1.1 is pinned to ['1.0']"
    assert wrong(Requirement("three"), lock) == "three is not pinned"
