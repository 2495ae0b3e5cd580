"""A folder with a file for each review, like aclImdb (Maas et al., ACL 2011): FOLDER/pos/0_9.txt, FOLDER/neg/0_2.txt

There may be urls_pos.txt and urls_neg.txt beside pos/ and neg/: line n, counted from 0, is the page of the film that
the review n_*.txt is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.labels import NEGATIVE, POSITIVE, Label
from training.sources.tables import DataError, decode, read_file

_CLASSES: dict[str, Label] = {"pos": POSITIVE, "neg": NEGATIVE}  # By folder.
_FILM = re.compile(r"/title/(tt\d+)")


@dataclass(frozen=True, slots=True)
class FolderReview:
    """A review in a file of its own: the file's name, the text, and the film where films were asked for."""

    name: str
    text: str
    label: Label
    film: str | None


def folder_files(folder: Path, name: str, films: bool) -> list[Path]:
    """The files that `read_folder` reads, in its order. Raises DataError as it does; `name` names the folder in it."""
    return [file for kind, texts in _texts(folder, name).items() for file in (*texts, *_urls(folder, kind, films))]


def read_folder(folder: Path, name: str, films: bool) -> Iterator[FolderReview]:
    """The reviews, positive ones first, each class by the numbers in the names.

    Raises DataError for a folder that is missing or has no text, for a text that is not UTF-8, and, where `films` are
    asked for, for a review whose film cannot be found.
    """
    for kind, texts in _texts(folder, name).items():
        pages = [read_file(path).decode("utf-8", "replace").splitlines() for path in _urls(folder, kind, films)]
        for file in texts:
            place = f"{name}/{kind}/{file.name}"
            text = decode(read_file(file), place, "utf-8")
            film = _film_of(file.name, place, pages[0], f"{name}/urls_{kind}.txt") if films else None
            yield FolderReview(place, text, _CLASSES[kind], film)


def _texts(folder: Path, name: str) -> dict[str, list[Path]]:
    """The files of each class; both folders are looked for before any file is read."""
    if not folder.is_dir():
        raise DataError("no such folder; is --data-dir right?", str(folder))
    texts = {}
    for kind in _CLASSES:
        if not (folder / kind).is_dir():
            raise DataError(f"has no folder {kind}/: it must hold pos/*.txt and neg/*.txt", name)
        texts[kind] = sorted((folder / kind).glob("*.txt"), key=_natural_order)
        if not texts[kind]:
            raise DataError("no .txt file in it", f"{name}/{kind}")
    return texts


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Numbers in a name count as numbers: 2_7.txt comes before 10_8.txt."""
    pieces = re.split(r"(\d+)", path.name, flags=re.ASCII)
    return [(int(piece), "") if number % 2 else (0, piece) for number, piece in enumerate(pieces)], path.name


def _urls(folder: Path, kind: str, films: bool) -> list[Path]:
    return [folder / f"urls_{kind}.txt"] if films else []


def _film_of(file: str, place: str, pages: list[str], urls: str) -> str:
    number = file.partition("_")[0]
    if not number.isdecimal():
        raise DataError("the name does not begin with a number and _, so its film is unknown", place)
    if int(number) >= len(pages):
        raise DataError(f"has {len(pages)} lines, so none for {file}", urls)
    if (film := _FILM.search(pages[int(number)])) is None:
        raise DataError("no /title/tt... in it", urls, int(number) + 1, "film")
    return film[1]
