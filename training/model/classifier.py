"""The classifier: embedding -> recurrent layers -> max and mean pooling -> linear, without bias.

The served shape, one bidirectional LSTM layer, is computed in two forms from the same weights. The packed form is
the textbook's and the reference. The pad-gate form, trained and served, needs no packing: one more input channel is
1 at pads only, and its weights close the input and forget gates there, so c = 0 and h = 0 exactly at every pad step,
in both directions.

The other shapes are for comparison and not served. They need no packing either: the backward direction reads each
review reversed by its own length, so that neither direction meets a pad before the review's end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from streamer.text import PAD_ID
from training.recipe import CellType, ModelSettings

_CELL_MODULES: dict[CellType, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_CELL_FUNCTIONS: dict[CellType, Callable[..., Any]] = {"lstm": torch.lstm, "gru": torch.gru, "rnn": torch.rnn_tanh}

# Of the numbers in a fresh embedding; word vectors are scaled to it.
EMBEDDING_STD = 0.1

# sigmoid(-1e4) is 0 in every float format, and -1e4 fits into float16.
GATE_CLOSED = -1e4


def pad_gate(hidden: int) -> Tensor:
    """The pad channel's input weights, [4 * hidden, 1]; PyTorch's gates are input, forget, cell, output."""
    gate = torch.zeros(4 * hidden, 1)
    gate[: 2 * hidden] = GATE_CLOSED
    return gate


def pool(states: Tensor, lengths: Tensor) -> Tensor:
    """Max and mean of the states over time: float32 [B, 2 * S]. Also scripted.

    states: [T, B, S], zero at pads. lengths: [B], tokens that are not pads. The max is taken over the states and 0,
    so that pads cannot change it; the mean of no tokens is 0.
    """
    peak = states.amax(0).clamp(min=0).float()
    mean = states.sum(0, dtype=torch.float32) / lengths.clamp(min=1).unsqueeze(1)
    return torch.cat([peak, mean], 1)


def why_not_servable(model: ModelSettings) -> str | None:
    """Why a model of this shape cannot be served; None when it can."""
    if model.kind != "lstm":
        return f"its kind is {model.kind}; only LSTMs are served"
    if not model.bidirectional:
        return "it reads in one direction; only bidirectional LSTMs are served"
    if model.layers != 1:
        return f"it has {model.layers} layers; only one is served"
    return None


class Classifier(nn.Module):
    """The network: a logit for each review, above 0 for positive. The weights are float32."""

    gate: Tensor

    def __init__(
        self,
        vocabulary: int,
        width: int,
        hidden: int,
        *,
        embedding_dropout: float = 0.0,
        pooled_dropout: float = 0.0,
        precision: torch.dtype = torch.float32,
        cell: CellType = "lstm",
        bidirectional: bool = True,
        layers: int = 1,
    ) -> None:
        """Sizes in tokens, embedding channels and units per direction; `precision` is the recurrence's."""
        super().__init__()
        self.cell = cell
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PAD_ID)
        self.recurrence = _CELL_MODULES[cell](width, hidden, layers, bidirectional=bidirectional)
        self.head = nn.Linear((4 if bidirectional else 2) * hidden, 1, bias=False)
        self.embedding_dropout = nn.Dropout1d(embedding_dropout)
        self.pooled_dropout = nn.Dropout(pooled_dropout)
        self.precision = precision
        self.pad_gated = cell == "lstm" and bidirectional and layers == 1
        self.register_buffer("gate", pad_gate(hidden), persistent=False)
        self._initialise(hidden)

    @property
    def lstm(self) -> nn.LSTM:
        """The recurrent layer of the served shape; raises TypeError for another kind."""
        if not isinstance(self.recurrence, nn.LSTM):
            raise TypeError(f"a {self.cell} is not an LSTM")
        return self.recurrence

    @torch.no_grad()
    def _initialise(self, hidden: int) -> None:
        self.embedding.weight.normal_(std=EMBEDDING_STD)[PAD_ID] = 0
        for name, weight in self.recurrence.named_parameters():
            if name.startswith("weight_hh"):
                for gate in torch.split(weight, hidden):
                    nn.init.orthogonal_(gate)
            elif name.startswith("weight_ih"):
                nn.init.xavier_uniform_(weight)
            else:
                weight.zero_()
                if self.cell == "lstm" and name.startswith("bias_ih"):
                    weight[hidden : 2 * hidden] = 1  # Open forget gates at first (Jozefowicz et al. 2015).

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits, float32 [B], of tokens int64 [T, B]; in the pad-gate form, or reversed for other shapes."""
        embedded = self.embedding(tokens)
        if self.training:  # The same channels at all steps of a review (Gal and Ghahramani 2016).
            embedded = self.embedding_dropout(embedded.permute(1, 2, 0)).permute(2, 0, 1)
        states = self._gated(embedded, tokens) if self.pad_gated else self._length_reversed(embedded, tokens)
        return self._logits(states, tokens)

    def forward_packed(self, tokens: Tensor) -> Tensor:
        """The same logits from packed sequences: the reference. No review may be all pads."""
        lengths = (tokens != PAD_ID).sum(0)
        packed = pack_padded_sequence(self.embedding(tokens), lengths.cpu(), enforce_sorted=False)
        states, _ = pad_packed_sequence(self.recurrence(packed)[0], total_length=tokens.shape[0])
        return self._logits(states, tokens)

    def gated_weights(self) -> list[Tensor]:
        """The LSTM's weights in torch.lstm's order, the input weights with the pad channel as the last."""
        return [
            torch.cat([weight, self.gate], 1) if name.startswith("weight_ih") else weight
            for name, weight in self.lstm.named_parameters()
        ]

    def _gated(self, embedded: Tensor, tokens: Tensor) -> Tensor:
        """States [T, B, 2 * H], 0 at pads, of embeddings [T, B, W]: the pad-gate form."""
        pads = (tokens == PAD_ID).unsqueeze(2).to(embedded.dtype)
        return self._layer(torch.cat([embedded, pads], 2), self.gated_weights())

    def _length_reversed(self, states: Tensor, tokens: Tensor) -> Tensor:
        """States [T, B, D * H], 0 at pads, of embeddings [T, B, W]: any kind, directions and layers."""
        lengths = (tokens != PAD_ID).sum(0)
        steps = torch.arange(len(tokens), device=tokens.device).unsqueeze(1)
        inside = steps < lengths
        reverse = torch.where(inside, lengths - 1 - steps, steps), torch.arange(tokens.shape[1], device=tokens.device)
        directions = 2 if self.recurrence.bidirectional else 1
        for layer in range(self.recurrence.num_layers):
            if layer:
                states = self.pooled_dropout(states)
            weights = self.recurrence.all_weights[layer * directions : (layer + 1) * directions]
            outputs = [self._layer(states, weights[0])]
            if directions == 2:
                outputs.append(self._layer(states[reverse], weights[1])[reverse])
            states = torch.cat(outputs, 2) * inside.unsqueeze(2)
        return states

    def _layer(self, inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """One layer's states [T, B, D * H] of inputs [T, B, I]; of eight weights both directions, of four one."""
        inputs = inputs.to(self.precision)
        start = inputs.new_zeros(len(weights) // 4, inputs.shape[1], self.recurrence.hidden_size)
        states: Tensor = _CELL_FUNCTIONS[self.cell](
            inputs,
            (start, start) if self.cell == "lstm" else start,
            [weight.to(self.precision) for weight in weights],
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=self.training,
            bidirectional=len(weights) == 8,
            batch_first=False,
        )[0]
        return states

    def _logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pooled_dropout(pool(states, (tokens != PAD_ID).sum(0)))).squeeze(1)
        return logits
