"""The corpus: encoded reviews in splits, held as arrays and kept in a run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

SplitName = Literal["train", "dev", "neutral", "test"]
LABELLED_SPLITS: tuple[SplitName, ...] = ("train", "dev", "test")  # Those with the model's classes.
SPLITS: tuple[SplitName, ...] = ("train", "dev", "neutral", "test")  # Neutral: dev's reviews of neither class.


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """What became of a source's reviews; `read` is the sum of the others."""

    read: int
    empty: int  # No token left after normalisation.
    duplicate: int  # Seen before, here or in an earlier source.
    conflicting: int  # Their text comes with two labels.
    train: int
    dev: int
    test: int
    neutral: int = 0  # In the neutral split.
    neutral_dropped: int = 0  # Neutral ones that would be in train or test.
    overlap: int = 0  # Of a fixed split, dropped because another split has their text.


@dataclass(frozen=True, slots=True)
class Leak:
    """How many texts of a source, in the split `part`, are in another split too."""

    source: str
    part: SplitName
    other: SplitName
    texts: int


@dataclass(frozen=True, slots=True)
class Split:
    """Encoded reviews: review n has the ids `ids[starts[n] : starts[n + 1]]`.

    ids: int32, all reviews joined. starts: int64 [N + 1]. positive: bool [N]. source: int64 [N], an index
    into `Corpus.sources`. seen: bool [N], whether the text of a test review is in train, dev or neutral too; all
    False when not given. Those of the split "neutral" are all "not positive" and must never be trained on.
    """

    ids: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    source: npt.NDArray[np.int64]
    seen: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    def __post_init__(self) -> None:
        if not len(self.seen):
            object.__setattr__(self, "seen", np.zeros(len(self.positive), np.bool_))

    def __len__(self) -> int:
        return len(self.positive)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each review: int64 [N]."""
        return np.diff(self.starts)

    def padded(self, reviews: npt.NDArray[np.int64]) -> torch.Tensor:
        """The ids of some reviews, padded at the end: int64 [T, B]."""
        starts, lengths = self.starts[reviews], self.lengths[reviews]
        padded = np.zeros((len(reviews), int(lengths.max())), np.int64)
        for row, start, length in zip(padded, starts, lengths, strict=True):
            row[:length] = self.ids[start : start + length]
        return torch.from_numpy(padded.T.copy())


@dataclass(frozen=True, slots=True)
class Corpus:
    """Everything that training needs from the data."""

    digest: str  # Of the recipe and of the files' bytes: the same digest, the same corpus.
    sources: tuple[str, ...]
    vocabulary: tuple[str, ...]
    splits: dict[SplitName, Split]  # All four; only the neutral one may be empty.
    counts: dict[str, SourceCounts]  # By source.
    leaks: int  # Texts that are in more than one split: 0, unless a source is told to keep them.
    leak_report: tuple[Leak, ...] = ()  # The same by source and pair of splits.

    def save(self, folder: Path) -> None:
        """Write `prepared.npz` and, last, `prepared.json`."""
        arrays = {
            f"{name}_{field}": array for name, split in self.splits.items() for field, array in asdict(split).items()
        }
        np.savez(folder / "prepared.npz", allow_pickle=False, **arrays)
        content = {
            "digest": self.digest,
            "leaks": self.leaks,
            "leak_report": [asdict(leak) for leak in self.leak_report],
            "counts": {name: asdict(counts) for name, counts in self.counts.items()},
            "sources": self.sources,
            "vocabulary": self.vocabulary,
        }
        (folder / "prepared.json").write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def load_corpus(folder: Path) -> Corpus:
    """Read what `Corpus.save` wrote, in older versions too. Raises FileNotFoundError when there is nothing.

    The digest says whether it is still of use.
    """
    content = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
    with np.load(folder / "prepared.npz", allow_pickle=False) as arrays:
        splits = {name: _load_split(arrays, name) for name in SPLITS}
    return Corpus(
        digest=content["digest"],
        sources=tuple(content["sources"]),
        vocabulary=tuple(content["vocabulary"]),
        splits=splits,
        counts={name: SourceCounts(**counts) for name, counts in content["counts"].items()},
        leaks=content["leaks"],
        leak_report=tuple(Leak(**leak) for leak in content.get("leak_report", ())),
    )


def _load_split(arrays: Mapping[str, npt.NDArray[Any]], name: SplitName) -> Split:
    fields = (name + suffix for suffix in ("_ids", "_starts", "_positive", "_source", "_seen"))
    found = [arrays[field] for field in fields if field in arrays]
    return Split(*found) if found else empty_split()


def empty_split() -> Split:
    """A split without reviews."""
    return Split(np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.bool_), np.zeros(0, np.int64))
