"""The training loop, from encoded reviews to weights: read it from top to bottom.

batches of similar lengths -> dropout -> network -> log loss -> AdamW -> averaged weights -> dev
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
from training.corpus.batches import training_batches
from training.corpus.corpus import Corpus, Split
from training.evaluation.calibration import log_loss
from training.model.classifier import Classifier
from training.model.inference import accuracy_of, logits_of
from training.model.training_log import EpochMetrics, StepMeter, StepMetrics
from training.model.vectors import Vectors, initialise_embedding
from training.recipe import OptimiserSettings, Recipe

StateDict = dict[str, Tensor]
Report = Callable[[StepMetrics | EpochMetrics], None]

REPORT_EVERY = 20  # Steps.


def build_classifier(recipe: Recipe, vocabulary: int) -> Classifier:
    """The recipe's network with fresh weights; `vocabulary` is the number of tokens."""
    return Classifier(
        vocabulary,
        recipe.model.width,
        recipe.model.hidden,
        embedding_dropout=recipe.optimiser.embedding_dropout,
        pooled_dropout=recipe.optimiser.pooled_dropout,
        precision=recurrence_dtype(recipe.optimiser.precision),
        cell=recipe.model.kind,
        bidirectional=recipe.model.bidirectional,
        layers=recipe.model.layers,
    )


def recurrence_dtype(precision: Literal["float32", "bfloat16"]) -> torch.dtype:
    """The recurrence's float format: bfloat16 only where oneDNN computes in it, elsewhere it is many times slower."""
    if precision == "bfloat16" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32


@dataclass(slots=True)
class TrainingState:
    """Everything that changes during a training, except torch's global random state; a checkpoint holds it."""

    model: Classifier
    averaged: Classifier  # Its exponential moving average, in eval mode and float32.
    optimiser: torch.optim.Optimizer
    random: np.random.Generator  # Shuffles the reviews.
    step: int = 0  # Steps done.
    best: StateDict = field(default_factory=dict)  # The averaged weights of the epoch that was best on dev.
    history: list[EpochMetrics] = field(default_factory=list)


def start_training(recipe: Recipe, vocabulary: int, vectors: Vectors | None = None) -> TrainingState:
    """The state before the first step; `vocabulary` is the number of tokens. Seeds torch."""
    torch.manual_seed(recipe.split.seed)
    model = build_classifier(recipe, vocabulary).train()
    if vectors is not None:
        initialise_embedding(model, vectors)
    averaged = deepcopy(model).eval()
    averaged.precision = torch.float32
    optimiser = build_optimiser(model, recipe.optimiser)
    return TrainingState(model, averaged, optimiser, np.random.default_rng(recipe.split.seed))


def train(
    state: TrainingState,
    recipe: Recipe,
    corpus: Corpus,
    report: Report = lambda _: None,
    on_epoch_end: Callable[[TrainingState], None] = lambda _: None,
) -> None:
    """Train until all epochs are done, or `patience` of them have not been better on dev.

    `report` is called every few steps and after each epoch; `on_epoch_end` gets the state that training can be resumed
    from. The same recipe, data, torch, kind of CPU and number of threads give the same weights, interrupted or not.
    """
    settings = recipe.optimiser
    dev = corpus.splits["dev"]
    while len(state.history) < settings.epochs and not should_stop(state.history, settings.patience):
        began = time.perf_counter()
        train_loss = train_epoch(state, corpus.splits["train"], settings, report)
        seconds = time.perf_counter() - began

        logits = logits_of(state.averaged, dev)
        accuracy = accuracy_of(logits, dev.positive)
        if accuracy > max((past.dev_accuracy for past in state.history), default=-1.0):
            state.best = {name: weight.clone() for name, weight in state.averaged.state_dict().items()}
        dev_loss = log_loss(logits, dev.positive, 1.0)
        speed = len(corpus.splits["train"].ids) / seconds
        state.history.append(EpochMetrics(len(state.history) + 1, train_loss, dev_loss, accuracy, seconds, speed))
        report(state.history[-1])
        on_epoch_end(state)


def train_epoch(state: TrainingState, split: Split, settings: OptimiserSettings, report: Report) -> float:
    """Train on every review once; return the mean loss."""
    lengths, total_loss = split.lengths, 0.0
    steps_per_epoch = math.ceil(len(split) / settings.batch)
    meter = StepMeter(len(state.history) + 1, steps_per_epoch, time.perf_counter())
    batches = training_batches(lengths, settings.batch, state.random)
    with flush_denormals():
        for number, reviews in enumerate(batches, start=1):
            steps = steps_per_epoch * settings.epochs
            rate = settings.rate * learning_rate_factor(state.step, steps, settings.warmup)
            set_learning_rate(state.optimiser, rate)
            tokens = drop_tokens(split.padded(reviews), settings.token_dropout)
            positive = torch.from_numpy(split.positive[reviews]).float()
            loss, norm = train_step(state.model, state.optimiser, tokens, positive, settings)
            keep = min(settings.average, (1 + state.step) / (10 + state.step))
            update_average(state.averaged, state.model, keep)
            state.step += 1
            total_loss += loss * len(reviews)
            meter.add(loss, norm, int(lengths[reviews].sum()))
            if number % REPORT_EVERY == 0 or number == len(batches):
                report(meter.read(state.step, rate, time.perf_counter()))
    return total_loss / len(split)


def should_stop(history: Sequence[EpochMetrics], patience: int) -> bool:
    """Whether the last `patience` epochs have not been better on dev than the best one before them."""
    accuracies = [epoch.dev_accuracy for epoch in history]
    return bool(history) and len(history) - 1 - accuracies.index(max(accuracies)) >= patience


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Round denormal numbers to zero: on long reviews gradients become denormal and slow everything down."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def build_optimiser(model: Classifier, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """AdamW without weight decay for the embedding, whose rare tokens would fade, and for biases."""
    plain, decayed = list[nn.Parameter](), list[nn.Parameter]()
    for name, weight in model.named_parameters():
        (plain if name.startswith("embedding") or weight.ndim < 2 else decayed).append(weight)
    groups = [{"params": decayed, "weight_decay": settings.decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, settings.rate, betas=(0.9, 0.98), fused=True)


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """The share of the peak learning rate: rises linearly during `warmup`, then falls to 0 along half a cosine."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def drop_tokens(tokens: Tensor, share: float) -> Tensor:
    """Turn a random share of the tokens into the unknown token; pads stay. int64 [T, B]."""
    dropped = (torch.rand(tokens.shape) < share) & (tokens != PAD_ID)
    return tokens.masked_fill(dropped, UNKNOWN_ID)


def train_step(
    model: Classifier, optimiser: torch.optim.Optimizer, tokens: Tensor, positive: Tensor, settings: OptimiserSettings
) -> tuple[float, float]:
    """One optimiser step on the smoothed log loss; return the loss and the norm of the gradient before clipping.

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
    """Update the moving average of the weights: keep a share of the old ones, take the rest from the model."""
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - keep)
