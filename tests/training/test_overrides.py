"""The recipe that a command line asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training.overrides import label_fields, read_recipe, split_changes, with_changes, with_user_table
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
        ("model.knd=gru", r"model\.knd: there is no such field"),
        ("model.kind=cnn", r"model\.kind: must be 'lstm', 'gru' or 'rnn'"),
        ("optimiser.epochs=many", r"optimiser\.epochs: must be a whole number"),
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
    with pytest.raises(RecipeError, match=r"recipe\.json, version: is missing"):
        read_recipe(str(saved))


def test_options_say_what_labels_mean() -> None:
    """In one option or in several; labels may be empty."""
    given = label_fields(["positive=4,5", "negative=1, 2", "neutral=3", "skip=,nan", "positive=6"])
    assert given == {"positive": ("4", "5", "6"), "negative": ("1", "2"), "neutral": ("3",), "skip": ("", "nan")}
    assert label_fields([]) == {}
    assert label_fields(["skip=nan"]) == {"skip": ("nan",)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["4,5"], "--labels 4,5: write it as --labels positive=4,5"),
        (["good=4,5"], "--labels good=4,5: write it as"),
        (["positive=4,5"], "give both positive=… and negative=…"),
        (["a\x1b[2J=1"], r"--labels a\\x1b\[2J=1: write it as"),
    ],
)
def test_options_that_do_not_are_refused(options: list[str], message: str) -> None:
    """With an example."""
    with pytest.raises(RecipeError, match=message):
        label_fields(options)


def test_a_change_of_the_users_table_waits_for_it() -> None:
    """Sources that options add come after the recipe's own."""
    recipe = read_recipe("own")
    changes = ["data.0.encoding=gbk", "model.kind=gru"]
    assert split_changes(recipe, changes) == (["model.kind=gru"], ["data.0.encoding=gbk"])
    own = with_user_table(recipe, Path("own.csv"), text_column="text", label_column="label", language="zh")
    assert with_changes(own, ["data.0.encoding=gbk"]).data[0].encoding == "gbk"
    assert split_changes(own, changes) == (changes, [])


def test_a_change_of_a_source_that_is_not_there_says_so() -> None:
    """Instead of what validation makes of it."""
    with pytest.raises(RecipeError, match=r"--set data\.0\.encoding=gbk: there is no entry 0: the recipe has no data"):
        with_changes(read_recipe("own"), ["data.0.encoding=gbk"])
