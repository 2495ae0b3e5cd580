"""Batches of reviews of similar lengths, by their numbers: for training at random, for inference in order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

# Reviews are sorted by length within windows of this many batches: enough to leave little padding, few enough that
# a review is batched with others in each epoch.
_WINDOW = 50


def training_batches(
    lengths: npt.NDArray[np.int64], size: int, random: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """All reviews once, in random batches of at most `size` reviews of about the same length."""
    order = random.permutation(len(lengths))
    batches: list[npt.NDArray[np.int64]] = []
    for begin in range(0, len(order), size * _WINDOW):
        window = order[begin : begin + size * _WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches.extend(window[start : start + size] for start in range(0, len(window), size))
    return [batches[index] for index in random.permutation(len(batches))]


def inference_batches(lengths: npt.NDArray[np.int64], tokens: int = 16_384) -> Iterator[npt.NDArray[np.int64]]:
    """All reviews once, shortest first, in batches of at most `tokens` padded tokens (or of one review)."""
    order = np.argsort(lengths, kind="stable")
    begin = 0
    for index in range(len(order)):
        if (index + 1 - begin) * int(lengths[order[index]]) > tokens and index > begin:
            yield order[begin:index]
            begin = index
    if len(order):
        yield order[begin:]
