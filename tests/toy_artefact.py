"""A small artefact with any number of labels, as training would make it: a word speaks for the label that it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from streamer.labels import LabelSet
from streamer.text import NORMALISATION

_STRENGTH = 4.0  # Of a word's logit.


class _WordCounts(torch.nn.Module):
    """Softmax over how often each label's word occurs."""

    def __init__(self, words: int, labels: int) -> None:
        super().__init__()
        logits = torch.zeros(words, labels)
        values = torch.zeros(words)
        for label in range(labels):
            logits[2 + label, label] = _STRENGTH  # After the pad and the unknown token.
            values[2 + label] = _STRENGTH * (label / (labels - 1) - 0.5)
        self.logits = torch.nn.Parameter(logits)
        self.values = torch.nn.Parameter(values)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Probabilities float32 [B, K] of ids int64 [T, B]."""
        return torch.softmax(self.logits[tokens].sum(0).float(), 1)

    @torch.jit.export
    def explain(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities, and a weight for each token, float32 [T, B]."""
        return self.forward(tokens), self.values[tokens].float()


def make_toy_artefact(
    directory: Path, labels: Sequence[str], words: Sequence[str], threshold: float = 0.5, version_: str = "1.0.0"
) -> Path:
    """Write an artefact of three labels or more. words: one for each label."""
    directory.mkdir(parents=True)
    vocabulary = ["<pad>", "<unk>", *words]
    module = _WordCounts(len(vocabulary), len(labels)).eval()
    script: Any = torch.jit.script
    script(module).save(str(directory / "model.pt"))
    (directory / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    label_set = LabelSet.evenly(labels, threshold=threshold)
    golden = []
    for place, word in enumerate(words):
        probabilities = module(torch.tensor([[2 + place]]))[0].tolist()
        golden.append({"text": word, "score": label_set.expected_value(probabilities)})
    (directory / "golden.json").write_text(json.dumps(golden), encoding="utf-8")
    files = ("model.pt", "vocabulary.txt", "golden.json")
    manifest = {
        "format": 1,
        "name": "toy",
        "version": version_,
        "labels": list(labels),
        "max_tokens": 64,
        "tokeniser": {"name": "jieba", "version": version("jieba"), "normalisation": NORMALISATION},
        "uncertain": {"threshold": threshold},
        "sha256": {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in files},
    }
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return directory
