"""The command line: `python -m training prepare | train | evaluate | export | run`.

Each step leaves its result in the folder `--out`, where the next one finds it; `run` does all four.
"""

from __future__ import annotations

import argparse
import errno
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from training.data import DataError
from training.evaluate import evaluate, load_evaluation
from training.export import ExportError, export, refuse_to_overwrite
from training.fetch import FetchError
from training.model import Classifier
from training.parts import Prepared, load_prepared
from training.prepare import digest_of, prepare
from training.recipe import Recipe, RecipeError, Source, load_recipe
from training.train import build, train

# Progress is a line at a time, also into a file or a pipe.
say = partial(print, flush=True)

STEPS = ("prepare", "train", "evaluate", "export")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("step", choices=(*STEPS, "run"))
    parser.add_argument("--recipe", default="bundled", help="a name in training/recipes, or a .toml file")
    parser.add_argument("--data-dir", type=Path, default=Path(), help="what the recipe's paths are relative to")
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"), help="where pip's archives are kept")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--artefact", type=Path, help="where export writes to (default: OUT/artefact)")
    parser.add_argument("--force", action="store_true", help="replace an artefact that is there already")
    parser.add_argument("--test", action="store_true", help="evaluate: also on the test part (run always does)")
    parser.add_argument("--threads", type=int, help="of torch; one is faster than several on busy cores")
    own = parser.add_argument_group("your own reviews, added to those of the recipe")
    own.add_argument("--csv", type=Path, help="a .csv, .tsv or .jsonl file, each also as .gz")
    own.add_argument("--text-column", default="text")
    own.add_argument("--label-column", default="label")
    own.add_argument("--language", default="zh", help="for the figures by language only")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step or all; return the exit code: 0 done, 2 wrong recipe, data or arguments."""
    options = arguments(argv)
    began = time.perf_counter()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        recipe = with_own(load_recipe(options.recipe), options)
        options.out.mkdir(parents=True, exist_ok=True)
        if options.step in ("export", "run"):  # Now, not after the training.
            refuse_to_overwrite(_target(options), options.force)
        for step in STEPS if options.step == "run" else (options.step,):
            _run_step(step, recipe, options)
    except (RecipeError, DataError, FetchError, ExportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FileNotFoundError as error:
        print(f"error: {error.filename} is missing: run the step before this one first", file=sys.stderr)
        return 2
    say(f"{options.step} took {time.perf_counter() - began:.0f} s")
    return 0


def with_own(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """The recipe with the reviews of --csv added."""
    if options.csv is None:
        if not recipe.data:
            raise RecipeError(f"recipe {options.recipe} has no data of its own: give --csv")
        return recipe
    own = Source(
        name="own",
        language=options.language,
        path=str(options.csv.resolve()),
        text=options.text_column,
        label=options.label_column,
        origin=options.csv.name,
        licence="yours",
    )
    return recipe.model_copy(update={"data": (*recipe.data, own)})


def _run_step(step: str, recipe: Recipe, options: argparse.Namespace) -> None:
    out: Path = options.out
    prepared = _prepared(recipe, options)
    if step == "train":
        for stale in ("weights.safetensors", "evaluation.json"):
            (out / stale).unlink(missing_ok=True)
        weights, history = train(recipe, prepared, say)
        halved = {name: tensor.half() for name, tensor in weights.items()}
        (out / "weights.safetensors").write_bytes(save(halved, {"digest": prepared.digest}))
        (out / "training.json").write_text(json.dumps([asdict(epoch) for epoch in history], indent=1))
    elif step == "evaluate":
        evaluation = evaluate(trained(recipe, prepared, out), recipe, prepared, options.test or options.step == "run")
        evaluation.save(out)
        say(json.dumps(asdict(evaluation), indent=1))
    elif step == "export":
        target = _target(options)
        export(target, trained(recipe, prepared, out), recipe, prepared, load_evaluation(out), options.force)
        size = sum(file.stat().st_size for file in target.iterdir())
        say(f"{target}: {size / 1e6:.1f} MB")


def _target(options: argparse.Namespace) -> Path:
    artefact: Path = options.artefact or options.out / "artefact"
    return artefact


def _prepared(recipe: Recipe, options: argparse.Namespace) -> Prepared:
    """The prepared data of the run's folder, made anew when the recipe or the data are no longer the same."""
    out: Path = options.out
    digest = digest_of(recipe, options.data_dir, options.cache)
    if (out / "prepared.json").exists() and (found := load_prepared(out)).digest == digest:
        return found
    say("preparing")
    prepared = prepare(recipe, options.data_dir, options.cache)
    prepared.save(out)
    for name, counts in prepared.counts.items():
        say(f"{name}: " + ", ".join(f"{count:,} {what}" for what, count in asdict(counts).items()))
    say(f"{len(prepared.vocabulary):,} tokens in the vocabulary, {prepared.leaks} texts in two parts")
    return prepared


def trained(recipe: Recipe, prepared: Prepared, out: Path) -> Classifier:
    """The trained network, its float16 weights in float32.

    Raises FileNotFoundError before training, RecipeError when recipe or data have changed since.
    """
    path = out / "weights.safetensors"
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "not trained yet", str(path))
    with safe_open(path, "pt") as file:
        if file.metadata()["digest"] != prepared.digest:
            raise RecipeError(f"{path}: trained with another recipe or other data; train again")
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  # Not a dict.
    model = build(recipe, len(prepared.vocabulary))
    model.load_state_dict(weights)
    model.precision = torch.float32
    return model.eval()
