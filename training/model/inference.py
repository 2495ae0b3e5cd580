"""Logits of the reviews of a split, in batches of similar lengths."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from training.corpus.batches import inference_batches
from training.corpus.corpus import Split
from training.evaluation.arrays import Bools, Floats


@torch.no_grad()
def logits_of(model: nn.Module, split: Split) -> Floats:
    """The logits of a split's reviews, in their order: float64 [N]."""
    logits = np.zeros(len(split), np.float64)
    for reviews in inference_batches(split.lengths):
        logits[reviews] = model(split.padded(reviews)).numpy()
    return logits


def accuracy_of(logits: Floats, positive: Bools) -> float:
    """Share of reviews on the right side of 0; a logit of exactly 0 counts as positive."""
    return float(((logits >= 0) == positive).mean())
