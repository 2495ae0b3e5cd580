"""Encoded reviews: held as arrays, kept in a run's folder, cut into batches of like lengths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

PartName = Literal["train", "dev", "test"]
PARTS: tuple[PartName, ...] = ("train", "dev", "test")

# Reviews are sorted by length within windows of this many batches: enough to leave little padding, few
# enough that a batch's company still changes from epoch to epoch.
_WINDOW = 50


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of a source's reviews; `read` is the sum of the rest."""

    read: int
    empty: int  # No token left after normalisation.
    duplicate: int  # Seen before, here or in an earlier source.
    conflicting: int  # Their text comes with both labels.
    train: int
    dev: int
    test: int


@dataclass(frozen=True, slots=True)
class Part:
    """Encoded reviews: review n has the ids `ids[starts[n] : starts[n + 1]]`.

    ids: int32, all reviews joined. starts: int64 [N + 1]. positive: bool [N]. source: int64 [N], an index
    into `Prepared.sources`.
    """

    ids: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    source: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positive)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each review: int64 [N]."""
        return np.diff(self.starts)

    def stack(self, reviews: npt.NDArray[np.int64]) -> torch.Tensor:
        """The ids of some reviews, padded at the end: int64 [T, B]."""
        starts, lengths = self.starts[reviews], self.lengths[reviews]
        padded = np.zeros((len(reviews), int(lengths.max())), np.int64)
        for row, start, length in zip(padded, starts, lengths, strict=True):
            row[:length] = self.ids[start : start + length]
        return torch.from_numpy(padded.T.copy())


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that training needs of the data."""

    digest: str  # Of the recipe and of the files' bytes: the same digest, the same contents.
    sources: tuple[str, ...]
    vocabulary: tuple[str, ...]
    parts: dict[PartName, Part]
    counts: dict[str, Counts]  # By source.
    leaks: int  # Texts that are in more than one part: 0, or the split is wrong.

    def save(self, folder: Path) -> None:
        """Write `prepared.npz` and, last, `prepared.json`."""
        arrays = {
            f"{name}_{field}": array for name, part in self.parts.items() for field, array in asdict(part).items()
        }
        np.savez(folder / "prepared.npz", allow_pickle=False, **arrays)
        about = {
            "digest": self.digest,
            "leaks": self.leaks,
            "counts": {name: asdict(counts) for name, counts in self.counts.items()},
            "sources": self.sources,
            "vocabulary": self.vocabulary,
        }
        (folder / "prepared.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")


def load_prepared(folder: Path) -> Prepared:
    """Read what `Prepared.save` wrote; raises FileNotFoundError when nothing was."""
    about = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
    with np.load(folder / "prepared.npz", allow_pickle=False) as arrays:
        parts = {
            name: Part(*(arrays[f"{name}_{field}"] for field in ("ids", "starts", "positive", "source")))
            for name in PARTS
        }
    return Prepared(
        digest=about["digest"],
        sources=tuple(about["sources"]),
        vocabulary=tuple(about["vocabulary"]),
        parts=parts,
        counts={name: Counts(**counts) for name, counts in about["counts"].items()},
        leaks=about["leaks"],
    )


def training_batches(
    lengths: npt.NDArray[np.int64], size: int, random: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """All reviews once, in random batches of at most `size` whose reviews are of about the same length."""
    order = random.permutation(len(lengths))
    batches: list[npt.NDArray[np.int64]] = []
    for begin in range(0, len(order), size * _WINDOW):
        window = order[begin : begin + size * _WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches.extend(window[start : start + size] for start in range(0, len(window), size))
    return [batches[index] for index in random.permutation(len(batches))]


def reading_batches(lengths: npt.NDArray[np.int64], tokens: int = 16_384) -> Iterator[npt.NDArray[np.int64]]:
    """All reviews once, shortest first, in batches of at most `tokens` padded tokens (or of one review)."""
    order = np.argsort(lengths, kind="stable")
    begin = 0
    for index in range(len(order)):
        if (index + 1 - begin) * int(lengths[order[index]]) > tokens and index > begin:
            yield order[begin:index]
            begin = index
    if len(order):
        yield order[begin:]
