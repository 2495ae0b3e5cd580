"""The page that is made of what the scenarios have shown."""

from __future__ import annotations

from pathlib import Path

from tests.failures.outcomes import Recorder, read
from tests.failures.report import report


def test_outcomes_become_a_page(tmp_path: Path) -> None:
    """A row for each scenario and mode; a later run replaces an earlier one."""
    recorder = Recorder(tmp_path / "kept", "tests.failures.test_crash", "test_worker_killed", "Kafka 9")
    recorder.record("at_least_once", 10_000, 1, 2, 3, 4, None, "")
    recorder.record("at_least_once", 20_000, 0, 50, 60, 0, 1.25, "a | b")
    recorder.record("exactly_once", 5_000, 0, 0, 0, 0, None, "")
    page = report(read(tmp_path / "kept"))
    assert "| `at_least_once` | 1 | 20,000 | 0 | 50 | 0 |" in page
    assert "| worker killed | `at_least_once` | 20,000 | 0 | 50 (60) | 0 | 1.2 s | a / b |" in page
    assert "| worker killed | `exactly_once` | 5,000 | 0 | 0 | 0 |  |  |" in page
    assert "## Crash" in page


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    """Unless it is asked for."""
    Recorder(None, "tests.failures.test_crash", "test_worker_killed", "Kafka 9").record(
        "at_least_once", 1, 0, 0, 0, 0, None, ""
    )
    assert not list(tmp_path.iterdir())
