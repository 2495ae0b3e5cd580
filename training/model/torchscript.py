"""The served form: a TorchScript module in pad-gate form, which can also split its logit over the tokens."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamer.text import PAD_ID
from training.model.classifier import Classifier, pool
from training.model.linear import LinearClassifier, token_weights


def max_over_time(states: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum over time of each unit's states and 0, float32 [B, S], and the step where it is, int64 [B, S].

    states: [T, B, S], between -1 and 1. Where a unit is never above 0 the step means nothing. A state is written as a
    multiple of 2^-14 with its step in the bits below, so that the largest such number also holds the step; of equal
    states it is the last one. On a CPU this is twice as fast as the indices of `max`.
    """
    steps = torch.arange(states.shape[0], dtype=torch.int32, device=states.device).reshape(-1, 1, 1)
    step = (states * 16384).to(torch.int32).mul_(65536).add_(steps).amax(0).bitwise_and_(65535)
    return states.amax(0).clamp(min=0).float(), step.long()


class ServedClassifier(nn.Module):
    """Calibrated scores from token ids; in any float format, the output is always float32.

    T is between 1 and 32,767; pads are at the end of a column. A column of pads alone has the logit 0.
    """

    __constants__ = ("hidden", "linear", "pad", "temperature")

    def __init__(
        self, model: Classifier, temperature: float, linear: LinearClassifier | None = None, share: float = 0.0
    ) -> None:
        """Extend the trained weights by the pad channel, which is 1 for the pad token only.

        linear: the linear part, where there is one; `share` is its share of the logit.
        """
        super().__init__()
        tokens, width = model.embedding.weight.shape
        self.pad = PAD_ID
        self.hidden = model.lstm.hidden_size
        self.temperature = temperature
        self.embedding = nn.Embedding(tokens, width + 1)
        self.lstm = nn.LSTM(width + 1, self.hidden, bidirectional=True)
        self.head = nn.Parameter((1 - share) * model.head.weight.detach().reshape(2, 2 * self.hidden))
        self.linear = linear is not None
        if linear is not None:
            self.token = nn.Parameter(share * linear.token, requires_grad=False)
            self.keys = nn.Parameter(linear.keys, requires_grad=False)
            self.pair = nn.Parameter(share * linear.pair, requires_grad=False)
        with torch.no_grad():
            self.embedding.weight.zero_()
            self.embedding.weight[:, :width] = model.embedding.weight
            self.embedding.weight[PAD_ID] = 0
            self.embedding.weight[PAD_ID, width] = 1
            for weight, trained in zip(self.lstm.parameters(), model.gated_weights(), strict=True):
                weight.copy_(trained)

    def forward(self, tokens: Tensor) -> Tensor:
        """P(positive), float32 [B], of token ids int64 [T, B]."""
        states, _ = self.lstm(self.embedding(tokens))
        lengths = self.lengths(tokens)
        logit = torch.matmul(pool(states, lengths), self.head.float().reshape(-1))
        if self.linear:
            added = token_weights(tokens, self.token, self.keys, self.pair)
            logit = logit + added.sum(0) / lengths.clamp(min=1).sqrt()
        return torch.sigmoid(logit / self.temperature)

    @torch.jit.export
    def explain(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The score [B] and the evidence [T, B], float32, of token ids int64 [T, B].

        Evidence above 0 speaks for positive. Over T it sums to the calibrated logit: a unit's share of the max
        pool goes to the step that has its maximum, the mean pool's goes to each step, a pair's of the linear part in
        halves to its tokens; pads have none.
        """
        states, _ = self.lstm(self.embedding(tokens))
        lengths = self.lengths(tokens)
        head = self.head.float()
        peak, step = max_over_time(states)
        evidence = torch.matmul(states.float(), head[1]) / lengths.clamp(min=1)
        evidence = evidence.scatter_add(0, step.t(), (peak * head[0]).t())
        if self.linear:
            added = token_weights(tokens, self.token, self.keys, self.pair)
            evidence = evidence + added / lengths.clamp(min=1).sqrt()
        return torch.sigmoid(evidence.sum(0) / self.temperature), evidence / self.temperature

    def lengths(self, tokens: Tensor) -> Tensor:
        """Tokens that are not pads: int64 [B]."""
        return (tokens != self.pad).sum(0)


@torch.inference_mode()
def pad_gate_difference(model: Classifier, temperature: float, max_tokens: int, reviews: int = 64) -> float:
    """The largest difference between served scores and those of packed sequences, in float32: no more than rounding.

    Computed on one batch of seeded random reviews, of random lengths up to `max_tokens`.
    """
    random = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, max_tokens + 1, (reviews,), generator=random)
    steps = int(lengths.max())
    tokens = torch.randint(1, model.embedding.num_embeddings, (steps, reviews), generator=random)
    tokens[torch.arange(steps).unsqueeze(1) >= lengths] = PAD_ID
    packed = torch.sigmoid(model.forward_packed(tokens) / temperature)
    difference: float = (ServedClassifier(model, temperature)(tokens) - packed).abs().max().item()
    return difference


def to_torchscript(
    model: Classifier, temperature: float, linear: LinearClassifier | None = None, share: float = 0.0
) -> torch.jit.ScriptModule:
    """The served module in TorchScript, its weights in float16; for the arguments see `ServedClassifier`."""
    with _without_deprecation_warnings():
        scripted = torch.jit.script(ServedClassifier(model, temperature, linear, share).half().eval())
    assert isinstance(scripted, torch.jit.ScriptModule)  # noqa: S101  # For mypy: a module in, a module out.
    return scripted


def load_script(path: Path) -> torch.jit.ScriptModule:
    """A saved module, its weights in float32."""
    untyped: Any = torch.jit.load
    with _without_deprecation_warnings():
        loaded: torch.jit.ScriptModule = untyped(str(path), "cpu").to(torch.float32)
    return loaded


@contextmanager
def without_profiling() -> Iterator[None]:
    """Run TorchScript without its profiling executor, which compiles anew for every shape."""
    untyped: Any = torch.jit
    with torch.inference_mode(), untyped.optimized_execution(False):
        yield


@contextmanager
def _without_deprecation_warnings() -> Iterator[None]:
    """Silence torch.jit's deprecation warning: docs/training.md says why we stay."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit")
        yield
