"""The artefact's network in eager PyTorch, and the labeller around it, as a user of the weights would write them.

Shared by all peers, so that they differ in how they read, batch and write, and in nothing else.

    text -> visible text -> normalise -> jieba -> ids -> padded to the longest -> score -> label
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import jieba
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from streamer.text import PAD_ID, Vocabulary, bound, head_and_tail, normalise, segment, visible_text
from streamer.text.words import has_word, with_marks

Form = Literal["packed", "gated"]
Precision = Literal["float32", "bfloat16"]
Tokeniser = Literal["jieba", "rjieba"]
_DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Network(nn.Module):
    """P(positive) of padded reviews.

    packed: the textbook's form, packed sequences and no pad channel. gated: the artefact's own form, whose last
    embedding channel is the pad's and shuts the LSTM's gates there; it needs no packing.
    """

    def __init__(self, weights: Mapping[str, Tensor], temperature: float, form: Form, precision: Precision) -> None:
        """Take the artefact's weights, by their names in weights.safetensors."""
        super().__init__()
        weights = {name: weight.float() if weight.is_floating_point() else weight for name, weight in weights.items()}
        vocabulary, width = weights["embedding.weight"].shape
        used = width - 1 if form == "packed" else width
        self.form = form
        self.temperature = temperature
        self.embedding = nn.Embedding(vocabulary, used)
        self.lstm = nn.LSTM(used, weights["lstm.weight_hh_l0"].shape[1], bidirectional=True)
        self.head = nn.Parameter(weights["head"].reshape(-1))
        with torch.no_grad():
            self.embedding.weight.copy_(weights["embedding.weight"][:, :used])
            for name, parameter in self.lstm.named_parameters():
                weight = weights[f"lstm.{name}"]
                parameter.copy_(weight[:, :used] if name.startswith("weight_ih") else weight)
        self.to(_DTYPES[precision])
        self.token, self.keys, self.pair = weights.get("token"), weights.get("keys"), weights.get("pair")

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Scores, float32 [B], of ids int64 [T, B] and their lengths int64 [B], each at least 1."""
        embedded = self.embedding(tokens)
        if self.form == "packed":
            packed = pack_padded_sequence(embedded, lengths, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.lstm(packed)[0], total_length=len(tokens))
        else:
            states, _ = self.lstm(embedded)
        pooled = torch.cat([states.amax(0).clamp(min=0).float(), states.float().sum(0) / lengths.unsqueeze(1)], 1)
        logits = pooled @ self.head.float()
        if self.token is not None:
            logits = logits + self._linear(tokens, self.token) / lengths.sqrt()
        return torch.sigmoid(logits / self.temperature)

    def _linear(self, tokens: Tensor, token: Tensor) -> Tensor:
        """The sum of the weights of each review's tokens and of its pairs of neighbours: float32 [B]."""
        total = token[tokens].sum(0)
        if self.keys is None or self.pair is None or not len(self.keys) or len(tokens) < 2:
            return total
        pairs = (tokens[:-1] * len(token) + tokens[1:]).to(self.keys.dtype).contiguous()
        found = torch.searchsorted(self.keys, pairs).clamp(max=len(self.keys) - 1)
        return total + (self.pair[found] * (self.keys[found] == pairs)).sum(0)


class Result(NamedTuple):
    """A review's label and P(positive)."""

    label: str
    score: float


class Labeller:
    """Labels batches of texts; counts tokens with and without padding."""

    def __init__(
        self,
        artefact: Path,
        form: Form = "gated",
        precision: Precision = "float32",
        tokeniser: Tokeniser = "jieba",
        pad_to: int | None = None,
    ) -> None:
        """`pad_to`: cut or pad every review to so many tokens; None pads to the longest of its batch."""
        manifest = json.loads((artefact / "manifest.json").read_text("utf-8"))
        weights = load_file(str(artefact / "weights.safetensors"))
        self._network = Network(weights, manifest["temperature"], form, precision).eval()
        self._band = (float(manifest["uncertain"]["low"]), float(manifest["uncertain"]["high"]))
        self._max_tokens: int = manifest["max_tokens"]
        self._vocabulary = Vocabulary((artefact / "vocabulary.txt").read_text("utf-8").removesuffix("\n").split("\n"))
        self._pad_to = pad_to
        jieba.setLogLevel(logging.WARNING)
        jieba.initialize()
        self._cut: Callable[[str], list[str]] = jieba.lcut if tokeniser == "jieba" else segment
        self.reviews = self.tokens = self.padded_tokens = 0

    def label(self, texts: Sequence[str]) -> list[Result]:
        """A result for each text; one without tokens is uncertain with score 0.5."""
        ids = [self._encode(text) for text in texts]
        lengths = torch.tensor([max(1, len(review)) for review in ids])
        tokens = pad_sequence([torch.tensor(review, dtype=torch.int64) for review in ids], padding_value=PAD_ID)
        if not len(tokens) or self._pad_to is not None:
            tokens = nn.functional.pad(tokens, (0, 0, 0, (self._pad_to or 1) - len(tokens)), value=PAD_ID)
        self.reviews += len(ids)
        self.tokens += sum(map(len, ids))
        self.padded_tokens += tokens.numel()
        with torch.inference_mode():
            scores = self._network(tokens, lengths).tolist()
        return [self._result(score if review else None) for review, score in zip(ids, scores, strict=True)]

    def padding(self) -> dict[str, int]:
        """What has been labelled: reviews, tokens, and tokens with padding."""
        return {"reviews": self.reviews, "tokens": self.tokens, "padded_tokens": self.padded_tokens}

    def _encode(self, text: str) -> list[int]:
        text = normalise(bound(visible_text(text), self._max_tokens))
        if not has_word(text):
            return []
        text, marks = with_marks(text)
        ids, _ = self._vocabulary.pieces([marks.get(token, token) for token in self._cut(text) if not token.isspace()])
        ids = head_and_tail(ids, self._max_tokens) if len(ids) > self._max_tokens else ids
        return ids if self._pad_to is None else ids[: self._pad_to]

    def _result(self, score: float | None) -> Result:
        if score is None:
            return Result("uncertain", 0.5)
        low, high = self._band
        return Result("negative" if score < low else "positive" if score >= high else "uncertain", score)
