"""Pretrained word vectors that the embedding starts from, read from text files line by line.

In GloVe's format a line has a word and its numbers, separated by single spaces; word2vec's has another line before
them with the number of words and of numbers for each. Published files have a million lines: only the words of the
vocabulary are kept. A word must be written as the vocabulary has it (normalised: lower case, simplified characters).
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from streamer.text import PAD
from training.model.classifier import EMBEDDING_STD, Classifier
from training.sources.tables import DataError


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of some tokens of a vocabulary. ids: int64 [N]. rows: float32 [N, W], as in the file."""

    ids: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.ids)


def read_vectors(path: Path, vocabulary: Sequence[str], width: int) -> Vectors:
    """The vectors of the vocabulary's tokens, in the file's order; of a word that comes twice, the first.

    path: GloVe or word2vec text, UTF-8, compressed where its name ends in .gz. The pad token never has a vector.

    Raises DataError, with the file and the line, for a file that is missing, damaged, cut off or not UTF-8, for a
    line with too few or too many numbers or something else among them, for vectors of another width, and when no
    token of the vocabulary is in it, or all that are have nothing but zeros.
    """
    wanted = {token: index for index, token in enumerate(vocabulary) if token != PAD}
    ids: list[int] = []
    rows: list[list[float]] = []
    for line, word, numbers in _lines(path, width):
        if (index := wanted.pop(word, None)) is not None:
            ids.append(index)
            rows.append(_floats(numbers, path, line))
    if not ids:
        raise DataError("none of its words is in the vocabulary; is it of another language?", str(path))
    vectors = Vectors(torch.tensor(ids), torch.tensor(rows))
    if not vectors.rows.any():
        raise DataError("its vectors are all zero", str(path))
    return vectors


@torch.no_grad()
def initialise_embedding(model: Classifier, vectors: Vectors) -> None:
    """Put the vectors into the embedding, scaled by one factor to the spread of a fresh embedding.

    Published vectors are 2 to 5 times as large as a fresh embedding's. As they are, they would drown the tokens
    that keep the random start, saturate gates initialised for smaller inputs, and hardly move: Adam's steps are as
    large as the learning rate, whatever the weights'. One factor for all keeps the angles between the words and
    their relative lengths.
    """
    spread = vectors.rows.square().mean().sqrt()
    model.embedding.weight[vectors.ids] = vectors.rows * (EMBEDDING_STD / spread)


def _lines(path: Path, width: int) -> Iterator[tuple[int, str, list[bytes]]]:
    """Line numbers from 1, words and their `width` numbers, not yet read as such."""
    expected: int | None = None
    read = 0
    with _opened(path) as file:
        for line, content in enumerate(file, start=1):
            word, *numbers = content.rstrip(b" \r\n").split(b" ")
            if line == 1 and len(numbers) == 1 and word.isdigit() and numbers[0].isdigit():
                expected = int(word)
                _check_width(int(numbers[0]), width, path)
                continue
            if line == 1:
                _check_width(len(numbers), width, path)
            if expected is not None and read == expected:
                return
            read += 1
            # Some words of published files have spaces in them, which no token has; numbers they are not.
            if len(numbers) != width and (len(numbers) < width or any(map(_is_number, numbers[:-width]))):
                raise DataError(f"{len(numbers)} numbers, {width} expected", str(path), line)
            try:
                yield line, b" ".join([word, *numbers[:-width]]).decode(), numbers[-width:]
            except UnicodeDecodeError as error:
                raise DataError(
                    f"not UTF-8 ({error.reason}); vectors in a binary format must be made text first", str(path), line
                ) from error
    if read < (expected or 1):
        raise DataError(f"it ends after {read:,} words of {expected or 'at least one'}: cut off?", str(path))


def _check_width(found: int, width: int, path: Path) -> None:
    if found != width:
        raise DataError(f"its vectors have {found} numbers, the recipe's model.width is {width}", str(path), 1)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed; what cannot be read, also later, is a DataError."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]  # A GzipFile reads as any file does.
    except FileNotFoundError:
        raise DataError("no such file; is --data-dir right?", str(path)) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(str(error), str(path)) from error


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _floats(numbers: Sequence[bytes], path: Path, line: int) -> list[float]:
    try:
        row = [float(number) for number in numbers]
    except ValueError as error:
        raise DataError(f"not a number ({error})", str(path), line) from error
    if not all(map(math.isfinite, row)):
        raise DataError("not a finite number", str(path), line)
    return row
