"""The recipe that a command line asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training.overrides import read_recipe, with_changes, with_user_table
from training.recipe import RecipeError


def test_fields_are_changed_one_by_one() -> None:
    """Values are TOML, quotes around a word may be left out; the rest of the recipe and its folder stay."""
    recipe = read_recipe("bundled")
    changes = ["model.kind=gru", "optimiser.epochs = 2", "data.0.limit=500", "split={seed=3}", "bigrams.features=7"]
    changed = with_changes(recipe, changes)
    assert (changed.model.kind, changed.optimiser.epochs, changed.data[0].limit) == ("gru", 2, 500)
    assert (changed.split.seed, changed.directory) == (3, recipe.directory)
    assert changed.bigrams is not None
    assert changed.bigrams.features == 7
    assert changed.model.model_copy(update={"kind": "lstm"}) == recipe.model
    assert changed.data[1:] == recipe.data[1:]


def test_a_field_without_a_value_goes_back_to_its_default() -> None:
    """TOML cannot say nothing otherwise."""
    changed = with_changes(read_recipe("bundled"), ["optimiser.average=0.5", "optimiser.average="])
    assert changed.optimiser.average == 0.999


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.kind", "write it as model.kind=gru"),
        ("=3", "write it as"),
        ("model.knd=gru", r"model\.knd: Extra inputs"),
        ("model.kind=cnn", r"model\.kind: Input should be 'lstm', 'gru' or 'rnn'"),
        ("optimiser.epochs=many", r"optimiser\.epochs: Input should be a valid integer"),
        ("optimiser.epochs.x=1", "there is nothing named x in it"),
        ("data.99.limit=1", "there is no entry 99"),
        ("data.0=1", "set all of data at once"),
    ],
)
def test_a_wrong_change_is_refused_with_its_field(change: str, message: str) -> None:
    """And with the change, as it was written."""
    with pytest.raises(RecipeError, match=rf"--set {change}: .*{message}"):
        with_changes(read_recipe("bundled"), [change])


def test_a_saved_recipe_is_a_recipe(tmp_path: Path) -> None:
    """What a run saves can be run again; of the user's own table only the name is in it."""
    (tmp_path / "recipe.toml").write_text('name = "x"\nversion = "1"\noptimiser = { epochs = 1 }', encoding="utf-8")
    columns: dict[str, Any] = {"text_column": "a", "label_column": "b", "language": "en"}
    recipe = with_user_table(read_recipe(str(tmp_path / "recipe.toml")), tmp_path / "own.csv", **columns)
    assert recipe.data[0].path == str(tmp_path / "own.csv")
    saved = tmp_path / "recipe.json"
    saved.write_text(recipe.model_dump_json(), encoding="utf-8")
    assert str(tmp_path) not in saved.read_text(encoding="utf-8")
    again = read_recipe(str(saved))
    assert again.model_dump(mode="json") == recipe.model_dump(mode="json")
    saved.write_text('{"name": "x"}', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"recipe\.json, version: Field required"):
        read_recipe(str(saved))
