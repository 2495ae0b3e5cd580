"""What the commands do in a run's folder: train, evaluate, export; and judging an artefact, which needs no run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from training.checkpoint import load_checkpoint, replace, save_checkpoint
from training.evaluate import Evaluation, evaluate, load_evaluation
from training.export import ExportError, export, refuse_to_overwrite
from training.figures import Figures
from training.judge import judge_source, source_of
from training.linear import fit
from training.metrics import Epoch, Metrics, Steps, read_epochs
from training.model import servable
from training.plots import draw_all
from training.progress import say, watching
from training.recipe import Recipe
from training.runs import Run, RunError, save_weights, trained
from training.train import Training, begin, train
from training.vectors import Vectors, read_vectors
from training.words import learn


def train_step(run: Run, resume: bool) -> None:
    """Train, keeping a checkpoint after each epoch; leave the weights that were best on dev.

    With `resume` a checkpoint that is there is gone on from, without it is dropped. Raises CheckpointError for one
    that cannot be used, and DataError as `read_vectors` does.
    """
    goes_on = resume and run.checkpoint.exists()
    training = begin(run.recipe, len(run.prepared.vocabulary), None if goes_on else _vectors(run))
    if goes_on:
        load_checkpoint(run.checkpoint, training, run.digest)
        say(f"going on after epoch {len(training.history)}")
    elif resume:
        say("no checkpoint to go on from: starting from the beginning")
    elif run.checkpoint.exists():
        say("starting anew: the checkpoint that is there goes; --resume would go on from it")
        run.checkpoint.unlink()
    for stale in (run.weights, run.evaluation):
        stale.unlink(missing_ok=True)

    with Metrics(run.metrics, len(training.history)) as metrics, watching() as shown:

        def tell(event: Steps | Epoch) -> None:
            metrics(event)
            shown(event)

        def keep(training: Training) -> None:
            save_checkpoint(run.checkpoint, training, run.digest)

        train(training, run.recipe, run.prepared, tell, keep)
    if len(training.history) < run.recipe.optimiser.epochs:
        say(f"stopped early: dev was not better for {run.recipe.optimiser.patience} epochs")
    linear = None
    if run.recipe.bigrams is not None:
        say("fitting the linear part")
        linear = fit(run.recipe.bigrams, run.prepared.parts["train"], len(run.prepared.vocabulary))
        say(f"weights of {len(linear.keys):,} pairs of tokens beside the network's")
    save_weights(run, training.best, linear)


def _vectors(run: Run) -> Vectors | None:
    """What the embedding starts from, where the recipe says so."""
    recipe, prepared = run.recipe, run.prepared
    if recipe.words is not None:
        say("learning word vectors")
        return learn(recipe.words, prepared.parts["train"], recipe.model.width, recipe.split.seed)
    if run.vectors is None:
        return None
    vectors = read_vectors(run.vectors, prepared.vocabulary, recipe.model.width)
    found, wanted = f"{len(vectors):,}", f"{len(prepared.vocabulary):,}"
    say(f"{run.vectors.name}: vectors of {found} of {wanted} tokens; the rest start at random")
    return vectors


def evaluate_step(run: Run, test: bool, copy: Path | None = None) -> None:
    """Calibrate and measure; leave `evaluation.json` and the plots, and a copy of the former where one is wanted.

    test: whether to read the test part too. Raises RunError when there are no weights that fit.
    """
    model = trained(run)
    say("evaluating")
    evaluation = evaluate(model, run.recipe, run.prepared, test)
    evaluation.save(run.folder)
    if copy is not None:
        replace(copy, run.evaluation.read_bytes())
    _draw(run, evaluation)
    say(summary("dev", evaluation.dev))
    if evaluation.test is not None:
        say(summary("test", evaluation.test))
    if evaluation.checklist is not None:
        say(f"checklist: {evaluation.checklist.passed} of {evaluation.checklist.pairs} pairs as expected")
    say(f"all figures are in {run.evaluation}")


def _draw(run: Run, evaluation: Evaluation) -> None:
    """Write the plots of the test part, or of dev where test has not been read."""
    folder = run.folder / "plots"
    folder.mkdir(exist_ok=True)
    lengths = run.prepared.parts["train"].lengths
    figures = evaluation.test or evaluation.dev
    epochs = read_epochs(run.metrics)
    for name, content in draw_all(figures, evaluation.uncertain, epochs, lengths, run.recipe.model.max_tokens).items():
        replace(folder / name, content)


def _plots(run: Run) -> dict[str, bytes]:
    """The plots that `evaluate` left, by name."""
    return {file.name: file.read_bytes() for file in sorted((run.folder / "plots").glob("*.png"))}


def summary(name: str, figures: Figures) -> str:
    """A line on a set of reviews."""
    return (
        f"{name}: {figures.reviews:,} reviews, accuracy {figures.accuracy:.4f}, macro F1 {figures.macro_f1:.4f}, "
        f"log loss {figures.log_loss:.4f}, calibration error {figures.ece_after:.4f}, "
        f"{figures.uncertain:.1%} uncertain, accuracy of the rest {figures.accuracy_outside:.4f}"
    )


def check_export(recipe: Recipe, target: Path, force: bool) -> None:
    """Raise ExportError, before any work is done, for a model that cannot be served and a target that is taken."""
    if reason := servable(recipe.model):
        raise ExportError(f"recipe {recipe.name} cannot be exported: {reason}")
    refuse_to_overwrite(target, force)


def export_step(run: Run, target: Path, force: bool) -> None:
    """Write the artefact; raises RunError before an evaluation, ExportError as `check_export` does."""
    check_export(run.recipe, target, force)
    if not run.evaluation.exists():
        raise RunError(f"{run.evaluation} is missing: run the step `evaluate` first")
    export(target, trained(run), run.recipe, run.prepared, load_evaluation(run.folder), _plots(run), force)
    size = sum(file.stat().st_size for file in target.iterdir())
    say(f"{target}: {size / 1e6:.1f} MB")


def judge_step(
    artefact: Path, data: Path, text: str, label: str, language: str | None, threads: int | None, out: Path | None
) -> None:
    """Measure any artefact on any labelled file; the figures go to `out`, or to standard output.

    Raises ModelError where the artefact is refused, DataError for the file.
    """
    source = source_of(data, text, label, language or "any")
    judgement = judge_source(artefact, source, threads=threads or 0)
    content = json.dumps(dataclasses.asdict(judgement), ensure_ascii=False, indent=1) + "\n"
    if out is None:
        say(content)
        return
    replace(out, content.encode())
    say(summary(data.name, judgement.figures))
    say(f"all figures are in {out}")
