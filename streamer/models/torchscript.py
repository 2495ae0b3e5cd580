"""The artefact and the model that it holds: checked before it is opened, tried before it serves.

An artefact is a directory that `python -m training` made; docs/training.md describes its files. A TorchScript
file is executable code, so nothing of it is opened before its sha256 agrees with the manifest, and nothing is
served before the golden texts give the golden scores through the very runtime that will serve.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

# Before torch loads OpenMP, which reads it once. By default a thread that waits for the others of its batch spins, and
# takes from them, the event loop and the broker the very core they need: on two busy cores a batch of 256 reviews of 48
# tokens took 1.7 s instead of 32 ms.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Likewise oneDNN, which keeps a compiled kernel with its buffers for each of the last 1,024 shapes: memory grew by 11 %
# from 100,000 to 1,000,000 reviews, each length and size of batch being a shape.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")

import torch

from streamer.events import Label, Prediction, Weight
from streamer.pipeline.batching import CostTable
from streamer.text import NORMALISATION, Encoded, Vocabulary, warm_up

BUNDLED = Path(__file__).parents[1] / "bundled"
FORMAT = 1
_REQUIRED = ("model.pt", "vocabulary.txt", "golden.json")
_ID_BYTES = 8
_WEIGHT_DECIMALS = 4
_LARGEST_BYTES = 4 << 30  # Of one file of an artefact.

Precision = Literal["float32", "bfloat16", "float16"]
_DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# How far a golden score may be off: float32 differs by the order of sums, the short forms by their mantissa.
_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.01}

# Batches are filled up to one of these sizes: the CPU's matrix units are slow on odd ones.
_SIZES = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
# A recurrent network takes a step a token: in between, the time is a straight line.
_LENGTHS = (4, 32, 128, 512)


class ModelError(Exception):
    """The artefact is refused; the message says which file and why."""


_PRINTABLE = r"^[!-~](?:[ -~]{0,98}[!-~])?$"  # What goes into logs and metrics.


class _Tokeniser(BaseModel):
    name: Literal["jieba"]
    version: str
    normalisation: int


class AbstentionBand(BaseModel):
    low: Annotated[float, Field(ge=0, le=1)]
    high: Annotated[float, Field(ge=0, le=1)]


class Manifest(BaseModel):
    """What serving reads of manifest.json; the rest is for the model card."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    format: int
    name: Annotated[str, Field(pattern=_PRINTABLE)]
    version: Annotated[str, Field(pattern=_PRINTABLE)]
    labels: tuple[Literal["negative"], Literal["positive"]]
    max_tokens: Annotated[int, Field(ge=2, le=4096)]
    tokeniser: _Tokeniser
    uncertain: AbstentionBand
    sha256: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")], str]


@dataclass(frozen=True, slots=True)
class Artefact:
    """A directory whose files are what the manifest says; nothing of the model has run yet."""

    directory: Path
    manifest: Manifest
    vocabulary: Vocabulary
    golden: tuple[tuple[str, float], ...]
    script: bytes  # model.pt: the very bytes that were checked.


def read_artefact(directory: Path, pin: str | None = None) -> Artefact:
    """Check the manifest and every file's sha256, then read the vocabulary and the golden texts.

    pin: the sha256 that manifest.json must have, in hex; it stands for all files, whose sha256 it names.
    Raises ModelError where the directory is missing, damaged, not the pinned one, of another format or tokeniser.
    """
    manifest = _manifest(directory, pin)
    if missing := [name for name in _REQUIRED if name not in manifest.sha256]:
        raise ModelError(f"{directory}: manifest.json names no sha256 for {', '.join(missing)}")
    files = {name: _read(directory / name) for name in manifest.sha256}
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != manifest.sha256[name]:
            raise ModelError(f"{directory / name}: damaged or changed, its sha256 is not the manifest's")
    try:
        lines = files["vocabulary.txt"].decode().removesuffix("\n").split("\n")
        vocabulary = Vocabulary(lines)
    except ValueError as error:
        raise ModelError(f"{directory / 'vocabulary.txt'}: {error}") from None
    try:
        pairs = [(item["text"], item["score"]) for item in orjson.loads(files["golden.json"])]
        golden = tuple((str(text), float(score)) for text, score in pairs)
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"{directory / 'golden.json'}: not a list of texts with scores") from None
    if not golden:
        raise ModelError(f"{directory / 'golden.json'}: no golden texts to try the model on")
    return Artefact(directory, manifest, vocabulary, golden, files["model.pt"])


def _read(path: Path) -> bytes:
    try:
        found = path.stat()
        # A pipe would be waited for, and a device read without end.
        if not stat.S_ISREG(found.st_mode):
            raise ModelError(f"{path}: not a file")
        if found.st_size > _LARGEST_BYTES:
            raise ModelError(f"{path}: {found.st_size} bytes, at most {_LARGEST_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from None


def _manifest(directory: Path, pin: str | None) -> Manifest:
    path = directory / "manifest.json"
    written = _read(path)
    if pin is not None and hashlib.sha256(written).hexdigest() != pin.lower():
        raise ModelError(f"{path}: not the one that model.sha256 names")
    try:
        content = orjson.loads(written)
        if isinstance(content, dict) and content.get("format") != FORMAT:
            raise ModelError(f"{path}: format {content.get('format')!r}, this version reads format {FORMAT}")
        manifest = Manifest.model_validate(content)
    except orjson.JSONDecodeError as error:
        raise ModelError(f"{path}: not JSON: {error}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ModelError(f"{path}: {wrong}") from None
    if manifest.tokeniser.normalisation != NORMALISATION:
        raise ModelError(
            f"{path}: trained with normalisation {manifest.tokeniser.normalisation}, this version has {NORMALISATION}"
        )
    return manifest


class Model:
    """A loaded artefact on one device in one precision. Its methods are for one thread at a time."""

    def __init__(self, artefact: Artefact, device: str, precision: Precision, evidence_tokens: int = 0) -> None:
        """Load the TorchScript; `evidence_tokens` is how many of the strongest tokens a verdict reports.

        Raises ModelError where it cannot be opened or lacks `forward` or `explain`.
        """
        self.manifest = artefact.manifest
        self.vocabulary = artefact.vocabulary
        self.device = device
        self.precision: Precision = precision
        self.evidence_tokens = evidence_tokens
        self.band = (artefact.manifest.uncertain.low, artefact.manifest.uncertain.high)
        path = artefact.directory / "model.pt"
        with warnings.catch_warnings():
            # TorchScript is deprecated upstream; the design says why we stay with it.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            try:
                # Typed as Any: torch.jit ships no types.
                load_script: Any = torch.jit.load
                module = load_script(io.BytesIO(artefact.script), map_location="cpu")
            except (RuntimeError, ValueError) as error:
                raise ModelError(f"{path}: not a TorchScript model: {str(error).splitlines()[0]}") from None
        if not hasattr(module, "explain"):
            raise ModelError(f"{path}: the model has no explain method")
        self._module: Any = module.to(torch.float32).to(dtype=_DTYPES[precision], device=device).eval()

    def collate(self, reviews: Sequence[Encoded], length: int, size: int) -> torch.Tensor:
        """Ids int64 [length, size], filled up with the pad token, which is id 0."""
        width = length * _ID_BYTES
        rows = b"".join([review.ids.ljust(width, b"\0") for review in reviews])
        buffer = bytearray(rows.ljust(size * width, b"\0"))
        ids = torch.frombuffer(buffer, dtype=torch.int64).view(size, length).t()
        return ids if self.device == "cpu" else ids.to(self.device)

    def forward(self, ids: torch.Tensor) -> list[float]:
        """P(positive) of each column of ids int64 [T, B]."""
        with torch.inference_mode(), _unspecialised():
            scores: list[float] = self._module(ids).tolist()
        return scores

    def explain(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """P(positive) float32 [B], and each token's share of the logit float32 [T, B]."""
        with torch.inference_mode(), _unspecialised():
            score, weight = self._module.explain(ids)
        return score, weight

    def predict(self, reviews: Sequence[Encoded]) -> list[Prediction]:
        """A verdict for each review. One without tokens is uncertain with score 0.5."""
        length = max(map(len, reviews), default=0)
        if length == 0:
            return [self._prediction(review, 0.5, ()) for review in reviews]
        ids = self.collate(reviews, length, padded_batch_size(len(reviews)))
        if not self.evidence_tokens:
            return [self._prediction(r, s, ()) for r, s in zip(reviews, self.forward(ids), strict=False)]
        scores, weights = self.explain(ids)
        strongest = weights.abs().topk(min(self.evidence_tokens, length), dim=0).indices
        # Rounded here, where it costs nothing: in float64, for 0.1234 to be just that.
        values = weights.gather(0, strongest).double().round(decimals=_WEIGHT_DECIMALS)
        columns = zip(reviews, scores.tolist(), strongest.t().tolist(), values.t().tolist(), strict=False)
        return [self._prediction(review, score, _evidence(review, at, ws)) for review, score, at, ws in columns]

    def _prediction(self, review: Encoded, score: float, evidence: tuple[Weight, ...]) -> Prediction:
        low, high = self.band
        label: Label = "negative" if score < low else "positive" if score >= high else "uncertain"
        if not len(review):
            score, label = 0.5, "uncertain"
        return Prediction(label, score, max(score, 1 - score), len(review), review.truncated, evidence)

    def golden_error(self, golden: Sequence[tuple[str, float]]) -> float:
        """The largest difference to the golden scores."""
        reviews = [self.vocabulary.encode(text, self.manifest.max_tokens) for text, _ in golden]
        predictions = self.predict(reviews)
        return max(abs(v.score - score) for v, (_, score) in zip(predictions, golden, strict=True))

    def measure_costs(self, max_reviews: int, max_padded_tokens: int, budget: float = 3.0) -> CostTable:
        """Time batches of several lengths and sizes on this very device, in about half a second on an idle CPU.

        Each figure is the better of two runs; once `budget` seconds are spent, there is one. Shapes above
        `max_padded_tokens` are never used, and are taken to cost in proportion.
        """
        top = self.manifest.max_tokens
        lengths = (*(length for length in _LENGTHS if length < top), top)
        sizes = tuple(size for size in _SIZES if size <= padded_batch_size(max_reviews))
        until = time.perf_counter() + budget
        rows = []
        for length in lengths:
            row: list[float] = []
            for size in sizes:
                if length * size > max_padded_tokens and row:
                    row.append(row[-1] * size / sizes[len(row) - 1])
                else:
                    row.append(self._seconds(length, size, 2 if time.perf_counter() < until else 1))
            rows.append(row)
        return CostTable(lengths, sizes, smoothed(rows))

    def _seconds(self, length: int, size: int, runs: int) -> float:
        review = Encoded(b"\1\0\0\0\0\0\0\0" * length, ("",) * length, False)
        best = float("inf")
        for _ in range(runs):
            begin = time.perf_counter()
            self.predict([review] * size)
            best = min(best, time.perf_counter() - begin)
        return best


def _evidence(review: Encoded, at: Sequence[int], weights: Sequence[float]) -> tuple[Weight, ...]:
    """The tokens at these places with their weights."""
    length = len(review)
    if length >= len(at):
        return tuple(map(Weight, map(review.tokens.__getitem__, at), weights))
    # A short review has fewer tokens than evidence was asked for: the rest are pads.
    return tuple(Weight(review.tokens[i], w) for i, w in zip(at, weights, strict=True) if i < length)


def _unspecialised() -> AbstractContextManager[None]:
    """Without TorchScript's profiling executor, which would compile anew for every shape of batch."""
    execution: Any = torch.jit  # Exported, but not to type checkers.
    context: AbstractContextManager[None] = execution.optimized_execution(False)
    return context


def smoothed(rows: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    """Costs without upward outliers: a batch costs at most what any longer or larger one does.

    It could always be filled up to that one; a busy neighbour on the machine is what makes it look dearer.
    """
    best = [list(row) for row in rows]
    for i in reversed(range(len(best))):
        for j in reversed(range(len(best[i]))):
            below = best[i + 1][j] if i + 1 < len(best) else best[i][j]
            right = best[i][j + 1] if j + 1 < len(best[i]) else best[i][j]
            best[i][j] = min(best[i][j], below, right)
    return tuple(tuple(row) for row in best)


def padded_batch_size(size: int) -> int:
    """The number of rows that a batch of so many reviews is filled up to."""
    return next((rows for rows in _SIZES if rows >= size), size)


def load(
    directory: Path,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto"] | Precision = "auto",
    threads: int = 0,
    evidence_tokens: int = 0,
    pin: str | None = None,
) -> Model:
    """Read, check and load an artefact, in the fastest form whose golden texts agree.

    threads: of the CPU; 0 leaves torch's own choice. pin: see `read_artefact`.
    Raises ModelError where the artefact is refused, the device is not there or no form agrees.
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
        except Exception as error:  # Whatever foreign code raises, the answer is the same: refuse it.
            refused.append(f"in {form} on {where} it fails: {str(error).strip().splitlines()[-1:]}")
            continue
        if difference <= _TOLERANCE[form]:
            return model
        refused.append(f"in {form} on {where} a golden text's score is off by {difference:.3f}")
    raise ModelError(f"{directory}: the model does not give its golden scores: {'; '.join(refused)}")


def _forms(device: str) -> tuple[Precision, ...]:
    """Precisions to try, the fastest first."""
    if device == "cuda":
        return ("float16", "float32")
    # Without matrix instructions of its own, a CPU takes longer in bfloat16 than in float32.
    quick = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return ("bfloat16", "float32") if any(check and check() for check in quick) else ("float32",)
