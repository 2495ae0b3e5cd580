"""A folder of one file a review is read in the order of its numbers, with the films beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training.labels import NEGATIVE, POSITIVE
from training.recipe import Source
from training.sources.reviews import Review, read_reviews, source_bytes
from training.sources.tables import DataError

FILES = {"pos/10_8.txt": "fine", "pos/2_7.txt": "good", "neg/0_1.txt": "bad", "neg/1_2.txt": " \n", "pos/read.me": "x"}
URLS = {
    "urls_pos.txt": "".join(f"http://www.imdb.com/title/tt00{number:02}/usercomments\n" for number in range(11)),
    "urls_neg.txt": "http://www.imdb.com/title/tt0002/usercomments\nhttp://www.imdb.com/title/tt0099/usercomments\n",
}


def folder(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = tmp_path / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def source(**fields: Any) -> Source:
    return Source.model_validate(
        {"name": "f", "language": "en", "origin": "", "licence": "", "folder": "train"} | fields
    )


def test_texts_come_by_class_and_number(tmp_path: Path) -> None:
    """2 before 10; blank ones and other files are left out."""
    folder(tmp_path, FILES)
    found = read_reviews(source(), tmp_path, tmp_path)
    assert found == [Review("good", POSITIVE), Review("fine", POSITIVE), Review("bad", NEGATIVE)]
    assert [review.file for review in found] == ["train/pos/2_7.txt", "train/pos/10_8.txt", "train/neg/0_1.txt"]


def test_the_film_of_a_review_is_its_group(tmp_path: Path) -> None:
    """Line n, from 0, belongs to the file n_*.txt."""
    folder(tmp_path, FILES | URLS)
    assert [review.group for review in read_reviews(source(group="film"), tmp_path, tmp_path)] == [
        "tt0002",
        "tt0010",
        "tt0002",
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "train: no such folder; is --data-dir right"),
        ({"pos/0_9.txt": "good"}, "train: has no folder neg/"),
        ({"pos/0_9.txt": "good", "neg/read.me": ""}, r"train/neg: no \.txt file in it"),
        ({"pos/0_9.txt": "good", "neg/0_1.txt": " "}, "train: only positive reviews in it"),
        (FILES, r"train/urls_pos\.txt: no such file"),
        (FILES | URLS | {"urls_pos.txt": "/title/tt1/\n"}, r"train/urls_pos\.txt: has 1 lines, so none for 2_7\.txt"),
        (FILES | URLS | {"urls_neg.txt": "x\nx\n"}, r"train/urls_neg\.txt, line 1, column 'film': no /title/tt"),
        (FILES | URLS | {"pos/good.txt": "good"}, r"train/pos/good\.txt: the name does not begin with a number"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path, files: dict[str, str], message: str) -> None:
    """With the file, and the line of the films' list."""
    folder(tmp_path, files)
    with pytest.raises(DataError, match=message):
        read_reviews(source(group=None if "only" in message else "film"), tmp_path, tmp_path)


def test_a_text_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    """One file of 25,000."""
    folder(tmp_path, FILES)
    (tmp_path / "train/neg/0_1.txt").write_bytes(b"fine\n\xff")
    with pytest.raises(DataError, match=r"train/neg/0_1\.txt, line 2: not utf-8"):
        read_reviews(source(), tmp_path, tmp_path)


def test_a_folders_digest_follows_names_and_texts(tmp_path: Path) -> None:
    """The class of a review is in the name of its folder."""
    folder(tmp_path, FILES)
    before = list(source_bytes(source(), tmp_path, tmp_path))
    assert b"neg/0_1.txt" in before
    folder(tmp_path, {"neg/0_1.txt": "awful"})
    assert list(source_bytes(source(), tmp_path, tmp_path)) != before
