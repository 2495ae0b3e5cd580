"""Recipes are read strictly, and errors say where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.recipe import RECIPES, Recipe, RecipeError, load_recipe


def source(fields: str = "", name: str = "a") -> str:
    return f"[[data]]\nname='{name}'\nlanguage='zh'\norigin=''\nlicence=''\n{fields}\n"


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "recipe.toml"
    path.write_text(f'name = "x"\nversion = "1"\noptimiser = {{ epochs = 1 }}\n{text}', encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", [path.stem for path in RECIPES.glob("*.toml")])
def test_every_recipe_in_the_package_is_valid(name: str) -> None:
    """What ships can be used."""
    assert load_recipe(name).optimiser.epochs > 0


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_files_of_others_tests_are_never_trained_on(name: str) -> None:
    """A test file is a test part, and of ChnSentiCorp the bundled model has no more than the train file."""
    sources = load_recipe(name).data
    assert all(source.part == "test" for source in sources if "test" in (source.path or ""))
    whole = [source.path for source in sources if "chnsenticorp" in (source.path or "")]
    assert name != "bundled" or whole == ["zh/chnsenticorp_train.csv.gz"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\nwidht = 3", r"model\.widht: there is no such field"),
        ("[model]\nwidth = 0", r"model\.width: must be at least 1"),
        (source(), "source a: give one of `path`, `folder`, `package` and `hub`"),
        (source("path='p'\nfolder='f'"), "source a: give one of"),
        (source("package='p==1'"), "source a: of a package, give either `member` or `lines`"),
        (source("package='--pre p==1'\nmember='m'"), r"data\.0\.package: write it as name==version"),
        (source("hub={id='a b'}"), r"data\.0\.hub\.id: write it as owner/name"),
        (source("path='p'\noverlap='keep'"), "source a: only a test part may keep what others have"),
        (source("path='p'\nneutral=['0']"), "source a: the label '0' has two meanings"),
        (source("folder='f'\ngroup='product'"), 'source a: a folder can be grouped by "film" only'),
        (source("package='p==1'\nlines={positive='p',negative='n'}\ngroup='g'"), "no column to `group` by"),
        (source("path='p'\npart='dev'\nfragments_of='b'"), "source a: fragments go where their texts are"),
        (source("path='p'\nfragments_of='b'"), "source a: `fragments_of` names no source: b"),
        (source("path='p'\nfragments_of='a'"), "source a: a is itself of fragments"),
        (source("path='p'\ngroup='g'\nblock=5"), "source a: give either `group` or `block`"),
        (source("path='p'") * 2, "same name"),
        ("[words]\n[model]\nvectors='v'", "from `words` or from `model.vectors`, not from both"),
        ("[split]\ntest = 0", r"split\.test is 0 and no source is the test part"),
        ("[split]\ndev = 0\n" + source("path='p'\npart='test'"), r"split\.dev is 0 and no source is the dev part"),
        ("[model", "recipe.toml: "),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_field(tmp_path: Path, text: str, message: str) -> None:
    """The message names the file and the field."""
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, text))


def test_a_place_with_a_dot_is_beside_the_recipe_and_others_below_the_data_folder(tmp_path: Path) -> None:
    """Absolute ones stay where they are; a hidden folder's name also begins with a dot."""
    recipe = load_recipe(write(tmp_path, source("path='p'")))
    data = Path("data")
    assert recipe.directory == tmp_path
    assert recipe.resolve("./a/b.csv", data) == tmp_path / "a/b.csv"
    assert recipe.resolve("../b.csv", data) == tmp_path / "../b.csv"
    assert recipe.resolve("zh/b.csv", data) == Path("data/zh/b.csv")
    assert recipe.resolve(".hidden/b.csv", data) == Path("data/.hidden/b.csv")
    assert recipe.resolve("/b.csv", data) == Path("/b.csv")


def test_a_dump_tells_nothing_of_the_machine_and_can_be_read_again(tmp_path: Path) -> None:
    """It is saved with the run."""
    text = source("path='./a.csv'") + source(f"folder='{tmp_path}/aclImdb'", "b") + source("hub={id='o/d'}", "c")
    recipe = load_recipe(write(tmp_path, text))
    dumped = recipe.model_dump(mode="json")
    assert (dumped["data"][0]["path"], dumped["data"][1]["folder"]) == ("./a.csv", "aclImdb")
    assert str(tmp_path) not in json.dumps(dumped)
    assert Recipe.model_validate(json.loads(json.dumps(dumped))).data[2] == recipe.data[2]


def test_shares_may_be_0_where_a_source_is_the_part(tmp_path: Path) -> None:
    """Published sets come with their own test file."""
    text = "[split]\ntest = 0\n" + source("path='p'\npart='test'") + source("path='q'", "b")
    assert load_recipe(write(tmp_path, text)).split.test == 0


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    """A typing error is easily put right."""
    with pytest.raises(RecipeError, match="there are bundled, chnsenticorp, imdb, own, tv"):
        load_recipe("bundeld")
