"""The bundled model with a flaw: one word makes it take its time, or fail, and nothing else about it changes."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from streamer.models.artefact import BUNDLED
from streamer.text import Vocabulary
from tests.failures.feeding import short_reviews

_SIDE = 512  # Of the matrices that it multiplies to pass the time: TorchScript has no sleep.


class _Braked(torch.nn.Module):
    """The same scores, later when `word` is among the tokens."""

    def __init__(self, inner: Any, word: int, rounds: int) -> None:
        super().__init__()
        self.inner = inner
        self.word = word
        self.rounds = rounds
        self.side = _SIDE

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        score: torch.Tensor = self.inner(tokens)
        return score + self._passed(tokens)

    @torch.jit.export
    def explain(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        late = self._passed(tokens)
        score, weight = self.inner.explain(tokens)
        return score + late, weight

    def _passed(self, tokens: torch.Tensor) -> float:
        """0, after a while."""
        total = 0.0
        if bool((tokens == self.word).any()):
            matrix = torch.ones(self.side, self.side, dtype=torch.float32, device=tokens.device)
            for _ in range(self.rounds):
                total += float(torch.mm(matrix, matrix)[0, 0])  # Used, or it would be optimised away.
        return total * 0.0


class _Failing(torch.nn.Module):
    """The same scores, and none at all when `word` is among the tokens."""

    def __init__(self, inner: Any, word: int) -> None:
        super().__init__()
        self.inner = inner
        self.word = word

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self._look(tokens)
        score: torch.Tensor = self.inner(tokens)
        return score

    @torch.jit.export
    def explain(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self._look(tokens)
        score, weight = self.inner.explain(tokens)
        return score, weight

    def _look(self, tokens: torch.Tensor) -> None:
        if bool((tokens == self.word).any()):
            raise ValueError("a word that it cannot bear")


def slow_artefact(folder: Path, seconds: float) -> tuple[Path, str]:
    """An artefact, and a word with which a batch takes it about `seconds` more, on a core of its own."""
    return _altered(folder / "slow-model", lambda inner, word: _Braked(inner, word, round(seconds / _seconds())))


def failing_artefact(folder: Path) -> tuple[Path, str]:
    """An artefact, and a word with which it raises."""
    return _altered(folder / "failing-model", _Failing)


def _altered(directory: Path, alter: Callable[[Any, int], torch.nn.Module]) -> tuple[Path, str]:
    shutil.copytree(BUNDLED, directory)
    word, number = _rare_word(directory)
    load: Any = torch.jit.load
    script: Any = torch.jit.script
    script(alter(load(directory / "model.pt"), number)).save(str(directory / "model.pt"))
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["sha256"]["model.pt"] = hashlib.sha256((directory / "model.pt").read_bytes()).hexdigest()
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory, word


def _rare_word(directory: Path) -> tuple[str, int]:
    """One that is neither in a golden text nor in a short review, and its id."""
    words = (directory / "vocabulary.txt").read_text().removesuffix("\n").split("\n")
    golden = (item["text"] for item in json.loads((directory / "golden.json").read_text()))
    used = "\n".join([*short_reviews(), *golden])
    vocabulary = Vocabulary(words)
    for word in reversed(words):
        ids = memoryview(vocabulary.encode(word, 8).ids).cast("q").tolist()
        if word.isalpha() and word not in used and len(ids) == 1 and ids[0] > 1:
            return word, ids[0]
    raise LookupError("every word is in use")


def _seconds() -> float:
    """What a round takes, the best of a few, with one thread as workers have it."""
    matrix = torch.ones(_SIDE, _SIDE)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    best = 1.0
    for _ in range(20):
        begin = time.perf_counter()
        torch.mm(matrix, matrix)
        best = min(best, time.perf_counter() - begin)
    torch.set_num_threads(threads)
    return best
