"""A run's folder: what it holds, which recipe and data it belongs to, and which weights fit.

| file | what it is |
|---|---|
| `recipe.json` | the recipe as it was run |
| `splits.json` | digest of the data; of each split the number of reviews and a digest |
| `environment.json` | versions, CPU and threads of the last training |
| `prepared.npz`, `prepared.json` | the corpus: encoded splits, vocabulary, counts |
| `checkpoint.pt` | the training after its last whole epoch |
| `metrics.jsonl` | the training log |
| `weights.safetensors` | the trained weights, in float16 |
| `evaluation.json`, `plots/`, `artefact/` | metrics, plots, what is served |
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from training.corpus.corpus import Corpus, Split, load_corpus
from training.corpus.prepare import corpus_digest, prepare
from training.environment import environment
from training.files import read_json, write_atomically, write_json
from training.model.ensemble import Ensemble
from training.model.linear import LinearClassifier
from training.model.train import StateDict, build_classifier
from training.recipe import Recipe
from training.sources.tables import DataError

# The prefix of the linear part's weights in weights.safetensors.
_LINEAR = "linear."


class RunError(Exception):
    """A run's folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """A folder that belongs to a recipe and its data, with the corpus prepared in it."""

    folder: Path
    recipe: Recipe
    corpus: Corpus
    vectors: Path | None  # The file of word vectors that the embedding starts from.
    digest: str  # Of everything that decides the weights: they fit when the digest is the same.

    @property
    def checkpoint(self) -> Path:
        """The training after its last whole epoch."""
        return self.folder / "checkpoint.pt"

    @property
    def training_log(self) -> Path:
        """How the training went, as JSON lines."""
        return self.folder / "metrics.jsonl"

    @property
    def weights(self) -> Path:
        """The trained weights."""
        return self.folder / "weights.safetensors"

    @property
    def evaluation(self) -> Path:
        """The metrics."""
        return self.folder / "evaluation.json"


def open_run(
    folder: Path, recipe: Recipe, data_dir: Path, cache: Path, *, force: bool, report: Callable[[str], None]
) -> Run:
    """Make a folder the recipe's, with its data prepared there; data that are already prepared are not read again.

    1. Refuse a folder of another recipe or other data, unless forced.
    2. Prepare, which may fail: until here nothing of another run has been touched.
    3. Write what the folder belongs to. Metrics of another recipe are deleted; weights know themselves what they fit.

    Raises RunError for a folder of another run; DataError and FetchError as `prepare` does.
    """
    content = recipe.model_dump(mode="json")
    before = read_json(folder / "recipe.json")
    if before is not None and (change := _first_difference(before, content)) and not force:
        raise RunError(f"{folder} is of another recipe ({change}): give another --out, or --force to take it over")
    digest = corpus_digest(recipe, data_dir, cache)
    digest_before = (read_json(folder / "splits.json") or {}).get("data")
    if before == content and digest_before not in (None, digest) and not force:
        raise RunError(f"{folder} is of other data than there are now: give another --out, or --force to take it over")
    folder.mkdir(parents=True, exist_ok=True)
    if before != content or digest_before != digest:
        (folder / "evaluation.json").unlink(missing_ok=True)
    corpus = _load_or_prepare(folder, digest, lambda: prepare(recipe, data_dir, cache, report), report)
    write_json(folder / "recipe.json", content)
    write_json(folder / "splits.json", {"data": digest, "parts": split_digests(corpus)})
    vectors = recipe.resolve(recipe.model.vectors, data_dir) if recipe.model.vectors else None
    return Run(folder, recipe, corpus, vectors, weights_digest(recipe, digest, vectors))


def weights_digest(recipe: Recipe, data: str, vectors: Path | None) -> str:
    """A digest of everything that decides the weights: data, split, training settings, the word vectors' bytes."""
    deciding = recipe.model_dump_json(include={"split", "model", "words", "bigrams", "optimiser"})
    digest = hashlib.sha256(f"{data} {deciding}".encode())
    if vectors is not None:
        try:
            with vectors.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(f"{error.strerror}; is --data-dir right?", str(vectors)) from error
    return digest.hexdigest()


def split_digests(corpus: Corpus) -> dict[str, dict[str, object]]:
    """The number of reviews in each split, and the sha256 of their ids and labels."""

    def digest(split: Split) -> str:
        arrays = (split.ids.astype("<i4"), split.starts.astype("<i8"), split.positive.astype("u1"))
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()

    return {name: {"reviews": len(split), "sha256": digest(split)} for name, split in corpus.splits.items()}


def save_weights(run: Run, network: StateDict, linear: LinearClassifier | None) -> None:
    """Write the trained weights in float16, with a digest of what they were trained on."""
    linear_weights = {} if linear is None else {_LINEAR + name: weight for name, weight in linear.state_dict().items()}
    weights = {name: _cast(weight, torch.float16) for name, weight in (network | linear_weights).items()}
    write_atomically(run.weights, save(weights, {"digest": run.digest}))
    write_json(run.folder / "environment.json", environment(run.recipe))


def _cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Weights in another float format; ids stay integers."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def load_trained(run: Run) -> Ensemble:
    """The trained network, and the linear part where there is one, their float16 weights in float32.

    The linear part's share is 0 until `evaluate` has fitted it.

    Raises RunError before training, and when recipe or data have changed since.
    """
    if not run.weights.exists():
        raise RunError(f"{run.weights} is missing: run the step `train` first")
    try:
        with safe_open(run.weights, "pt") as file:
            digest = (file.metadata() or {}).get("digest")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # Not a dict.
    except SafetensorError as error:
        raise RunError(f"{run.weights} is damaged ({error}): train again") from error
    if digest != run.digest:
        raise RunError(f"{run.weights}: trained with another recipe or other data; train again")
    weights = {name: _cast(weight, torch.float32) for name, weight in weights.items()}
    linear = {name.removeprefix(_LINEAR): weight for name, weight in weights.items() if name.startswith(_LINEAR)}
    network = build_classifier(run.recipe, len(run.corpus.vocabulary))
    network.load_state_dict({name: weight for name, weight in weights.items() if not name.startswith(_LINEAR)})
    network.precision = torch.float32
    return Ensemble(network, LinearClassifier(**linear) if linear else None).eval()


def _load_or_prepare(
    folder: Path, digest: str, prepare_corpus: Callable[[], Corpus], report: Callable[[str], None]
) -> Corpus:
    """The folder's corpus; prepared again when it is missing, of other data, or unreadable."""
    try:
        if (found := load_corpus(folder)).digest == digest:
            return found
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        pass
    report("preparing")
    corpus = prepare_corpus()
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as partial:
        corpus.save(Path(partial))
        # The file with the digest is moved last: when killed in between, they do not match and are made again.
        for file in sorted(Path(partial).iterdir(), key=lambda file: file.suffix == ".json"):
            file.replace(folder / file.name)
    for name, counts in corpus.counts.items():
        report(f"{name}: " + ", ".join(f"{count:,} {outcome}" for outcome, count in asdict(counts).items()))
    report(f"{len(corpus.vocabulary):,} tokens in the vocabulary, {corpus.leaks} texts in two splits")
    return corpus


def _first_difference(one: object, other: object, field: str = "") -> str | None:
    """The first field in which two JSON values differ, and how."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(key, one.get(key), other.get(key)) for key in {**one, **other}]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(str(index), *pair) for index, pair in enumerate(zip(one, other, strict=True))]
    else:
        return None if one == other else f"{field}: {_short(one)} there, {_short(other)} here"
    found = (_first_difference(a, b, f"{field}.{key}" if field else key) for key, a, b in pairs)
    return next((difference for difference in found if difference), None)


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | int | float) else "another value"
