"""What measures time runs as it does for a user: the processes that it starts are not traced for coverage."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _untraced_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)
