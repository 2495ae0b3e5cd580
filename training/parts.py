"""Encoded reviews: held as arrays, kept in a run's folder, cut into batches of like lengths."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

PartName = Literal["train", "dev", "neutral", "test"]
PARTS: tuple[PartName, ...] = ("train", "dev", "test")  # Those with two classes.
ALL_PARTS: tuple[PartName, ...] = ("train", "dev", "neutral", "test")  # Neutral: dev's reviews of no class.

# Reviews are sorted by length within windows of this many batches: enough to leave little padding, few
# enough that a batch's company still changes from epoch to epoch.
_WINDOW = 50


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of a source's reviews; `read` is the sum of the rest."""

    read: int
    empty: int  # No token left after normalisation.
    duplicate: int  # Seen before, here or in an earlier source.
    conflicting: int  # Their text comes with two labels.
    train: int
    dev: int
    test: int
    neutral: int = 0  # In the neutral part.
    neutral_dropped: int = 0  # Neutral ones that would be in train or test.
    overlap: int = 0  # Of a fixed part, dropped because another part has their text.


@dataclass(frozen=True, slots=True)
class Leak:
    """How many texts of a source, in one of its parts, are in another part too."""

    source: str
    part: PartName
    other: PartName
    texts: int


@dataclass(frozen=True, slots=True)
class Part:
    """Encoded reviews: review n has the ids `ids[starts[n] : starts[n + 1]]`.

    ids: int32, all reviews joined. starts: int64 [N + 1]. positive: bool [N]. source: int64 [N], an index
    into `Prepared.sources`. seen: bool [N], whether the text of a test review is in train, dev or neutral too; all
    False when not given. Those of the part "neutral" are all "not positive" and must never be trained on.
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
    parts: dict[PartName, Part]  # All four; only the neutral one may be empty.
    counts: dict[str, Counts]  # By source.
    leaks: int  # Texts that are in more than one part: 0, unless a source is told to keep them.
    leak_report: tuple[Leak, ...] = ()  # The same by source and pair of parts.

    def save(self, folder: Path) -> None:
        """Write `prepared.npz` and, last, `prepared.json`."""
        arrays = {
            f"{name}_{field}": array for name, part in self.parts.items() for field, array in asdict(part).items()
        }
        np.savez(folder / "prepared.npz", allow_pickle=False, **arrays)
        about = {
            "digest": self.digest,
            "leaks": self.leaks,
            "leak_report": [asdict(leak) for leak in self.leak_report],
            "counts": {name: asdict(counts) for name, counts in self.counts.items()},
            "sources": self.sources,
            "vocabulary": self.vocabulary,
        }
        (folder / "prepared.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")


def load_prepared(folder: Path) -> Prepared:
    """Read what `Prepared.save` wrote, also before there were neutral parts; raises FileNotFoundError when nothing was.

    The digest tells whether it is still of use.
    """
    about = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
    with np.load(folder / "prepared.npz", allow_pickle=False) as arrays:
        parts = {name: _load_part(arrays, name) for name in ALL_PARTS}
    return Prepared(
        digest=about["digest"],
        sources=tuple(about["sources"]),
        vocabulary=tuple(about["vocabulary"]),
        parts=parts,
        counts={name: Counts(**counts) for name, counts in about["counts"].items()},
        leaks=about["leaks"],
        leak_report=tuple(Leak(**leak) for leak in about.get("leak_report", ())),
    )


def _load_part(arrays: Mapping[str, npt.NDArray[Any]], name: PartName) -> Part:
    fields = (name + suffix for suffix in ("_ids", "_starts", "_positive", "_source", "_seen"))
    found = [arrays[field] for field in fields if field in arrays]
    return Part(*found) if found else no_reviews()


def no_reviews() -> Part:
    """A part with nothing in it."""
    return Part(np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.bool_), np.zeros(0, np.int64))


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
