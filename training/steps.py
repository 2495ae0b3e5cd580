"""What the commands do in a run's folder: train, evaluate, export; and evaluate an artefact, which needs no run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from training.evaluation.artefact import evaluate_artefact
from training.evaluation.metrics import Metrics
from training.evaluation.plots import draw_plots
from training.files import write_atomically
from training.model.checkpoint import load_checkpoint, save_checkpoint
from training.model.classifier import why_not_servable
from training.model.evaluate import Evaluation, evaluate, load_evaluation
from training.model.export import ExportError, export, refuse_to_overwrite
from training.model.linear import fit_linear
from training.model.train import TrainingState, start_training, train
from training.model.training_log import EpochMetrics, StepMetrics, TrainingLog, read_epochs
from training.model.vectors import Vectors, read_vectors
from training.model.word2vec import train_word2vec
from training.progress import report, training_progress
from training.recipe import Recipe, Source
from training.runs import Run, RunError, load_trained, save_weights


def train_step(run: Run, resume: bool) -> None:
    """Train, saving a checkpoint after each epoch; write the weights that were best on dev.

    With `resume` an existing checkpoint is resumed from, without it is deleted. Raises CheckpointError when it cannot
    be used, and DataError as `read_vectors` does.
    """
    state = _initial_state(run, resume)
    for stale in (run.weights, run.evaluation):
        stale.unlink(missing_ok=True)

    with TrainingLog(run.training_log, len(state.history)) as log, training_progress() as show:

        def record(event: StepMetrics | EpochMetrics) -> None:
            log.write(event)
            show(event)

        def checkpoint(state: TrainingState) -> None:
            save_checkpoint(run.checkpoint, state, run.digest)

        train(state, run.recipe, run.corpus, record, checkpoint)
    if len(state.history) < run.recipe.optimiser.epochs:
        report(f"stopped early: dev was not better for {run.recipe.optimiser.patience} epochs")
    linear = None
    if run.recipe.bigrams is not None:
        report("fitting the linear part")
        linear = fit_linear(run.recipe.bigrams, run.corpus.splits["train"], len(run.corpus.vocabulary))
        report(f"weights of {len(linear.keys):,} pairs of tokens beside the network's")
    save_weights(run, state.best, linear)


def _initial_state(run: Run, resume: bool) -> TrainingState:
    """The state to train from: that of the checkpoint, or a fresh one."""
    from_checkpoint = resume and run.checkpoint.exists()
    state = start_training(run.recipe, len(run.corpus.vocabulary), None if from_checkpoint else _vectors(run))
    if from_checkpoint:
        load_checkpoint(run.checkpoint, state, run.digest)
        report(f"going on after epoch {len(state.history)}")
    elif resume:
        report("no checkpoint to go on from: starting from the beginning")
    elif run.checkpoint.exists():
        report("starting anew: the existing checkpoint is deleted; --resume would go on from it")
        run.checkpoint.unlink()
    return state


def _vectors(run: Run) -> Vectors | None:
    """The vectors that the embedding starts from, where the recipe says so."""
    recipe, corpus = run.recipe, run.corpus
    if recipe.words is not None:
        report("learning word vectors")
        return train_word2vec(recipe.words, corpus.splits["train"], recipe.model.width, recipe.split.seed)
    if run.vectors is None:
        return None
    vectors = read_vectors(run.vectors, corpus.vocabulary, recipe.model.width)
    found, wanted = f"{len(vectors):,}", f"{len(corpus.vocabulary):,}"
    report(f"{run.vectors.name}: vectors of {found} of {wanted} tokens; the rest start at random")
    return vectors


def evaluate_step(run: Run, test: bool, copy: Path | None = None) -> None:
    """Calibrate and measure; write `evaluation.json` and the plots, and a copy of the former when asked to.

    test: whether to read the test split too. Raises RunError when there are no weights that fit.
    """
    model = load_trained(run)
    report("evaluating")
    evaluation = evaluate(model, run.recipe, run.corpus, test)
    evaluation.save(run.folder)
    if copy is not None:
        write_atomically(copy, run.evaluation.read_bytes())
    _draw(run, evaluation)
    report(summary("dev", evaluation.dev))
    if evaluation.test is not None:
        report(summary("test", evaluation.test))
    if evaluation.checklist is not None:
        report(f"checklist: {evaluation.checklist.passed} of {evaluation.checklist.pairs} pairs as expected")
    report(f"all metrics are in {run.evaluation}")


def _draw(run: Run, evaluation: Evaluation) -> None:
    """Write the plots of the test split, or of dev where test has not been read."""
    folder = run.folder / "plots"
    folder.mkdir(exist_ok=True)
    plots = draw_plots(
        evaluation.test or evaluation.dev,
        evaluation.uncertain,
        read_epochs(run.training_log),
        run.corpus.splits["train"].lengths,
        run.recipe.model.max_tokens,
    )
    for name, content in plots.items():
        write_atomically(folder / name, content)


def _plots(run: Run) -> dict[str, bytes]:
    """The plots that `evaluate` left, by name."""
    return {file.name: file.read_bytes() for file in sorted((run.folder / "plots").glob("*.png"))}


def summary(name: str, metrics: Metrics) -> str:
    """The main metrics of a set of reviews in one line."""
    return (
        f"{name}: {metrics.reviews:,} reviews, accuracy {metrics.accuracy:.4f}, macro F1 {metrics.macro_f1:.4f}, "
        f"log loss {metrics.log_loss:.4f}, calibration error {metrics.ece_after:.4f}, "
        f"{metrics.uncertain:.1%} uncertain, accuracy of the rest {metrics.accuracy_outside:.4f}"
    )


def check_export(recipe: Recipe, target: Path, force: bool) -> None:
    """Raise ExportError, before any work is done, for a model that cannot be served or a target that exists."""
    if reason := why_not_servable(recipe.model):
        raise ExportError(f"recipe {recipe.name} cannot be exported: {reason}")
    refuse_to_overwrite(target, force)


def export_step(run: Run, target: Path, force: bool) -> None:
    """Write the artefact. Raises RunError before an evaluation, ExportError as `check_export` does."""
    check_export(run.recipe, target, force)
    if not run.evaluation.exists():
        raise RunError(f"{run.evaluation} is missing: run the step `evaluate` first")
    evaluation = load_evaluation(run.folder)
    export(target, load_trained(run), run.recipe, run.corpus, evaluation, plots=_plots(run), force=force)
    size = sum(file.stat().st_size for file in target.iterdir())
    report(f"{target}: {size / 1e6:.1f} MB")


def _to_standard_error(line: str) -> None:
    """Standard output may be the metrics."""
    print(line, file=sys.stderr, flush=True)


def evaluate_artefact_step(artefact: Path, source: Source, threads: int | None, out: Path | None) -> None:
    """Evaluate any artefact on any labelled file; the metrics go to `out`, or to standard output.

    Raises ModelError when the artefact is refused, DataError for the file.
    """
    evaluation = evaluate_artefact(artefact, source, threads=threads or 0, report=_to_standard_error)
    content = json.dumps(evaluation.as_json(), ensure_ascii=False, indent=1) + "\n"
    if out is None:
        report(content)
        return
    write_atomically(out, content.encode())
    report(summary(source.origin, evaluation.metrics))
    report(f"all metrics are in {out}")
