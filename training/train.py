"""Training, from encoded reviews to weights: read it from top to bottom.

batches of like lengths -> dropout -> network -> log loss -> AdamW -> averaged weights -> dev
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from streamer.text import PAD_ID, UNKNOWN_ID
from training.calibrate import log_loss
from training.evaluate import accuracy_of, logits_of
from training.metrics import Epoch, Meter, Steps
from training.model import Classifier
from training.parts import Prepared, training_batches
from training.recipe import Optimiser, Recipe
from training.vectors import Vectors, start_from

State = dict[str, Tensor]

TELL_EVERY = 20  # Steps.


def build(recipe: Recipe, vocabulary: int) -> Classifier:
    """The recipe's network with fresh weights; `vocabulary` is the number of tokens."""
    return Classifier(
        vocabulary,
        recipe.model.width,
        recipe.model.hidden,
        recipe.optimiser.embedding_dropout,
        recipe.optimiser.pooled_dropout,
        precision_of(recipe.optimiser.precision),
        recipe.model.kind,
        recipe.model.bidirectional,
        recipe.model.layers,
    )


def precision_of(wanted: Literal["float32", "bfloat16"]) -> torch.dtype:
    """The recurrence's precision: bfloat16 only where oneDNN computes in it, elsewhere it is many times slower."""
    if wanted == "bfloat16" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32


@dataclass(slots=True)
class Training:
    """All that changes while a network is trained, torch's global random state aside; a checkpoint holds it."""

    model: Classifier
    averaged: Classifier  # Its exponential moving average, in eval mode and float32.
    optimiser: torch.optim.Optimizer
    random: np.random.Generator  # Shuffles the reviews.
    step: int = 0  # Steps that are done.
    best: State = field(default_factory=dict)  # The averaged weights of the epoch that was best on dev.
    history: list[Epoch] = field(default_factory=list)


def begin(recipe: Recipe, vocabulary: int, vectors: Vectors | None = None) -> Training:
    """A training of which nothing is done yet; `vocabulary` is the number of tokens. Seeds torch."""
    torch.manual_seed(recipe.split.seed)
    model = build(recipe, vocabulary).train()
    if vectors is not None:
        start_from(model, vectors)
    averaged = deepcopy(model).eval()
    averaged.precision = torch.float32
    optimiser = build_optimiser(model, recipe.optimiser)
    return Training(model, averaged, optimiser, np.random.default_rng(recipe.split.seed))


def train(
    training: Training,
    recipe: Recipe,
    prepared: Prepared,
    tell: Callable[[Steps | Epoch], None] = lambda _: None,
    keep: Callable[[Training], None] = lambda _: None,
) -> None:
    """Train on the train part until the epochs are done, or `patience` of them have not been better on dev.

    `tell` hears how it goes; `keep` is called after each epoch, with what is needed to go on from there. The same
    recipe, data, torch, kind of CPU and number of threads give the same weights, interrupted or not.
    """
    settings = recipe.optimiser
    part, dev = prepared.parts["train"], prepared.parts["dev"]
    lengths = part.lengths
    each = math.ceil(len(part) / settings.batch)
    while len(training.history) < settings.epochs and not stalled(training.history, settings.patience):
        epoch, began, total_loss = len(training.history) + 1, time.perf_counter(), 0.0
        meter = Meter(epoch, each, began)
        batches = training_batches(lengths, settings.batch, training.random)
        with no_denormals():
            for number, reviews in enumerate(batches, start=1):
                rate = settings.rate * rate_at(training.step, each * settings.epochs, settings.warmup)
                set_rate(training.optimiser, rate)
                tokens = drop_tokens(part.stack(reviews), settings.token_dropout)
                positive = torch.from_numpy(part.positive[reviews]).float()
                loss, norm = train_step(training.model, training.optimiser, tokens, positive, settings)
                share = min(settings.average, (1 + training.step) / (10 + training.step))
                update_average(training.averaged, training.model, share)
                training.step += 1
                total_loss += loss * len(reviews)
                meter.add(loss, norm, int(lengths[reviews].sum()))
                if number % TELL_EVERY == 0 or number == len(batches):
                    tell(meter.read(training.step, rate, time.perf_counter()))
        seconds = time.perf_counter() - began

        logits = logits_of(training.averaged, dev)
        accuracy = accuracy_of(logits, dev.positive)
        if accuracy > max((past.dev_accuracy for past in training.history), default=-1.0):
            training.best = {name: weight.clone() for name, weight in training.averaged.state_dict().items()}
        dev_loss = log_loss(logits, dev.positive, 1.0)
        speed = len(part.ids) / seconds
        training.history.append(Epoch(epoch, total_loss / len(part), dev_loss, accuracy, seconds, speed))
        tell(training.history[-1])
        keep(training)


def stalled(history: Sequence[Epoch], patience: int) -> bool:
    """Whether the last `patience` epochs have not been better on dev than the best one before them."""
    accuracies = [epoch.dev_accuracy for epoch in history]
    return bool(history) and len(history) - 1 - accuracies.index(max(accuracies)) >= patience


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
) -> tuple[float, float]:
    """One step down the smoothed log loss; return that loss and the gradient's norm before it is clipped.

    tokens: int64 [T, B]. positive: float32 [B].
    """
    targets = positive * (1 - settings.smoothing) + 0.5 * settings.smoothing
    loss = nn.functional.binary_cross_entropy_with_logits(model(tokens), targets)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped.
    norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimiser.step()
    return loss.item(), norm.item()


@torch.no_grad()
def update_average(averaged: Classifier, model: Classifier, keep: float) -> None:
    """Move the averaged weights to the model's: keep a share of the old, take the rest from the new."""
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - keep)
