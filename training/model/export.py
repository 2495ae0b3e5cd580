"""Writes the artefact: a directory with the served model and everything needed to check it.

weights + evaluation -> model.pt, weights.safetensors, vocabulary.txt, golden.json, README.md -> manifest.json
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from streamer.text import NORMALISATION, Vocabulary
from training.corpus.corpus import Corpus
from training.evaluation.model_card import model_card
from training.labels import LABELS
from training.model.ensemble import Ensemble
from training.model.evaluate import Evaluation
from training.model.golden_texts import GOLDEN_TEXTS
from training.model.torchscript import load_script, pad_gate_difference, to_torchscript, without_profiling
from training.recipe import Recipe

FORMAT = 1
PAD_GATE_TOLERANCE = 1e-6  # Of scores in float32; 1e-7 is what the order of sums makes.


class ExportError(Exception):
    """The artefact cannot be written; the message says why."""


def export(
    target: Path,
    model: Ensemble,
    recipe: Recipe,
    corpus: Corpus,
    evaluation: Evaluation,
    *,
    plots: Mapping[str, bytes],
    force: bool = False,
) -> None:
    """Write the artefact: first beside `target`, the manifest last, then rename it.

    plots: files for the model card, by name.
    Raises ExportError when there is something in `target` and `force` is not given, and when the served form of the
    network does not give the scores of packed sequences.
    """
    refuse_to_overwrite(target, force)
    difference = pad_gate_difference(model.network, evaluation.temperature, recipe.model.max_tokens)
    if difference > PAD_GATE_TOLERANCE:
        raise ExportError(f"the served form's scores are {difference:.1e} off those of packed sequences")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        partial.chmod(0o755)
        _write_files(partial, model, recipe, corpus, evaluation)
        for name, content in plots.items():
            (partial / name).write_bytes(content)
        manifest = manifest_of(recipe, corpus, evaluation)
        manifest |= {"pad_gate_difference": difference, "plots": sorted(plots)}
        (partial / "README.md").write_text(model_card(manifest), encoding="utf-8")
        manifest["sha256"] = {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(partial.iterdir())
        }
        _write_json(partial / "manifest.json", manifest)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_files(folder: Path, model: Ensemble, recipe: Recipe, corpus: Corpus, evaluation: Evaluation) -> None:
    """Write the model in both formats, the vocabulary and the golden scores."""
    scripted = to_torchscript(model.network, evaluation.temperature, model.linear, evaluation.share)
    scripted.save(str(folder / "model.pt"))
    (folder / "weights.safetensors").write_bytes(save(scripted.state_dict()))
    (folder / "vocabulary.txt").write_text("\n".join(corpus.vocabulary) + "\n", encoding="utf-8")
    golden = golden_scores(folder / "model.pt", corpus.vocabulary, recipe.model.max_tokens)
    _write_json(folder / "golden.json", golden)


def refuse_to_overwrite(target: Path, force: bool) -> None:
    """Raise ExportError when there is something in `target`, unless forced."""
    if target.exists() and any(target.iterdir()) and not force:
        raise ExportError(f"{target} already exists; --force replaces it")


def manifest_of(recipe: Recipe, corpus: Corpus, evaluation: Evaluation) -> dict[str, Any]:
    """The manifest without the digests of the files."""
    metrics = {"dev": asdict(evaluation.dev)} | ({"test": asdict(evaluation.test)} if evaluation.test else {})
    return {
        "format": FORMAT,
        "name": recipe.name,
        "version": recipe.version,
        "labels": list(LABELS),
        "max_tokens": recipe.model.max_tokens,
        "tokeniser": {"name": "jieba", "version": version("jieba"), "normalisation": NORMALISATION},
        "temperature": evaluation.temperature,
        "linear_share": evaluation.share,
        "uncertain": asdict(evaluation.uncertain),
        "uncertain_rule": recipe.band.model_dump(),
        "data": [_data_row(recipe, corpus, index) for index in range(len(recipe.data))],
        "leaks": corpus.leaks,
        "metrics": metrics,
        "checklist": asdict(evaluation.checklist) if evaluation.checklist else None,
        "recipe": recipe.model_dump(mode="json", include={"model", "words", "bigrams", "optimiser", "split"}),
        "torch": torch.__version__,
    }


def _data_row(recipe: Recipe, corpus: Corpus, index: int) -> dict[str, Any]:
    source = recipe.data[index]
    counts = asdict(corpus.counts[source.name])
    rows = counts.pop("read")
    about = {"name": source.name, "language": source.language, "origin": source.origin, "licence": source.licence}
    return about | {"rows": rows} | counts


def golden_scores(model: Path, vocabulary: Sequence[str], max_tokens: int) -> list[dict[str, Any]]:
    """The golden texts with the saved model's scores, computed in float32 from its float16 weights."""
    served = load_script(model)
    encode = Vocabulary(vocabulary).encode
    golden = []
    for text in GOLDEN_TEXTS:
        encoded = encode(text, max_tokens).ids
        if not encoded:  # Served without asking the model.
            golden.append({"text": text, "score": 0.5})
            continue
        ids = torch.frombuffer(bytearray(encoded), dtype=torch.int64)
        with without_profiling():
            golden.append({"text": text, "score": served(ids.unsqueeze(1)).item()})
    return golden


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
