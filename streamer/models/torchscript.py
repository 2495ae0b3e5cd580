"""Runs an artefact's TorchScript: token ids to predictions, on one device in one precision.

A model is used only after it has reproduced the golden scores of the golden texts in the same runtime.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

# Set before torch loads OpenMP, which reads it once. By default a thread that waits for the others of its batch spins,
# and occupies a core that they, the event loop and the broker need: on two busy cores a batch of 256 reviews of 48
# tokens took 1.7 s instead of 32 ms.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# The same for oneDNN, which keeps a compiled kernel with its buffers for each of the last 1,024 shapes: memory grew by
# 11 % from 100,000 to 1,000,000 reviews, since each length and size of a batch is a shape.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")

import torch

from streamer.events import Prediction, Weight
from streamer.labels import UNCERTAIN
from streamer.models.artefact import Artefact, ModelError, read_artefact
from streamer.models.cost_table import padded_batch_size
from streamer.printable import shown_path
from streamer.text import Encoded, warm_up

_ID_BYTES = 8
_WEIGHT_DECIMALS = 4

Precision = Literal["float32", "bfloat16", "float16"]
_DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# The tolerance for golden scores: float32 differs by the order of sums, the shorter formats by their mantissa.
_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.01}


class Model:
    """A loaded artefact on one device in one precision. Its methods are for one thread at a time."""

    def __init__(self, artefact: Artefact, device: str, precision: Precision, evidence_tokens: int = 0) -> None:
        """Load the TorchScript. `evidence_tokens`: how many of the strongest tokens a prediction reports.

        Raises ModelError if it cannot be opened or lacks `forward` or `explain`.
        """
        self.manifest = artefact.manifest
        self.vocabulary = artefact.vocabulary
        self.device = device
        self.precision: Precision = precision
        self.evidence_tokens = evidence_tokens
        self.labels = artefact.manifest.label_set()
        self._binary = self.labels.binary
        path = artefact.directory / "model.pt"
        with warnings.catch_warnings():
            # TorchScript is deprecated upstream; docs/training.md explains why we still use it.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            try:
                # Typed as Any: torch.jit ships no types.
                load_script: Any = torch.jit.load
                module = load_script(io.BytesIO(artefact.script), map_location="cpu")
            except (RuntimeError, ValueError) as error:
                raise ModelError(f"{shown_path(path)}: not a TorchScript model: {str(error).splitlines()[0]}") from None
        if not hasattr(module, "explain"):
            raise ModelError(f"{shown_path(path)}: the model has no explain method")
        self._module: Any = module.to(torch.float32).to(dtype=_DTYPES[precision], device=device).eval()

    def collate(self, reviews: Sequence[Encoded], length: int, size: int) -> torch.Tensor:
        """Ids int64 [length, size], padded with the pad token, which is id 0."""
        width = length * _ID_BYTES
        rows = b"".join([review.ids.ljust(width, b"\0") for review in reviews])
        buffer = bytearray(rows.ljust(size * width, b"\0"))
        ids = torch.frombuffer(buffer, dtype=torch.int64).view(size, length).t()
        return ids if self.device == "cpu" else ids.to(self.device)

    def forward(self, ids: torch.Tensor) -> list[float] | list[list[float]]:
        """For each column of ids int64 [T, B]: with two labels P of the second, otherwise the probability of each."""
        with torch.inference_mode(), _unspecialised():
            scores: list[float] | list[list[float]] = self._module(ids).tolist()
        return scores

    def explain(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities as in `forward`, float32 [B] or [B, K], and each token's weight float32 [T, B].

        With two labels the weights of a column sum to its logit; above zero, they support the second label. With more,
        they support labels with a higher value.
        """
        with torch.inference_mode(), _unspecialised():
            score, weight = self._module.explain(ids)
        return score, weight

    def predict(self, reviews: Sequence[Encoded]) -> list[Prediction]:
        """A prediction for each review. One without tokens is uncertain with score 0.5."""
        length = max(map(len, reviews), default=0)
        if length == 0:
            return [_empty_prediction(review) for review in reviews]
        ids = self.collate(reviews, length, padded_batch_size(len(reviews)))
        if not self.evidence_tokens:
            return [self._prediction(r, s, ()) for r, s in zip(reviews, self.forward(ids), strict=False)]
        scores, weights = self.explain(ids)
        strongest = weights.abs().topk(min(self.evidence_tokens, length), dim=0).indices
        # Rounded here, where it is cheap: in float64, so that 0.1234 is exactly that.
        values = weights.gather(0, strongest).double().round(decimals=_WEIGHT_DECIMALS)
        columns = zip(reviews, scores.tolist(), strongest.t().tolist(), values.t().tolist(), strict=False)
        return [self._prediction(review, score, _evidence(review, at, ws)) for review, score, at, ws in columns]

    def _prediction(self, review: Encoded, found: Any, evidence: tuple[Weight, ...]) -> Prediction:
        """`found`: a column's score with two labels, otherwise its probabilities."""
        if not len(review):
            return _empty_prediction(review)
        if self._binary:
            label, score, confidence = self.labels.of_score(found), found, max(found, 1 - found)
        else:
            score = self.labels.expected_value(found)
            label, confidence = self.labels.of_probabilities(found)
        coverage = review.coverage
        return Prediction(label, score, confidence, len(review), review.truncated, evidence, coverage=coverage)

    def golden_error(self, golden: Sequence[tuple[str, float]]) -> float:
        """The largest difference from the golden scores."""
        reviews = [self.vocabulary.encode(text, self.manifest.max_tokens) for text, _ in golden]
        predictions = self.predict(reviews)
        return max(abs(v.score - score) for v, (_, score) in zip(predictions, golden, strict=True))


def _empty_prediction(review: Encoded) -> Prediction:
    """The prediction for a review that says nothing, or nothing that the model knows."""
    return Prediction(UNCERTAIN, 0.5, 0.5, len(review), review.truncated, coverage=review.coverage)


def _evidence(review: Encoded, at: Sequence[int], weights: Sequence[float]) -> tuple[Weight, ...]:
    """The tokens at these indices with their weights."""
    length = len(review)
    if length >= len(at):
        return tuple(map(Weight, map(review.tokens.__getitem__, at), weights))
    # The review has fewer tokens than the requested evidence: the rest is padding.
    return tuple(Weight(review.tokens[i], w) for i, w in zip(at, weights, strict=True) if i < length)


def _unspecialised() -> AbstractContextManager[None]:
    """Without TorchScript's profiling executor, which would recompile for every batch shape."""
    execution: Any = torch.jit  # Exported, but not to type checkers.
    context: AbstractContextManager[None] = execution.optimized_execution(False)
    return context


def load(
    directory: Path,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto"] | Precision = "auto",
    threads: int = 0,
    evidence_tokens: int = 0,
    pin: str | None = None,
) -> Model:
    """Read, verify and load an artefact, in the fastest precision that reproduces the golden scores.

    threads: on the CPU; 0 keeps torch's own choice. pin: see `read_artefact`.
    Raises ModelError if the artefact is refused, the device is missing or no precision reproduces the scores.
    """
    artefact = read_artefact(directory, pin)
    warm_up()
    if threads:
        torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("model.device is cuda, but torch finds no CUDA device")
    where = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    refused = []
    for form in _forms(where) if precision == "auto" else (precision,):
        model = Model(artefact, where, form, evidence_tokens)
        try:
            difference = model.golden_error(artefact.golden)
        except Exception as error:  # Whatever the model's code raises, refuse it.
            refused.append(f"in {form} on {where} it fails: {str(error).strip().splitlines()[-1:]}")
            continue
        if difference <= _TOLERANCE[form]:
            return model
        refused.append(f"in {form} on {where} a golden text's score is off by {difference:.3f}")
    raise ModelError(f"{shown_path(directory)}: the model does not give its golden scores: {'; '.join(refused)}")


def _forms(device: str) -> tuple[Precision, ...]:
    """The precisions to try, fastest first."""
    if device == "cuda":
        return ("float16", "float32")
    # A CPU without matrix instructions is slower in bfloat16 than in float32.
    quick = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return ("bfloat16", "float32") if any(check and check() for check in quick) else ("float32",)
