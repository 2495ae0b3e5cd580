"""The recipe that a command line asks for: a named one, with --set applied and the user's own reviews added."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streamer.printable import printable, reason_of, shown_path
from training.labels import NEGATIVE, NEUTRAL, POSITIVE, REVIEW_LABELS
from training.recipe import Recipe, RecipeError, Source, first_error, load_recipe

_SHOWN_CHARACTERS = 200
_MAX_ADDED = 2  # Sources that options add: --csv and --verdicts.


def read_recipe(name: str) -> Recipe:
    """Read a recipe by its name, from a TOML file, or from the recipe.json of a run.

    Raises RecipeError as `load_recipe` does.
    """
    path = Path(name)
    try:
        if path.suffix != ".json":
            return load_recipe(name)
        return Recipe.model_validate_json(path.read_bytes()).in_directory(path.parent)
    except ValidationError as error:
        raise RecipeError(f"{shown_path(name)}, {first_error(error)}") from error
    except OSError as error:
        raise RecipeError(f"{shown_path(name)}: {reason_of(error)}") from error


def with_changes(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with some fields changed: "optimiser.epochs=2", "model.kind=gru", "data.0.limit=500".

    A value is TOML, or else a string, so that quotes may be left out. Without a value the field goes back to its
    default. Raises RecipeError, naming the change, when the recipe does not allow it.
    """
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not all(name.split(".")):
            raise RecipeError(f"--set {printable(change, _SHOWN_CHARACTERS)}: write it as model.kind=gru")
        fields = recipe.model_dump(exclude_unset=True)
        _set(fields, name.strip().split("."), value.strip(), change)
        try:
            changed = Recipe.model_validate(fields)
        except ValidationError as error:
            raise RecipeError(f"--set {printable(change, _SHOWN_CHARACTERS)}: {first_error(error)}") from error
        recipe = changed.in_directory(recipe.directory)
    return recipe


def split_changes(recipe: Recipe, changes: Sequence[str]) -> tuple[list[str], list[str]]:
    """The changes of the recipe itself, and those of sources that options add: `data.0...` of recipe `own`."""
    added = {f"data.{number}" for number in range(len(recipe.data), len(recipe.data) + _MAX_ADDED)}
    later = [change for change in changes if ".".join(change.split(".")[:2]).strip() in added]
    return [change for change in changes if change not in later], later


def with_user_table(
    recipe: Recipe,
    table: Path | None,
    *,
    text_column: str,
    label_column: str,
    language: str,
    table_fields: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe with the user's table added as a source. Raises RecipeError when there is no source at all.

    table_fields: of the source, how its table is read.
    """
    if table is None:
        if not recipe.data:
            raise RecipeError(f"recipe {recipe.name} has no data of its own: give --csv or --verdicts")
        return recipe
    try:
        own = Source(
            name="own",
            language=language,
            path=str(table.resolve()),
            text=text_column,
            label=label_column,
            origin=printable(table.name),
            licence="yours",
            **(table_fields or {}),
        )
        changed = Recipe.model_validate(dict(recipe) | {"data": (*recipe.data, own)})
    except ValidationError as error:
        raise RecipeError(f"--csv {shown_path(table)}: {first_error(error)}") from error
    return changed.in_directory(recipe.directory)


def label_fields(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The fields of a source for `--labels positive=4,5 --labels negative=1,2 --labels skip=nan`.

    Raises RecipeError. Classes that are not named have no labels, except that neutral and skip may stand alone.
    """
    fields: dict[str, tuple[str, ...]] = {}
    for option in given:
        name, equals, labels = (part.strip() for part in option.partition("="))
        if not equals or name not in (*REVIEW_LABELS, "skip"):
            example = f"--labels {POSITIVE}=4,5 --labels {NEGATIVE}=1,2 --labels {NEUTRAL}=3 --labels skip=nan"
            raise RecipeError(f"--labels {printable(option)}: write it as {example}")
        fields[name] = (*fields.get(name, ()), *(label.strip() for label in labels.split(",")))
    if (POSITIVE in fields) != (NEGATIVE in fields):
        raise RecipeError(f"--labels: give both {POSITIVE}=… and {NEGATIVE}=…")
    return fields


def _set(fields: Any, keys: Sequence[str], value: str, change: str) -> None:
    """Set a value in nested tables and arrays; `keys` lead to it."""
    shown = printable(change, _SHOWN_CHARACTERS)
    key: Any = keys[0]
    if isinstance(fields, tuple):
        if not key.isdecimal() or int(key) >= len(fields):
            raise RecipeError(
                f"--set {shown}: there is no entry {key}; entries are numbered from 0 to {len(fields) - 1}"
            )
        if len(keys) == 1:
            raise RecipeError(f"--set {shown}: set all of {change.partition('=')[0].rpartition('.')[0]} at once")
        key = int(key)
    elif not isinstance(fields, dict):
        raise RecipeError(f"--set {shown}: there is nothing named {key} in it")
    if len(keys) > 1:
        if isinstance(fields, dict) and fields.get(key) is None:
            if keys[1].isdecimal():
                raise RecipeError(f"--set {shown}: there is no entry {keys[1]}: the recipe has no {key} of its own")
            fields[key] = {}
        _set(fields[key], keys[1:], value, change)
    elif value:
        fields[key] = _value(value)
    else:
        fields.pop(key, None)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
