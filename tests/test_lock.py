"""The lock files pin, with hashes, whatever pyproject.toml asks for: at run time, for the demo, for tests, to build."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)(?: ; .+?)?(.*)$")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
# Each lock file of `make lock`, with the extras and the groups of pyproject.toml that it is for.
LOCKS: dict[str, tuple[Collection[str], Collection[str]]] = {
    "requirements.lock": (EXTRAS, ()),
    "requirements-demo.lock": (["demo"], ()),
    "requirements-dev.lock": (["demo", "tracing", "training"], ["dev"]),
    "requirements-build.lock": ((), ["build"]),
}


def group(name: str) -> list[str]:
    """The requirements of a dependency group, with those of the groups that it includes."""
    lines: list[str] = []
    for entry in PROJECT["dependency-groups"][name]:
        lines += group(entry["include-group"]) if isinstance(entry, dict) else [entry]
    return lines


def wanted(name: str) -> list[Requirement]:
    """What a lock file is for."""
    extras, groups = LOCKS[name]
    lines = [] if name == "requirements-build.lock" else list(PROJECT["project"]["dependencies"])
    for extra in extras:
        lines += EXTRAS[extra]
    for each in groups:
        lines += group(each)
    return [Requirement(line) for line in lines]


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


@pytest.mark.parametrize(("lock", "requirement"), [(lock, want) for lock in LOCKS for want in wanted(lock)], ids=str)
def test_what_we_depend_on_is_pinned(lock: str, requirement: Requirement) -> None:
    """To a version that pyproject.toml allows; `make lock` makes it so after a change there."""
    assert wrong(requirement, (ROOT / lock).read_text()) is None


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_has_hashes(lock: str) -> None:
    """What others need in turn, too: pip takes nothing without a hash from such a file."""
    found = pins((ROOT / lock).read_text())
    assert [name for name, versions in found.items() if not all(hashes for _, hashes in versions)] == []
    assert len(found) > len({canonicalize_name(each.name) for each in wanted(lock)})


@pytest.mark.parametrize("lock", LOCKS)
def test_it_names_no_index(lock: str) -> None:
    """Whoever installs from it says where from."""
    index = re.compile(r"://|^\s*(-i|--\S+-url|--find-links)\b")
    assert [line for line in (ROOT / lock).read_text().splitlines() if index.search(line)] == []


def test_locks_agree() -> None:
    """Tests run on the versions that the images have."""
    versions: dict[str, set[tuple[str, ...]]] = {}
    for lock in LOCKS:
        for name, pinned in pins((ROOT / lock).read_text()).items():
            versions.setdefault(name, set()).add(tuple(version for version, _ in pinned))
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_what_builds_is_locked() -> None:
    """By the group `build`, since environments and images build without looking for anything newer."""
    built = pins((ROOT / "requirements-build.lock").read_text())
    for line in PROJECT["build-system"]["requires"]:
        assert canonicalize_name(Requirement(line).name) in built


def test_every_lock_is_checked_here() -> None:
    """Each that is there, and no other."""
    assert {path.name for path in ROOT.glob("*.lock")} == LOCKS.keys()


def test_a_lock_that_is_behind_is_found() -> None:
    """A package that it lacks, another version than is wanted, a pin without a hash."""
    lock = "one==1.0 ; python_version >= '3.11' \\\n    --hash=sha256:" + "0" * 64 + "\n    # via two\ntwo==2.0\n"
    assert pins(lock) == {"one": [("1.0", 1)], "two": [("2.0", 0)]}
    assert wrong(Requirement("one>=1,<2"), lock) is None
    assert wrong(Requirement("One[extra]>=1.1"), lock) == "One[extra]>=1.1 is pinned to ['1.0']"
    assert wrong(Requirement("three"), lock) == "three is not pinned"
