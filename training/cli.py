"""The command line: `python -m training prepare | train | evaluate | export | run RECIPE`.

Each step leaves its result in the run's folder, where the next one finds it; `run` does all four.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import ENOENT
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from streamer.printable import printable, printable_lines, shown_path
from training.options import Options, check_path, with_options
from training.overrides import label_fields, read_recipe, split_changes, with_changes, with_user_table
from training.progress import report
from training.recipe import Recipe, RecipeError

if TYPE_CHECKING:  # Importing torch takes seconds, for which --help and a wrong recipe need not wait.
    from training.runs import Run

app = typer.Typer(
    help="Makes a model from labelled reviews: prepare, train, evaluate, export; run does all four.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DONE, WRONG, INTERRUPTED = 0, 2, 130

RecipeName = Annotated[
    str,
    typer.Argument(
        callback=check_path, metavar="RECIPE", help="A name in training/recipes, a .toml file, or a run's recipe.json."
    ),
]
Artefact = Annotated[
    Path | None,
    typer.Option(callback=check_path, help="Where to write it.", show_default="artefact in the run's folder"),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after the last whole epoch of an interrupted run.")]


RESUME_HINT = "the same command with --resume goes on after the last whole epoch"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Return the exit code: 0 done, 2 wrong recipe, data or arguments, 130 interrupted. What is raised is a bug.
    """
    try:
        app(args=argv, prog_name="python -m training")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else DONE
    return DONE


@app.command()
@with_options
def prepare(recipe: RecipeName, options: Options) -> None:
    """Read, deduplicate, split and encode the reviews."""
    with _report_errors():
        _open_run(_recipe(recipe, options), options)


@app.command()
@with_options
def train(recipe: RecipeName, options: Options, resume: Resume = False) -> None:
    """Train on the train split; keep the epoch that is best on dev."""
    with _report_errors(RESUME_HINT):
        run = _open_run(_recipe(recipe, options), options)
        from training.steps import train_step

        train_step(run, resume)


@app.command()
@with_options
def evaluate(
    options: Options,
    recipe: Annotated[
        str | None, typer.Argument(callback=check_path, metavar="RECIPE", help="Whose trained weights to measure.")
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Also on the test split.")] = False,
    model: Annotated[
        Path | None, typer.Option(callback=check_path, help="An artefact's folder, instead of RECIPE.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(callback=check_path, help="With --model: a labelled table, as for --csv.")
    ] = None,
    json: Annotated[Path | None, typer.Option(callback=check_path, help="Where to write the metrics too.")] = None,
) -> None:
    """Calibrate a run's weights and measure them; or measure any artefact on any labelled file.

    evaluate RECIPE, or evaluate --model DIR --data FILE, with --text-column and --label-column.
    """
    if (recipe is None) == (model is None) or (model is None) != (data is None):
        raise typer.BadParameter("give RECIPE, or both --model and --data")
    if model is not None and test:
        raise typer.BadParameter("--test goes with RECIPE: --data says what the artefact is measured on")
    with _report_errors():
        if json is not None and not json.absolute().parent.is_dir():  # Now, not after the measuring.
            raise FileNotFoundError(ENOENT, "no such folder", str(json.absolute().parent))
        if recipe is not None:
            run = _open_run(_recipe(recipe, options), options)
            from training.steps import evaluate_step

            evaluate_step(run, test, json)
        elif model is not None and data is not None:
            from training.evaluation.artefact import file_source
            from training.steps import evaluate_artefact_step

            source = file_source(
                data,
                text_column=options.text_column,
                label_column=options.label_column,
                language=options.language or "any",
                table_fields=options.table_fields | label_fields(options.labels or ()),
            )
            evaluate_artefact_step(model, source, options.threads, json)


@app.command()
@with_options
def export(recipe: RecipeName, options: Options, artefact: Artefact = None) -> None:
    """Write the artefact that streamer serves from."""
    with _report_errors():
        loaded = _recipe(recipe, options)
        target = artefact or _folder(loaded, options) / "artefact"
        from training.steps import check_export, export_step

        check_export(loaded, target, options.force)
        export_step(_open_run(loaded, options), target, options.force)


@app.command("run")
@with_options
def run_all(recipe: RecipeName, options: Options, resume: Resume = False, artefact: Artefact = None) -> None:
    """All steps; evaluates on the test split too. A model for comparison, which cannot be served, is not exported."""
    with _report_errors(RESUME_HINT):
        loaded = _recipe(recipe, options)
        target = artefact or _folder(loaded, options) / "artefact"
        force = options.force or (resume and artefact is None)  # A resumed run replaces its own artefact.
        from training.model.classifier import why_not_servable
        from training.steps import check_export, evaluate_step, export_step, train_step

        not_servable = why_not_servable(loaded.model)
        if not_servable is None:
            check_export(loaded, target, force)
        run = _open_run(loaded, options)
        train_step(run, resume)
        evaluate_step(run, test=True)
        if not_servable is None:
            export_step(run, target, force)
        else:
            report(f"not exported: {not_servable}")


def _recipe(name: str, options: Options) -> Recipe:
    """The recipe with the changes, the decisions and the table that the options name."""
    _require_table(options)
    named = read_recipe(name)
    changes, later = split_changes(named, options.changes or ())
    recipe = with_changes(named, changes)
    language = options.language or "zh"
    if options.verdicts is not None:
        from training.sources.decisions import with_decisions

        folder = _folder(recipe, options)
        recipe = with_decisions(
            recipe,
            options.verdicts,
            folder,
            report,
            labels=options.verdict_labels,
            language=language,
            force=options.force,
        )
    elif options.verdict_labels is not None:
        raise RecipeError("--verdict-labels goes with --verdicts")
    recipe = with_user_table(
        recipe,
        options.csv,
        text_column=options.text_column,
        label_column=options.label_column,
        language=language,
        table_fields=options.table_fields | label_fields(options.labels or ()),
    )
    return with_changes(recipe, later)


def _require_table(options: Options) -> None:
    """Raise RecipeError for --labels without a table that they are of."""
    if options.labels and options.csv is None:
        raise RecipeError("--labels goes with --csv; a recipe's own sources have positive, negative, neutral and skip")


def _folder(recipe: Recipe, options: Options) -> Path:
    return options.out or Path("runs") / recipe.name


def _open_run(recipe: Recipe, options: Options) -> Run:
    """The run in its folder, with its data prepared."""
    import torch

    from training.runs import open_run

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    folder = _folder(recipe, options)
    return open_run(folder, recipe, options.data_dir, options.cache, force=options.force, report=report)


@contextmanager
def _report_errors(advice: str = "") -> Iterator[None]:
    """Turn an interrupt, and errors that are not bugs, into a line and an exit code."""
    began = time.perf_counter()
    try:
        yield
    except KeyboardInterrupt:
        _exit(INTERRUPTED, f"interrupted: {advice}" if advice else "interrupted")
    except BrokenPipeError:  # Nobody reads the output any more: left to Typer.
        raise
    except Exception as error:
        if (message := _message(error)) is None:
            raise
        _exit(WRONG, f"error: {message}")
    report(f"took {time.perf_counter() - began:.0f} s")


def _message(error: Exception) -> str | None:
    """The message for the user; None for a bug."""
    if isinstance(error, RecipeError):  # The imports below load torch.
        return str(error)
    if isinstance(error, OSError):
        return f"{shown_path(error.filename)}: {error.strerror}" if error.filename else printable(str(error), 200)
    from streamer.models.artefact import ModelError
    from training.model.checkpoint import CheckpointError
    from training.model.export import ExportError
    from training.runs import RunError
    from training.sources.packages import FetchError
    from training.sources.tables import DataError

    kinds = (ModelError, CheckpointError, ExportError, FetchError, DataError, RunError)
    return str(error) if isinstance(error, kinds) else None


def _exit(code: int, message: str) -> NoReturn:
    typer.echo(printable_lines(message), err=True)
    raise typer.Exit(code)
