"""Training, from encoded reviews to weights: read it from top to bottom.

batches of like lengths -> dropout -> pad-gate LSTM -> log loss -> AdamW -> averaged weights -> dev
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from streamer.tokenise import PAD_ID, UNKNOWN_ID
from training.calibrate import log_loss
from training.evaluate import accuracy_of, logits_of
from training.model import Classifier
from training.parts import Prepared, training_batches
from training.recipe import Optimiser, Recipe

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch came to; the dev figures are those of the averaged weights."""

    epoch: int
    train_loss: float
    dev_loss: float
    dev_accuracy: float
    seconds: float  # Of training, without the dev pass.
    tokens_per_s: float

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch}: train loss {self.train_loss:.4f}, dev loss {self.dev_loss:.4f}, "
            f"dev accuracy {self.dev_accuracy:.4f}, {self.seconds:.0f} s, {self.tokens_per_s:,.0f} tokens/s"
        )


def build(recipe: Recipe, vocabulary: int) -> Classifier:
    """The recipe's network with fresh weights; `vocabulary` is the number of tokens."""
    return Classifier(
        vocabulary,
        recipe.model.width,
        recipe.model.hidden,
        recipe.optimiser.embedding_dropout,
        recipe.optimiser.pooled_dropout,
        precision_of(recipe.optimiser.precision),
    )


def precision_of(wanted: Literal["float32", "bfloat16"]) -> torch.dtype:
    """The recurrence's precision: bfloat16 only where oneDNN computes in it, elsewhere it is many times slower."""
    if wanted == "bfloat16" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32


def train(recipe: Recipe, prepared: Prepared, say: Callable[[str], None] = print) -> tuple[State, list[Epoch]]:
    """Train on the train part; return the averaged weights of the epoch that was best on dev, and all epochs.

    The same recipe, data, torch, kind of CPU and number of threads give the same weights.
    """
    settings = recipe.optimiser
    torch.manual_seed(recipe.split.seed)
    random = np.random.default_rng(recipe.split.seed)
    part, dev = prepared.parts["train"], prepared.parts["dev"]
    model = build(recipe, len(prepared.vocabulary)).train()
    averaged = deepcopy(model).eval()
    averaged.precision = torch.float32
    optimiser = build_optimiser(model, settings)
    steps = settings.epochs * math.ceil(len(part) / settings.batch)

    step, best, history = 0, averaged.state_dict(), list[Epoch]()
    for epoch in range(1, settings.epochs + 1):
        began, total_loss = time.perf_counter(), 0.0
        with no_denormals():
            for reviews in training_batches(part.lengths, settings.batch, random):
                set_rate(optimiser, settings.rate * rate_at(step, steps, settings.warmup))
                tokens = drop_tokens(part.stack(reviews), settings.token_dropout)
                positive = torch.from_numpy(part.positive[reviews]).float()
                total_loss += train_step(model, optimiser, tokens, positive, settings) * len(reviews)
                update_average(averaged, model, min(settings.average, (1 + step) / (10 + step)))
                step += 1
        seconds = time.perf_counter() - began

        logits = logits_of(averaged, dev)
        accuracy = accuracy_of(logits, dev.positive)
        if accuracy > max((past.dev_accuracy for past in history), default=0.0):
            best = {name: weight.clone() for name, weight in averaged.state_dict().items()}
        dev_loss = log_loss(logits, dev.positive, 1.0)
        speed = len(part.ids) / seconds
        history.append(Epoch(epoch, total_loss / len(part), dev_loss, accuracy, seconds, speed))
        say(str(history[-1]))
    return best, history


@contextmanager
def no_denormals() -> Iterator[None]:
    """Round denormal numbers to zero: on long reviews gradients fade into them and crawl."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def build_optimiser(model: Classifier, settings: Optimiser) -> torch.optim.Optimizer:
    """AdamW; no decay for the embedding, whose rare tokens would fade, nor for biases."""
    plain, decayed = list[nn.Parameter](), list[nn.Parameter]()
    for name, weight in model.named_parameters():
        (plain if name.startswith("embedding") or weight.ndim < 2 else decayed).append(weight)
    groups = [{"params": decayed, "weight_decay": settings.decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, settings.rate, betas=(0.9, 0.98), fused=True)


def rate_at(step: int, steps: int, warmup: float) -> float:
    """The share of the peak learning rate: linearly up during `warmup`, then to 0 along half a cosine."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def drop_tokens(tokens: Tensor, share: float) -> Tensor:
    """Turn a random share of the tokens into the unknown token; pads stay. int64 [T, B]."""
    dropped = (torch.rand(tokens.shape) < share) & (tokens != PAD_ID)
    return tokens.masked_fill(dropped, UNKNOWN_ID)


def train_step(
    model: Classifier, optimiser: torch.optim.Optimizer, tokens: Tensor, positive: Tensor, settings: Optimiser
) -> float:
    """One step down the smoothed log loss; return that loss. tokens: int64 [T, B], positive: float32 [B]."""
    targets = positive * (1 - settings.smoothing) + 0.5 * settings.smoothing
    loss = nn.functional.binary_cross_entropy_with_logits(model(tokens), targets)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped.
    nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimiser.step()
    return loss.item()


@torch.no_grad()
def update_average(averaged: Classifier, model: Classifier, keep: float) -> None:
    """Move the averaged weights to the model's: keep a share of the old, take the rest from the new."""
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - keep)
