"""What a benchmark draws, as matplotlib was told to draw it; and how it runs.

The model takes one thread in this process. What measures time runs as it does for a user: the processes that it starts
are not traced for coverage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved during the test, oldest first."""
    found: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        found.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Batches here are small, and other tests run beside them: threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _untraced(untraced_processes: None) -> None:
    """What measures time runs as it does for a user."""
