"""The classifier: embedding -> one bidirectional LSTM -> max and mean pooling -> linear, without bias.

It is computed in two forms from the same weights. The packed form is the textbook's and the reference. The
pad-gate form, trained and served, needs no packing: one more input channel is 1 at pads only, and its weights
shut the input and forget gates there, so c = 0 and h = 0 exactly at every pad step, in both directions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from streamer.tokenise import PAD_ID

# sigmoid(-1e4) is 0 in every float format, and -1e4 fits into float16.
SHUT = -1e4


def pad_gate(hidden: int) -> Tensor:
    """The pad channel's input weights, [4 * hidden, 1]; PyTorch's gates are input, forget, cell, output."""
    gate = torch.zeros(4 * hidden, 1)
    gate[: 2 * hidden] = SHUT
    return gate


def pool(states: Tensor, lengths: Tensor) -> Tensor:
    """Max and mean of the states over time: float32 [B, 2 * S]. It is scripted too.

    states: [T, B, S], zero at pads. lengths: [B], tokens that are no pads. The max is that of the states and 0,
    so that pads cannot change it; the mean of no tokens is 0.
    """
    peak = states.amax(0).clamp(min=0).float()
    mean = states.sum(0, dtype=torch.float32) / lengths.clamp(min=1).unsqueeze(1)
    return torch.cat([peak, mean], 1)


class Classifier(nn.Module):
    """Logits of reviews being positive; the weights are float32."""

    gate: Tensor

    def __init__(
        self,
        vocabulary: int,
        width: int,
        hidden: int,
        embedding_dropout: float = 0.0,
        pooled_dropout: float = 0.0,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """Sizes in tokens, embedding channels and units per direction; `precision` is the recurrence's."""
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PAD_ID)
        self.lstm = nn.LSTM(width, hidden, bidirectional=True)
        self.head = nn.Linear(4 * hidden, 1, bias=False)
        self.embedding_dropout = nn.Dropout1d(embedding_dropout)
        self.pooled_dropout = nn.Dropout(pooled_dropout)
        self.precision = precision
        self.register_buffer("gate", pad_gate(hidden), persistent=False)
        self._initialise(hidden)

    @torch.no_grad()
    def _initialise(self, hidden: int) -> None:
        self.embedding.weight.normal_(std=0.1)[PAD_ID] = 0
        for name, weight in self.lstm.named_parameters():
            if name.startswith("weight_hh"):
                for gate in torch.split(weight, hidden):
                    nn.init.orthogonal_(gate)
            elif name.startswith("weight_ih"):
                nn.init.xavier_uniform_(weight)
            else:
                weight.zero_()
                if name.startswith("bias_ih"):
                    weight[hidden : 2 * hidden] = 1  # Remember at first (Jozefowicz et al. 2015).

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits, float32 [B], of tokens int64 [T, B]; in the pad-gate form."""
        embedded = self.embedding(tokens)
        if self.training:  # The same channels at all steps of a review (Gal and Ghahramani 2016).
            embedded = self.embedding_dropout(embedded.permute(1, 2, 0)).permute(2, 0, 1)
        pads = (tokens == PAD_ID).unsqueeze(2).to(embedded.dtype)
        inputs = torch.cat([embedded, pads], 2).to(self.precision)
        start = inputs.new_zeros(2, tokens.shape[1], self.lstm.hidden_size)
        states, _, _ = torch.lstm(
            inputs,
            (start, start),
            [weight.to(self.precision) for weight in self.gated_weights()],
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=self.training,
            bidirectional=True,
            batch_first=False,
        )
        return self._logits(states, tokens)

    def forward_packed(self, tokens: Tensor) -> Tensor:
        """The same logits from packed sequences: the reference. No review may be all pads."""
        lengths = (tokens != PAD_ID).sum(0)
        packed = pack_padded_sequence(self.embedding(tokens), lengths.cpu(), enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], total_length=tokens.shape[0])
        return self._logits(states, tokens)

    def gated_weights(self) -> list[Tensor]:
        """The LSTM's weights in torch.lstm's order, the input weights with the pad channel as the last."""
        return [
            torch.cat([weight, self.gate], 1) if name.startswith("weight_ih") else weight
            for name, weight in self.lstm.named_parameters()
        ]

    def _logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pooled_dropout(pool(states, (tokens != PAD_ID).sum(0)))).squeeze(1)
        return logits
