"""The recipe that a command line asks for: one that is named, changed by --set, the user's own reviews added."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.recipe import Recipe, RecipeError, Source, load_recipe


def read_recipe(name: str) -> Recipe:
    """A recipe by its name, or from a TOML file, or from the recipe.json of a run.

    Raises RecipeError as `load_recipe` does.
    """
    path = Path(name)
    try:
        if path.suffix != ".json":
            return load_recipe(name)
        recipe = Recipe.model_validate_json(path.read_bytes())
        recipe._home = path.parent
        return recipe
    except ValidationError as error:
        raise RecipeError(f"{name}, {_first(error)}") from error
    except OSError as error:
        raise RecipeError(f"{name}: {error.strerror}") from error


def with_changes(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with fields set anew: "optimiser.epochs=2", "model.kind=gru", "data.0.limit=500".

    A value is TOML; one that is not is a text, so that quotes may be left out. Without a value the field goes back
    to its default. Raises RecipeError, naming the change, for one that does not fit the recipe.
    """
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not all(name.split(".")):
            raise RecipeError(f"--set {change}: write it as model.kind=gru")
        fields = recipe.model_dump(exclude_unset=True)
        _set(fields, name.strip().split("."), value.strip(), change)
        try:
            changed = Recipe.model_validate(fields)
        except ValidationError as error:
            raise RecipeError(f"--set {change}: {_first(error)}") from error
        recipe = _replaced(recipe, changed)
    return recipe


def with_own(recipe: Recipe, table: Path | None, text: str, label: str, language: str) -> Recipe:
    """The recipe with the reviews of the user's table added; raises RecipeError when there is no review at all."""
    if table is None:
        if not recipe.data:
            raise RecipeError(f"recipe {recipe.name} has no data of its own: give --csv or --verdicts")
        return recipe
    own = Source(
        name="own",
        language=language,
        path=str(table.resolve()),
        text=text,
        label=label,
        origin=table.name,
        licence="yours",
    )
    try:
        return _replaced(recipe, Recipe.model_validate(dict(recipe) | {"data": (*recipe.data, own)}))
    except ValidationError as error:
        raise RecipeError(f"--csv {table}: {_first(error)}") from error


def _replaced(recipe: Recipe, fields: Recipe) -> Recipe:
    """The fields of another recipe; the folder in which the recipe is, and its files are sought, stays."""
    return recipe.model_copy(update=dict(fields))


def _set(fields: Any, place: Sequence[str], value: str, change: str) -> None:
    """Set what is at `place` in nested tables and arrays."""
    key: Any = place[0]
    if isinstance(fields, tuple):
        if not key.isdecimal() or int(key) >= len(fields):
            raise RecipeError(f"--set {change}: there is no entry {key}; they are counted from 0 to {len(fields) - 1}")
        if len(place) == 1:
            raise RecipeError(f"--set {change}: set all of {change.partition('=')[0].rpartition('.')[0]} at once")
        key = int(key)
    elif not isinstance(fields, dict):
        raise RecipeError(f"--set {change}: there is nothing named {key} in it")
    if len(place) > 1:
        if isinstance(fields, dict) and fields.get(key) is None:
            fields[key] = {}
        _set(fields[key], place[1:], value, change)
    elif value:
        fields[key] = _value(value)
    else:
        fields.pop(key, None)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _first(error: ValidationError) -> str:
    """The first thing wrong, with its field."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "recipe"
    return f"{field}: {first['msg']}"
