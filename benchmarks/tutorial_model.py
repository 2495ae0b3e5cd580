"""The model of the tutorial that this project grew from, on the same split as the recipe `tv`, for comparison.

    python -m benchmarks.tutorial_model --data-dir DATA

As the tutorial describes it: jieba, the 3,000 most frequent words, reviews cut at 64 tokens, an embedding, eight
stacked LSTM layers whose last state decides, cross entropy, Adam. Trained with each of some learning rates, in
float32 on the CPU; the rate and the epoch that are best on dev are what is tested.
"""

from __future__ import annotations

import argparse
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from streamer.text import PAD_ID, UNKNOWN_ID
from training.corpus.corpus import Split
from training.corpus.prepare import prepare
from training.recipe import load_recipe

WORDS, TOKENS, LAYERS, WIDTH = 3_000, 64, 8, 128
RATES, EPOCHS, BATCH = (1e-3, 3e-4), 10, 32


class Tutorial(nn.Module):
    """Class logits, float32 [B, 2], of tokens int64 [B, 64]."""

    def __init__(self) -> None:
        """Fresh weights."""
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, LAYERS, batch_first=True)
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """The last step's state, pads and all, as tutorials have it."""
        states, _ = self.lstm(self.embedding(tokens))
        logits: Tensor = self.head(states[:, -1])
        return logits


def matrix(split: Split) -> Tensor:
    """Ids of the first 64 tokens, int64 [N, 64], padded at the front; rarer words are unknown."""
    rows = np.full((len(split), TOKENS), PAD_ID, np.int64)
    for row, start, end in zip(rows, split.starts[:-1], split.starts[1:], strict=True):
        ids = split.ids[start : min(end, start + TOKENS)]
        row[TOKENS - len(ids) :] = np.where(ids < WORDS, ids, UNKNOWN_ID)  # Ids are in the order of frequency.
    return torch.from_numpy(rows)


@torch.no_grad()
def accuracy(model: Tutorial, tokens: Tensor, positive: Tensor) -> float:
    """Share of reviews that are labelled rightly."""
    model.eval()
    found = torch.cat([model(rows).argmax(1) for rows in torch.split(tokens, 256)])
    model.train()
    return (found == positive).float().mean().item()


def main() -> None:
    """Train, choose on dev, test once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    corpus = prepare(load_recipe("tv"), options.data_dir, Path(".cache/training"))
    sets = {name: (matrix(split), torch.from_numpy(split.positive).long()) for name, split in corpus.splits.items()}
    tokens, positive = sets["train"]

    best, chosen = 0.0, Tutorial()
    for rate in RATES:
        torch.manual_seed(options.seed)
        model = Tutorial().train()
        optimiser = torch.optim.Adam(model.parameters(), rate)
        for epoch in range(1, EPOCHS + 1):
            for rows in torch.split(torch.randperm(len(tokens)), BATCH):
                loss = nn.functional.cross_entropy(model(tokens[rows]), positive[rows])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped.
                optimiser.step()
            dev = accuracy(model, *sets["dev"])
            if dev > best:
                best, chosen = dev, deepcopy(model)
                print(f"rate {rate:g}, epoch {epoch}: dev accuracy {dev:.4f}", flush=True)
    print(f"test accuracy {accuracy(chosen, *sets['test']):.4f} ({len(sets['test'][1])} reviews)")


if __name__ == "__main__":
    main()
