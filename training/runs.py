"""A run's folder: what it holds, whose it is, and which weights fit.

| file | what it is |
|---|---|
| `recipe.json` | the recipe as it was run |
| `splits.json` | digest of the data; of each part the number of reviews and a digest |
| `environment.json` | versions, CPU and threads of the last training |
| `prepared.npz`, `prepared.json` | encoded parts, vocabulary, counts |
| `checkpoint.pt` | the training after its last whole epoch |
| `metrics.jsonl` | how the training went |
| `weights.safetensors` | the trained weights, in float16 |
| `evaluation.json`, `plots/`, `artefact/` | what became of them |
"""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from training.checkpoint import replace
from training.linear import Blend, Linear
from training.parts import Part, Prepared, load_prepared
from training.prepare import digest_of, prepare
from training.recipe import Recipe
from training.rows import DataError
from training.train import State, build, precision_of

# What the linear part's weights are called in weights.safetensors.
_LINEAR = "linear."


class RunError(Exception):
    """A run's folder cannot be used; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """A folder that belongs to a recipe and its data, which are prepared in it."""

    folder: Path
    recipe: Recipe
    prepared: Prepared
    vectors: Path | None  # Of the words that the embedding starts from.
    digest: str  # Of all that decides the weights: the same digest, and they fit.

    @property
    def checkpoint(self) -> Path:
        """Where the training is kept after each epoch."""
        return self.folder / "checkpoint.pt"

    @property
    def metrics(self) -> Path:
        """How the training went, as JSON lines."""
        return self.folder / "metrics.jsonl"

    @property
    def weights(self) -> Path:
        """Where the trained weights are."""
        return self.folder / "weights.safetensors"

    @property
    def evaluation(self) -> Path:
        """Where the figures are."""
        return self.folder / "evaluation.json"


def open_run(folder: Path, recipe: Recipe, data_dir: Path, cache: Path, force: bool, say: Callable[[str], None]) -> Run:
    """Make a folder the recipe's, with its data prepared there; what is prepared already is not done again.

    1. Refuse a folder of another recipe or other data, unless forced.
    2. Prepare, which may fail: until here nothing of another run has been touched.
    3. Write what the folder belongs to. Figures of another recipe go; weights say themselves what they fit.

    Raises RunError for a folder of another run; DataError and FetchError as `prepare` does.
    """
    content = recipe.model_dump(mode="json")
    before = _read(folder / "recipe.json")
    if before is not None and (change := _difference(before, content)) and not force:
        raise RunError(f"{folder} is of another recipe ({change}): give another --out, or --force to take it over")
    data = digest_of(recipe, data_dir, cache)
    there = (_read(folder / "splits.json") or {}).get("data")
    if before == content and there not in (None, data) and not force:
        raise RunError(f"{folder} is of other data than there are now: give another --out, or --force to take it over")
    folder.mkdir(parents=True, exist_ok=True)
    if before != content or there != data:
        (folder / "evaluation.json").unlink(missing_ok=True)
    prepared = _prepared(folder, recipe, data, data_dir, cache, say)
    _write(folder / "recipe.json", content)
    _write(folder / "splits.json", {"data": data, "parts": splits_of(prepared)})
    vectors = recipe.located(recipe.model.vectors, data_dir) if recipe.model.vectors else None
    return Run(folder, recipe, prepared, vectors, weights_digest(recipe, data, vectors))


def weights_digest(recipe: Recipe, data: str, vectors: Path | None) -> str:
    """A digest of all that decides the weights: data, split, how they are found, the bytes of the word vectors."""
    deciding = recipe.model_dump_json(include={"split", "model", "words", "bigrams", "optimiser"})
    digest = hashlib.sha256(f"{data} {deciding}".encode())
    if vectors is not None:
        try:
            with vectors.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(f"{error.strerror}; is --data-dir right?", str(vectors)) from error
    return digest.hexdigest()


def splits_of(prepared: Prepared) -> dict[str, dict[str, object]]:
    """Of each part the number of reviews, and the sha256 of their ids and labels."""

    def digest(part: Part) -> str:
        arrays = (part.ids.astype("<i4"), part.starts.astype("<i8"), part.positive.astype("u1"))
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()

    return {name: {"reviews": len(part), "sha256": digest(part)} for name, part in prepared.parts.items()}


def environment(recipe: Recipe) -> dict[str, object]:
    """What the weights depend on besides: versions, the CPU, the number of threads, the recurrence's precision."""
    packages = {name: version(name) for name in ("torch", "numpy", "jieba", "rjieba", "opencc")}
    return {
        "python": platform.python_version(),
        **packages,
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "precision": str(precision_of(recipe.optimiser.precision)).removeprefix("torch."),
    }


def save_weights(run: Run, weights: State, linear: Linear | None) -> None:
    """Write the trained weights in float16, with what they were trained on."""
    beside = {} if linear is None else {_LINEAR + name: tensor for name, tensor in linear.state_dict().items()}
    shipped = {name: _in(torch.float16, tensor) for name, tensor in (weights | beside).items()}
    replace(run.weights, save(shipped, {"digest": run.digest}))
    _write(run.folder / "environment.json", environment(run.recipe))


def _in(precision: torch.dtype, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of weights in another float format; ids stay integers."""
    return tensor.to(precision) if tensor.is_floating_point() else tensor


def trained(run: Run) -> Blend:
    """The trained network and the linear part where there is one, their float16 weights in float32.

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
    weights = {name: _in(torch.float32, tensor) for name, tensor in weights.items()}
    linear = {name.removeprefix(_LINEAR): tensor for name, tensor in weights.items() if name.startswith(_LINEAR)}
    network = build(run.recipe, len(run.prepared.vocabulary))
    network.load_state_dict({name: tensor for name, tensor in weights.items() if not name.startswith(_LINEAR)})
    network.precision = torch.float32
    return Blend(network, Linear(**linear) if linear else None).eval()


def _prepared(
    folder: Path, recipe: Recipe, digest: str, data_dir: Path, cache: Path, say: Callable[[str], None]
) -> Prepared:
    """The prepared data of the folder; made anew when they are not there, of other data, or unreadable."""
    try:
        if (found := load_prepared(folder)).digest == digest:
            return found
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        pass
    say("preparing")
    prepared = prepare(recipe, data_dir, cache)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as partial:
        prepared.save(Path(partial))
        # The one that names the digest last: when killed in between, they do not match and are made again.
        for file in sorted(Path(partial).iterdir(), key=lambda file: file.suffix == ".json"):
            file.replace(folder / file.name)
    for name, counts in prepared.counts.items():
        say(f"{name}: " + ", ".join(f"{count:,} {what}" for what, count in asdict(counts).items()))
    say(f"{len(prepared.vocabulary):,} tokens in the vocabulary, {prepared.leaks} texts in two parts")
    return prepared


def _difference(one: object, other: object, place: str = "") -> str | None:
    """The first field in which two JSON values differ, and how."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(key, one.get(key), other.get(key)) for key in {**one, **other}]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(str(index), *pair) for index, pair in enumerate(zip(one, other, strict=True))]
    else:
        return None if one == other else f"{place}: {_short(one)} there, {_short(other)} here"
    found = (_difference(a, b, f"{place}.{key}" if place else key) for key, a, b in pairs)
    return next((difference for difference in found if difference), None)


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | int | float) else "another value"


def _cpu() -> str:
    """The CPU's name, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _read(path: Path) -> Any:
    """A JSON file's content; None when it is missing or was cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _write(path: Path, content: object) -> None:
    replace(path, (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode())
