"""Other servers' rules for which reviews go into the next batch, with `Bucketer`'s interface.

Written from their sources, and asked whenever the server is free, as ours is: what they do beyond the choice of a batch
(prefetching, delays) is left out for all alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from streamer.pipeline.batching import Batch


class Waiting(NamedTuple):
    """A review that waits: its tokens, when it came in seconds, its number."""

    length: int
    since: float
    item: int


class ArrivalOrder:
    """The oldest reviews up to a fixed number, padded to the longest of them.

    What dynamic batchers do that know of no lengths: Triton's, TorchServe's.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: int, length: int, now: float) -> None:
        """Let a review wait."""
        self._waiting.append(Waiting(length, now, item))

    def next_batch(self, now: float) -> Batch[int] | None:
        """The oldest."""
        return _batch([self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))])


class SortedWindow:
    """Whole batches of the oldest reviews, eight at most, sorted by length together and served shortest first.

    infinity's rule (infinity_emb/inference/queue.py, `pop_optimal_batches`; `max_n_batches = 8` in batch_handler.py).
    What comes meanwhile waits until all of the window is served. With less than two full batches there, arrival order.
    """

    def __init__(self, size: int, windows: int = 8) -> None:
        self._size = size
        self._windows = windows
        self._waiting: deque[Waiting] = deque()
        self._cut: deque[list[Waiting]] = deque()  # The window's batches.

    def __len__(self) -> int:
        return len(self._waiting) + sum(map(len, self._cut))

    def add(self, item: int, length: int, now: float) -> None:
        """Let a review wait."""
        self._waiting.append(Waiting(length, now, item))

    def next_batch(self, now: float) -> Batch[int] | None:
        """The next of the window, a new one when it is used up."""
        if not self._cut:
            batches = min(self._windows, max(1, len(self._waiting) // self._size))
            window = [self._waiting.popleft() for _ in range(min(batches * self._size, len(self._waiting)))]
            if batches > 1:
                window.sort(key=lambda waiting: waiting.length)  # Stable, as theirs is.
            self._cut.extend(window[begin : begin + self._size] for begin in range(0, len(window), self._size))
        return _batch(self._cut.popleft() if self._cut else [])


class Edges:
    """Buckets between fixed lengths; the next batch is of the bucket whose first review has waited longest.

    Fixed edges: TensorFlow's `bucket_by_sequence_length`, batch-inference's `BucketSeqBatcher`. A bucket's batch size
    is the budget over its edge; padded to the batch's longest review (TensorFlow's default), or up to the edge, as
    compilers of static shapes want it (AWS Neuron's bucketing, vLLM on Gaudi). Reviews beyond the last edge are in
    buckets of their own length. Training pipelines wait until a bucket is full; a server that has nothing else to do
    does not.
    """

    def __init__(self, edges: Sequence[int], max_reviews: int, max_padded_tokens: int, to_edge: bool = False) -> None:
        self._edges = sorted(edges)
        self._max_reviews = max_reviews
        self._max_padded_tokens = max_padded_tokens
        self._to_edge = to_edge
        self._buckets: dict[int, deque[Waiting]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, item: int, length: int, now: float) -> None:
        """Let a review wait in its bucket."""
        at = bisect_left(self._edges, length)
        edge = self._edges[at] if at < len(self._edges) else length
        self._buckets.setdefault(edge, deque()).append(Waiting(length, now, item))

    def next_batch(self, now: float) -> Batch[int] | None:
        """As many of the oldest review's bucket as fit."""
        if not self._buckets:
            return None
        edge = min(self._buckets, key=lambda edge: self._buckets[edge][0].since)
        bucket = self._buckets[edge]
        size = min(self._max_reviews, max(1, self._max_padded_tokens // edge), len(bucket))
        taken = [bucket.popleft() for _ in range(size)]
        if not bucket:
            del self._buckets[edge]
        return _batch(taken, edge if self._to_edge else 0)


def _batch(taken: Sequence[Waiting], padded_to: int = 0) -> Batch[int] | None:
    if not taken:
        return None
    lengths = [waiting.length for waiting in taken]
    longest = max(padded_to, *lengths)
    return Batch([waiting.item for waiting in taken], longest, sum(lengths), min(waiting.since for waiting in taken))
