"""Word vectors are read from the two text formats, and what is wrong with a file is said with its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch

from training.model.classifier import EMBEDDING_STD, Classifier
from training.model.vectors import initialise_embedding, read_vectors
from training.sources.tables import DataError

VOCABULARY = ("<pad>", "<unk>", "好", "the", "missing")
GLOVE = "the 0.1 -0.2 3e-1\n<pad> 9 9 9\n好 1 2 3\nother 4 5 6\nthe 7 8 9\n"


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.txt.gz"])
@pytest.mark.parametrize("header", ["", "5 3\n"])
def test_both_formats_are_read(tmp_path: Path, name: str, header: str) -> None:
    """GloVe's and word2vec's, also compressed; of a word that comes twice the first counts, the pad never."""
    content = (header + GLOVE).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    vectors = read_vectors(tmp_path / name, VOCABULARY, 3)
    assert vectors.ids.tolist() == [3, 2]
    torch.testing.assert_close(vectors.rows, torch.tensor([[0.1, -0.2, 0.3], [1.0, 2.0, 3.0]]))


def test_odd_but_published_lines_are_read(tmp_path: Path) -> None:
    """Spaces at the end, Windows line ends, and words that are spaces or have some in them."""
    (tmp_path / "v.txt").write_text("the 1 2 3 \r\n. . name@domain.com 1 2 3\n\u3000 1 2 3\n好 4 5 6", encoding="utf-8")
    assert read_vectors(tmp_path / "v.txt", VOCABULARY, 3).ids.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends after 0 words"),
        (b"the 1 2\n", "line 1: its vectors have 2 numbers, the recipe's model.width is 3"),
        (b"5 300\nthe 1 2 3\n", "line 1: its vectors have 300 numbers"),
        (b"the 1 2 3\nother 1 2\n", "line 2: 2 numbers, 3 expected"),
        (b"the 1 2 3\nother 1 2 3 4\n", "line 2: 4 numbers, 3 expected"),
        (b"the 1 two 3\n", "line 1: not a number .*two"),
        (b"the 1 nan 3\n", "line 1: not a finite number"),
        (b"the 1 2 3\n\xff\xfe 1 2 3\n", "line 2: not UTF-8 .*binary"),
        (b"other 1 2 3\n", "none of its words is in the vocabulary"),
        (b"the 0 0 0\n", "its vectors are all zero"),
        (b"3 3\nthe 1 2 3\nother 1 2 3\n", "ends after 2 words of 3: cut off"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    """And with the file."""
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(DataError, match=rf"v\.txt.*{message}"):
        read_vectors(tmp_path / "v.txt", VOCABULARY, 3)


def test_a_file_that_is_missing_or_damaged_is_said(tmp_path: Path) -> None:
    """A compressed one that was cut off, too."""
    with pytest.raises(DataError, match="no such file"):
        read_vectors(tmp_path / "v.txt", VOCABULARY, 3)
    (tmp_path / "v.txt.gz").write_bytes(gzip.compress(GLOVE.encode() * 99)[:-20])
    with pytest.raises(DataError, match=r"v\.txt\.gz"):
        read_vectors(tmp_path / "v.txt.gz", VOCABULARY, 3)


def test_an_embedding_starts_from_them_with_its_usual_spread(tmp_path: Path) -> None:
    """One factor for all: angles and relative lengths stay. Tokens without a vector keep the random start."""
    (tmp_path / "v.txt").write_text(GLOVE, encoding="utf-8")
    vectors = read_vectors(tmp_path / "v.txt", VOCABULARY, 3)
    torch.manual_seed(1)
    model = Classifier(len(VOCABULARY), 3, 4)
    before = model.embedding.weight.detach().clone()
    initialise_embedding(model, vectors)
    after = model.embedding.weight.detach()
    assert torch.equal(after[[0, 1, 4]], before[[0, 1, 4]])
    torch.testing.assert_close(after[3] / after[3].norm(), vectors.rows[0] / vectors.rows[0].norm())
    torch.testing.assert_close(after[2].norm() / after[3].norm(), vectors.rows[1].norm() / vectors.rows[0].norm())
    torch.testing.assert_close(after[[2, 3]].square().mean().sqrt(), torch.tensor(EMBEDDING_STD))
