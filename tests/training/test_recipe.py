"""Recipes are read strictly, and errors say where."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.recipe import RECIPES, RecipeError, load_recipe


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "recipe.toml"
    path.write_text(f'name = "x"\nversion = "1"\noptimiser = {{ epochs = 1 }}\n{text}', encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", [path.stem for path in RECIPES.glob("*.toml")])
def test_every_recipe_in_the_package_is_valid(name: str) -> None:
    """What ships can be used."""
    assert load_recipe(name).optimiser.epochs > 0


def test_the_bundled_recipe_keeps_test_files_and_chnsenticorp_out() -> None:
    """Nothing is trained on that published figures are measured on."""
    paths = [source.path or "" for source in load_recipe("bundled").data]
    assert not [path for path in paths if "test" in path or "chnsenticorp" in path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\nwidht = 3", r"model\.widht: Extra inputs"),
        ("[model]\nwidth = 0", r"model\.width: .*greater than or equal to 1"),
        ("[[data]]\nname='a'\nlanguage='zh'\norigin=''\nlicence=''", "source a: give either `path` or `package`"),
        (
            "[[data]]\nname='a'\nlanguage='zh'\norigin=''\nlicence=''\npackage='p==1'",
            "source a: of a package, give either `member` or `lines`",
        ),
        (
            "[[data]]\nname='a'\nlanguage='zh'\norigin=''\nlicence=''\npackage='--pre p==1'\nmember='m'",
            r"data\.0\.package: String should match pattern",
        ),
        ("[[data]]\nname='a'\nlanguage='zh'\norigin=''\nlicence=''\npath='p'\n" * 2, "same name"),
        ("[model", "recipe.toml: "),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_field(tmp_path: Path, text: str, message: str) -> None:
    """The message names the file and the field."""
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, text))


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    """A typing error is easily put right."""
    with pytest.raises(RecipeError, match="there are bundled, own"):
        load_recipe("bundeld")
