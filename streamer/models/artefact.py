"""Reads an artefact, a directory that `python -m training` created, and verifies its files first.

docs/training.md describes the files. A TorchScript file is executable code, so it is not opened until its sha256
matches the manifest. This module does not need torch.
"""

from __future__ import annotations

import hashlib
import logging
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from streamer.labels import LABEL_NAME, AbstentionBand, LabelSet
from streamer.printable import printable, reason_of, shown_path
from streamer.settings.words import in_words, location
from streamer.text import NORMALISATION, Vocabulary

log = logging.getLogger(__name__)

BUNDLED = Path(__file__).parents[1] / "bundled"
FORMAT = 1
_REQUIRED = ("model.pt", "vocabulary.txt", "golden.json")
_LARGEST_BYTES = 4 << 30  # Of one file of an artefact.


class ModelError(Exception):
    """The artefact is refused. The message names the file and gives the reason."""


_PRINTABLE = re.compile(r"[!-~](?:[ -~]{0,98}[!-~])?")  # For logs and metrics.
_LABEL = re.compile(LABEL_NAME)
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def _matches(pattern: re.Pattern[str], otherwise: str) -> AfterValidator:
    """A validator that raises ValueError with the words `otherwise`."""

    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(otherwise)
        return text

    return AfterValidator(check)


class _Tokeniser(BaseModel):
    name: Literal["jieba"]
    version: str
    normalisation: int


class _Band(BaseModel):
    """With two labels: scores within the band are uncertain."""

    low: Annotated[float, Field(ge=0, le=1)]
    high: Annotated[float, Field(ge=0, le=1)]


class _Threshold(BaseModel):
    """With more than two labels: a review is uncertain if its likeliest class has a lower probability."""

    threshold: Annotated[float, Field(ge=0, le=1)]


_LabelName = Annotated[
    str, _matches(_LABEL, "a label has 1 to 100 characters, and none but letters, digits, '_', '.' and '-'")
]
_Name = Annotated[
    str, _matches(_PRINTABLE, "must have 1 to 100 printable characters of ASCII, the outer ones no blanks")
]
_FileName = Annotated[
    str, _matches(_FILE, "the name of a file has no characters but ASCII letters, digits, '_', '-' and inner '.'")
]


class Manifest(BaseModel):
    """The fields of manifest.json that serving reads; the rest is for the model card.

    labels: the classes, from the least favourable to the most. values: of the classes, in [0, 1]; by default they are
    evenly spaced. uncertain: `low` and `high` with two labels, `threshold` with more.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    format: int
    name: _Name
    version: _Name
    labels: Annotated[tuple[_LabelName, ...], Field(min_length=2, max_length=100)]
    values: tuple[float, ...] | None = None
    max_tokens: Annotated[int, Field(ge=2, le=4096)]
    tokeniser: _Tokeniser
    uncertain: _Band | _Threshold
    sha256: dict[_FileName, str]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if isinstance(self.uncertain, _Band) != (len(self.labels) == 2):
            raise ValueError("uncertain: two labels have a band of low and high, more than two a threshold")
        self.label_set()  # Raises ValueError.
        return self

    def label_set(self) -> LabelSet:
        """The labels with their values and the rule for uncertain reviews."""
        band, threshold = None, 0.0
        if isinstance(self.uncertain, _Band):
            band = AbstentionBand(self.uncertain.low, self.uncertain.high)
        else:
            threshold = self.uncertain.threshold
        even = LabelSet.evenly(self.labels, band, threshold)
        return even if self.values is None else LabelSet(even.classes, self.values, even.band, threshold)


@dataclass(frozen=True, slots=True)
class Artefact:
    """A directory whose files match the manifest. The model has not run yet."""

    directory: Path
    manifest: Manifest
    vocabulary: Vocabulary
    golden: tuple[tuple[str, float], ...]
    script: bytes  # model.pt: exactly the bytes that were verified.


def read_artefact(directory: Path, pin: str | None = None) -> Artefact:
    """Verify the manifest and every file's sha256, then read the vocabulary and the golden texts.

    pin: the required sha256 of manifest.json, in hex; it covers all files, since the manifest has their sha256.
    Raises ModelError if the directory is missing, damaged, not the pinned one, or of another format or tokeniser.
    """
    manifest = read_manifest(directory, pin)
    if missing := [name for name in _REQUIRED if name not in manifest.sha256]:
        raise ModelError(f"{shown_path(directory)}: manifest.json names no sha256 for {', '.join(missing)}")
    files = {name: _read(directory / name) for name in manifest.sha256}
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != manifest.sha256[name]:
            raise ModelError(f"{shown_path(directory / name)}: damaged or changed, its sha256 is not the manifest's")
    try:
        lines = files["vocabulary.txt"].decode().removesuffix("\n").split("\n")
        vocabulary = Vocabulary(lines)
    except ValueError as error:
        raise ModelError(f"{shown_path(directory / 'vocabulary.txt')}: {error}") from None
    try:
        pairs = [(item["text"], item["score"]) for item in orjson.loads(files["golden.json"])]
        golden = tuple((str(text), float(score)) for text, score in pairs)
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"{shown_path(directory / 'golden.json')}: not a list of texts with scores") from None
    if not golden:
        raise ModelError(f"{shown_path(directory / 'golden.json')}: no golden texts to test the model with")
    return Artefact(directory, manifest, vocabulary, golden, files["model.pt"])


def known_labels(directory: Path | None) -> tuple[str, ...]:
    """The labels of an artefact, the bundled one if None, in the order of `LabelSet.columns`; empty if it is refused.

    For programs that only show results: results name their own labels, and the artefact may be on another machine.
    """
    try:
        return read_manifest(directory or BUNDLED).label_set().columns
    except ModelError as error:
        log.warning("%s; labels are shown as results name them", error)
        return ()


def _read(path: Path) -> bytes:
    try:
        found = path.stat()
        # Reading a pipe would block, and reading a device might never end.
        if not stat.S_ISREG(found.st_mode):
            raise ModelError(f"{shown_path(path)}: not a file")
        if found.st_size > _LARGEST_BYTES:
            raise ModelError(f"{shown_path(path)}: {found.st_size} bytes, at most {_LARGEST_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{shown_path(path)}: {reason_of(error)}") from None


def read_manifest(directory: Path, pin: str | None = None) -> Manifest:
    """The manifest alone; its files are not verified. `pin` and errors as in `read_artefact`."""
    path = directory / "manifest.json"
    written = _read(path)
    if pin is not None and hashlib.sha256(written).hexdigest() != pin.lower():
        raise ModelError(f"{shown_path(path)}: not the one that model.sha256 names")
    try:
        content = orjson.loads(written)
        if isinstance(content, dict) and content.get("format") != FORMAT:
            found = printable(repr(content.get("format")), 20)
            raise ModelError(f"{shown_path(path)}: format {found}, this version reads format {FORMAT}")
        manifest = Manifest.model_validate(content)
    except orjson.JSONDecodeError as error:
        raise ModelError(f"{shown_path(path)}: not JSON: {error}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(location(e)) or 'manifest'}: {in_words(e)}" for e in error.errors())
        raise ModelError(f"{shown_path(path)}: {wrong}") from None
    if manifest.tokeniser.normalisation != NORMALISATION:
        trained = manifest.tokeniser.normalisation
        raise ModelError(f"{shown_path(path)}: trained with normalisation {trained}, this version has {NORMALISATION}")
    return manifest
