"""The options of every command that reads a table, written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from streamer.files.options import TableOptions

_PANEL = "The table"


def _options(
    format: Annotated[
        str | None,
        typer.Option(help="csv, tsv, jsonl, json or parquet, if the name does not show it.", rich_help_panel=_PANEL),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of the text, for example gb18030.", show_default="utf-8", rich_help_panel=_PANEL)
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between the cells of csv; `tab` is one too.", rich_help_panel=_PANEL)
    ] = None,
    quote: Annotated[
        str | None, typer.Option(help="Around cells of csv; `none` if quotes are letters.", rich_help_panel=_PANEL)
    ] = None,
    escape: Annotated[
        str | None, typer.Option(help="Before quotes in cells of csv, for example \\.", rich_help_panel=_PANEL)
    ] = None,
    no_header: Annotated[
        bool,
        typer.Option("--no-header", help="csv without names of columns: they are 1, 2, …", rich_help_panel=_PANEL),
    ] = False,
    skip_bad_rows: Annotated[
        bool,
        typer.Option("--skip-bad-rows", help="Leave damaged rows out and count them.", rich_help_panel=_PANEL),
    ] = False,
) -> TableOptions:
    return TableOptions(
        format=format,
        encoding=encoding,
        delimiter=delimiter,
        quote=quote,
        escape=escape,
        header=not no_header,
        skip_bad_rows=skip_bad_rows,
    )


def with_table_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command for Typer: it gets `TableOptions` as its argument `table`, and the user their fields as options."""
    shared = inspect.signature(_options).parameters

    @wraps(command)
    def called(**given: Any) -> None:
        command(table=_options(**{name: given.pop(name) for name in shared}), **given)

    hints = get_type_hints(command, include_extras=True) | get_type_hints(_options, include_extras=True)
    own = [parameter for name, parameter in inspect.signature(command).parameters.items() if name != "table"]
    parameters = [*own, *shared.values()]
    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # What inspect and Typer read.
        [
            inspect.Parameter(
                each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name]
            )
            for each in parameters
        ]
    )
    called.__annotations__ = {each.name: hints[each.name] for each in parameters}
    return called
