"""What a scenario has shown: one JSON file each, of which `report` makes docs/reliability.md."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """A line of the report. duplicated counts the results beyond the first; recovery_s is None where it says nothing.

    allowed: how many duplicates the scenario would have put up with.
    """

    kind: str
    scenario: str
    mode: str
    broker: str
    cores: int
    sent: int
    lost: int
    duplicated: int
    allowed: int
    reordered: int
    recovery_s: float | None
    notes: str


class Recorder:
    """Keeps the outcome of one test in a folder, or nowhere."""

    def __init__(self, folder: Path | None, module: str, test: str, broker: str) -> None:
        self._folder = folder
        self._kind = module.rpartition("test_")[2]
        self._scenario = test.removeprefix("test_").replace("_", " ")
        self._broker = broker

    def record(
        self,
        mode: str,
        sent: int,
        lost: int,
        duplicated: int,
        allowed: int,
        reordered: int,
        recovery_s: float | None,
        notes: str,
    ) -> None:
        """Write the outcome, over one of an earlier run."""
        if self._folder is None:
            return
        outcome = Outcome(
            self._kind,
            self._scenario,
            mode,
            self._broker,
            os.cpu_count() or 1,
            sent,
            lost,
            duplicated,
            allowed,
            reordered,
            recovery_s,
            notes,
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^a-z0-9]+", "-", f"{self._kind} {self._scenario} {mode}".lower())
        (self._folder / f"{name}.json").write_text(json.dumps(dataclasses.asdict(outcome)) + "\n")


def read(folder: Path) -> list[Outcome]:
    """All outcomes of a folder, in the order of kind, scenario and mode."""
    found = [Outcome(**json.loads(path.read_text())) for path in folder.glob("*.json")]
    return sorted(found, key=lambda outcome: (outcome.kind, outcome.scenario, outcome.mode))
