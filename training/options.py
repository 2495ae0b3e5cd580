"""The options that all commands have, written once."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from streamer.printable import why_not_a_path

_OWN = "Your own reviews"
_TABLE = "How to read your table"


def check_path(value: Any) -> Any:
    """Refuse what cannot be a path, without quoting it: it may be a key."""
    if value is not None and (reason := why_not_a_path(value)) is not None and not os.path.exists(value):
        raise typer.BadParameter(reason)
    return value


@dataclass(frozen=True)
class Options:
    """The options of every command, besides its recipe."""

    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change the recipe: model.kind=gru.")
    ] = None
    data_dir: Annotated[Path, typer.Option(callback=check_path, help="What the recipe's paths are relative to.")] = (
        Path()
    )
    cache: Annotated[Path, typer.Option(callback=check_path, help="Where fetched packages are kept.")] = Path(
        ".cache/training"
    )
    out: Annotated[
        Path | None, typer.Option(callback=check_path, help="The run's folder.", show_default="runs/<recipe's name>")
    ] = None
    threads: Annotated[int | None, typer.Option(min=1, help="Of torch; on busy cores one is faster than several.")] = (
        None
    )
    force: Annotated[
        bool, typer.Option("--force", help="Take over the folder of another run; replace an artefact.")
    ] = False
    csv: Annotated[
        Path | None,
        typer.Option(
            callback=check_path,
            help="csv, tsv, JSON or Parquet, also compressed, added to the recipe's.",
            rich_help_panel=_OWN,
        ),
    ] = None
    text_column: Annotated[str, typer.Option(help="The column of texts, also of --data.", rich_help_panel=_OWN)] = (
        "text"
    )
    label_column: Annotated[str, typer.Option(help="The column of labels, also of --data.", rich_help_panel=_OWN)] = (
        "label"
    )
    labels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=LABEL,…",
            help="What the labels mean: positive=4,5 then negative=1,2, neutral=3, skip=nan; also of --data.",
            rich_help_panel=_OWN,
        ),
    ] = None
    language: Annotated[
        str | None, typer.Option(help="For the metrics by language only.", rich_help_panel=_OWN, show_default="zh")
    ] = None
    format: Annotated[
        str | None, typer.Option(help="csv, tsv, jsonl, json or parquet, also of --data.", rich_help_panel=_TABLE)
    ] = None
    encoding: Annotated[
        str | None, typer.Option(help="For example gb18030.", show_default="utf-8", rich_help_panel=_TABLE)
    ] = None
    delimiter: Annotated[str | None, typer.Option(help="Of csv; `tab` is one too.", rich_help_panel=_TABLE)] = None
    quote: Annotated[
        str | None, typer.Option(help="Around cells; `none` if quotes are letters.", rich_help_panel=_TABLE)
    ] = None
    escape: Annotated[str | None, typer.Option(help="Before quotes in cells, like \\.", rich_help_panel=_TABLE)] = None
    no_header: Annotated[
        bool, typer.Option("--no-header", help="The columns of csv are 1, 2, …", rich_help_panel=_TABLE)
    ] = False
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave damaged rows out and count them.", rich_help_panel=_TABLE)
    ] = False
    verdicts: Annotated[
        str | None,
        typer.Option(
            callback=check_path,
            help="What moderators decided, added to the recipe's: a .jsonl export, also .gz, or `topic`.",
            rich_help_panel=_OWN,
        ),
    ] = None
    verdict_labels: Annotated[
        str | None,
        typer.Option(
            metavar="ACTION=LABEL,…", help="What decisions without a label mean: block=negative.", rich_help_panel=_OWN
        ),
    ] = None

    @property
    def table_fields(self) -> dict[str, Any]:
        """The fields of a source that say how its table is read."""
        given: dict[str, Any] = {
            "format": self.format,
            "delimiter": self.delimiter,
            "quote": self.quote,
            "escape": self.escape,
        }
        given |= {"header": not self.no_header, "skip_bad_rows": self.skip_bad_rows}
        return given | ({"encoding": self.encoding} if self.encoding is not None else {})


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command for Typer: it gets `Options` as its argument `options`, and the user their fields as options.

    Its other parameters stay its own and are shown first.
    """
    shared = {field.name: field.default for field in fields(Options)}

    @wraps(command)
    def called(**given: Any) -> None:
        options = Options(**{name: given.pop(name) for name in shared})
        command(options=options, **given)

    hints = get_type_hints(command, include_extras=True) | get_type_hints(Options, include_extras=True)
    own = [parameter for name, parameter in inspect.signature(command).parameters.items() if name != "options"]
    parameters = [
        *((parameter.name, parameter.default) for parameter in own),
        *shared.items(),
    ]
    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # What inspect and Typer read.
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[name])
            for name, default in parameters
        ]
    )
    called.__annotations__ = {name: hints[name] for name, _ in parameters}
    return called
