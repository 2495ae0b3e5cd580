"""Measures the cost of batches on a device after a model is loaded, so that batches can be chosen by cost."""

from __future__ import annotations

import time
from collections.abc import Sequence

from streamer.pipeline.batching import CostTable
from streamer.ports import Predict
from streamer.text import Encoded

# Batches are padded to one of these sizes: the CPU's matrix units are slow with odd sizes.
_SIZES = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
# A recurrent network takes one step per token: between these lengths, the time is linear.
_LENGTHS = (4, 32, 128, 512)


def padded_batch_size(size: int) -> int:
    """The number of rows that a batch of `size` reviews is padded to."""
    return next((rows for rows in _SIZES if rows >= size), size)


def measure_costs(
    predict: Predict, max_tokens: int, max_reviews: int, max_padded_tokens: int, budget: float = 3.0
) -> CostTable:
    """Time batches of several lengths and sizes on the device of `predict`, in about half a second on an idle CPU.

    max_tokens: the longest review that the model accepts. Each figure is the better of two runs, or a single run after
    `budget` seconds. Shapes above `max_padded_tokens` are never used; their cost is assumed proportional.
    """
    lengths = (*(length for length in _LENGTHS if length < max_tokens), max_tokens)
    sizes = tuple(size for size in _SIZES if size <= padded_batch_size(max_reviews))
    until = time.perf_counter() + budget
    rows = []
    for length in lengths:
        row: list[float] = []
        for size in sizes:
            if length * size > max_padded_tokens and row:
                row.append(row[-1] * size / sizes[len(row) - 1])
            else:
                row.append(_seconds(predict, length, size, 2 if time.perf_counter() < until else 1))
        rows.append(row)
    return CostTable(lengths, sizes, smoothed(rows))


def _seconds(predict: Predict, length: int, size: int, runs: int) -> float:
    review = Encoded(b"\1\0\0\0\0\0\0\0" * length, ("",) * length, False)
    best = float("inf")
    for _ in range(runs):
        begin = time.perf_counter()
        predict([review] * size)
        best = min(best, time.perf_counter() - begin)
    return best


def smoothed(rows: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    """Costs without upward outliers: a batch costs at most as much as any longer or larger one.

    It could always be padded to that one; it only looks more expensive if the machine was busy.
    """
    best = [list(row) for row in rows]
    for i in reversed(range(len(best))):
        for j in reversed(range(len(best[i]))):
            below = best[i + 1][j] if i + 1 < len(best) else best[i][j]
            right = best[i][j + 1] if j + 1 < len(best[i]) else best[i][j]
            best[i][j] = min(best[i][j], below, right)
    return tuple(tuple(row) for row in best)
