"""A folder of one file a review, as aclImdb's (Maas et al., ACL 2011): FOLDER/pos/0_9.txt, FOLDER/neg/0_2.txt, ...

Beside pos/ and neg/ may lie urls_pos.txt and urls_neg.txt: line n, from 0, is the page of the film that the review
n_*.txt is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.rows import DataError, decode, read_bytes

_FILM = re.compile(r"/title/(tt\d+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the folder: its name from the folder on, its text, and its film where films were asked for."""

    name: str
    text: str
    positive: bool
    film: str | None


def files_of(folder: Path, name: str, films: bool) -> list[Path]:
    """The files that `entries` reads, in its order. Raises DataError, `name` telling which folder, as it does."""
    return [file for kind, texts in _texts(folder, name).items() for file in (*texts, *_urls(folder, kind, films))]


def entries(folder: Path, name: str, films: bool) -> Iterator[Entry]:
    """The reviews, positive ones first, each class by the numbers in the names.

    Raises DataError for a folder that is missing or has no text, a text that is not UTF-8, and, where `films` are
    asked for, for a review whose film is not to be found.
    """
    for kind, texts in _texts(folder, name).items():
        pages = [read_bytes(path).decode("utf-8", "replace").splitlines() for path in _urls(folder, kind, films)]
        for file in texts:
            place = f"{name}/{kind}/{file.name}"
            text = decode(read_bytes(file), place, "utf-8")
            film = _film_of(file.name, place, pages[0], f"{name}/urls_{kind}.txt") if films else None
            yield Entry(place, text, kind == "pos", film)


def _texts(folder: Path, name: str) -> dict[str, list[Path]]:
    """The files of each class, both looked for before any is read."""
    if not folder.is_dir():
        raise DataError("no such folder; is --data-dir right?", str(folder))
    texts = {}
    for kind in ("pos", "neg"):
        if not (folder / kind).is_dir():
            raise DataError(f"has no folder {kind}/: it must hold pos/*.txt and neg/*.txt", name)
        texts[kind] = sorted((folder / kind).glob("*.txt"), key=_in_order)
        if not texts[kind]:
            raise DataError("no .txt file in it", f"{name}/{kind}")
    return texts


def _in_order(path: Path) -> tuple[list[tuple[int, str]], str]:
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
