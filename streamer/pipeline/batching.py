"""Which reviews go into the next batch: one bucket for each token count, the cheapest batch first, none too late.

The bucketer is work-conserving: whenever inference is free and something waits, there is a batch. A padded
batch costs what its longest review costs, so a batch is cut from neighbouring lengths. Which one:

- when the oldest waiting review has waited longer than `max_wait`, the cheapest batch that contains it;
- else the cheapest of all.

"Cheapest" means the lowest ratio of cost to worth. The cost of a batch comes from a measured table. Its worth is what
its reviews would cost in the best batches of their own lengths. (By cost per review alone, padding would look like a
saving: a long review would be batched with every short one, at its own length.) Under a deep backlog every review is
late, so each batch is cut around the length of the oldest one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class CostTable:
    """Seconds that the model takes for a batch, measured at some lengths and sizes.

    lengths: tokens, ascending; sizes: reviews, ascending; seconds[i][j] at lengths[i] and sizes[j].
    Between lengths it is linear; a size in between costs what the next larger does, since the model
    pads batches to one of these sizes.
    """

    lengths: tuple[int, ...]
    sizes: tuple[int, ...]
    seconds: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if list(self.lengths) != sorted(set(self.lengths)) or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError("lengths and sizes must ascend")
        if len(self.seconds) != len(self.lengths) or {len(row) for row in self.seconds} != {len(self.sizes)}:
            raise ValueError("seconds must have a row per length and a column per size")

    def plus(self, seconds: float) -> CostTable:
        """The same with so much more for every batch: what it costs besides the model."""
        return CostTable(self.lengths, self.sizes, tuple(tuple(s + seconds for s in row) for row in self.seconds))

    def cost(self, length: int, size: int) -> float:
        """Seconds for `size` reviews of `length` tokens; beyond the table in proportion."""
        column = min(bisect_left(self.sizes, size), len(self.sizes) - 1)
        beyond = max(1.0, size / self.sizes[-1])
        right = bisect_left(self.lengths, length)
        if right == 0:
            return beyond * self.seconds[0][column]
        if right == len(self.lengths):
            return beyond * self.seconds[-1][column] * length / self.lengths[-1]
        left = right - 1
        share = (length - self.lengths[left]) / (self.lengths[right] - self.lengths[left])
        low, high = self.seconds[left][column], self.seconds[right][column]
        return beyond * (low + share * (high - low))


@dataclass(frozen=True, slots=True)
class Batch(Generic[Item]):
    """Reviews to be predicted together; from `Bucketer`, longest first.

    length: tokens of the longest. tokens: real tokens in all, without padding.
    oldest: when the review that waited longest was added.
    """

    items: Sequence[Item]
    length: int
    tokens: int
    oldest: float

    def __len__(self) -> int:
        return len(self.items)


class Policy(Protocol[Item]):
    """Decides what goes into the next batch."""

    def __len__(self) -> int: ...
    def add(self, item: Item, length: int, now: float) -> None: ...
    def next_batch(self, now: float) -> Batch[Item] | None: ...


class TokenBudget(Generic[Item]):
    """Bucketing off: the oldest reviews first, as long as the longest of them times their number stays within bounds.

    For reviews that are all of about the same length, and to see what bucketing is worth. It is the rule of
    text-embeddings-inference (core/src/queue.rs).
    """

    def __init__(self, max_reviews: int, max_padded_tokens: int) -> None:
        """The bounds are those of `Bucketer`."""
        self._max_reviews = max_reviews
        self._max_padded_tokens = max_padded_tokens
        self._waiting: deque[tuple[float, int, Item]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: Item, length: int, now: float) -> None:
        """Let a review of `length` tokens (at least 1) wait for its batch."""
        self._waiting.append((now, length, item))

    def next_batch(self, now: float) -> Batch[Item] | None:
        """The oldest that fit; None only when nothing waits. A review that is larger than the budget goes alone."""
        if not self._waiting:
            return None
        oldest = self._waiting[0][0]
        items: list[Item] = []
        longest = tokens = 0
        while self._waiting and len(items) < self._max_reviews:
            _, length, item = self._waiting[0]
            if items and max(longest, length) * (len(items) + 1) > self._max_padded_tokens:
                break
            self._waiting.popleft()
            items.append(item)
            longest, tokens = max(longest, length), tokens + length
        return Batch(items, longest, tokens, oldest)


class Bucketer(Generic[Item]):
    """Waiting reviews by token count. Pure: the caller says what time it is, in seconds on any clock."""

    def __init__(self, costs: CostTable, max_wait: float, max_reviews: int, max_padded_tokens: int) -> None:
        """max_wait in seconds; a batch has at most `max_reviews`, and length times size at most
        `max_padded_tokens`, except that a single review is always a batch."""
        self._costs = costs
        self._max_wait = max_wait
        self._max_reviews = max_reviews
        self._max_padded_tokens = max_padded_tokens
        self._buckets: dict[int, deque[tuple[float, Item]]] = {}
        self._waiting = 0
        self._shares: dict[int, float] = {}

    def __len__(self) -> int:
        return self._waiting

    def add(self, item: Item, length: int, now: float) -> None:
        """Let a review of `length` tokens (at least 1) wait for its batch."""
        bucket = self._buckets.get(length)
        if bucket is None:
            bucket = self._buckets[length] = deque()
        bucket.append((now, item))
        self._waiting += 1

    def next_batch(self, now: float) -> Batch[Item] | None:
        """Take out the best batch; None only when nothing waits."""
        if not self._waiting:
            return None
        lengths = sorted(self._buckets)
        oldest = min(lengths, key=lambda length: self._buckets[length][0][0])
        late = now - self._buckets[oldest][0][0] >= self._max_wait
        return self._take(*self._choose(lengths, oldest if late else None))

    def _choose(self, lengths: list[int], oldest: int | None) -> tuple[int, int]:
        """Length and size of the batch with the lowest ratio of cost to worth; with the head of `oldest`, if given."""
        counts = [len(self._buckets[length]) for length in lengths]
        up_to = [0, *accumulate(counts)]  # Waiting reviews shorter than lengths[i].
        shares = [self._share(length) for length in lengths]
        worth = [0.0, *accumulate(count * share for count, share in zip(counts, shares, strict=True))]
        best = (float("inf"), 0, 0)
        first = 0 if oldest is None else lengths.index(oldest)
        for index in range(first, len(lengths)):
            length, waiting = lengths[index], up_to[index + 1]
            most = min(waiting, self._most(length))
            # Longer reviews are taken first: this many before the oldest one.
            least = 1 if oldest is None else waiting - up_to[first + 1] + 1
            if least > most:
                break
            for size in self._sizes(least, most):
                left = waiting - size  # The shortest stay behind.
                at = bisect_right(up_to, left) - 1
                value = worth[index + 1] - worth[at] - (left - up_to[at]) * shares[min(at, index)]
                best = min(best, (self._costs.cost(length, size) / value, length, size))
        return best[1], best[2]

    def _sizes(self, least: int, most: int) -> set[int]:
        """Sizes to try: the measured ones in between, since a batch is padded to one of them, and both ends."""
        sizes = self._costs.sizes
        return {least, *sizes[bisect_right(sizes, least) : bisect_right(sizes, most)], most}

    def _most(self, length: int) -> int:
        return min(self._max_reviews, max(1, self._max_padded_tokens // length))

    def _share(self, length: int) -> float:
        """Seconds for a review of this length in the best batch that there can be."""
        share = self._shares.get(length)
        if share is None:
            sizes = self._sizes(1, self._most(length))
            share = self._shares[length] = min(self._costs.cost(length, size) / size for size in sizes)
        return share

    def _take(self, length: int, size: int) -> Batch[Item]:
        """Take `size` reviews, from `length` downwards, the oldest of each length first."""
        items: list[Item] = []
        tokens = 0
        arrived = float("inf")
        for shorter in sorted((at for at in self._buckets if at <= length), reverse=True):
            bucket = self._buckets[shorter]
            while bucket and len(items) < size:
                arrival, item = bucket.popleft()
                arrived = min(arrived, arrival)
                items.append(item)
                tokens += shorter
            if not bucket:
                del self._buckets[shorter]
            if len(items) == size:
                break
        self._waiting -= size
        return Batch(items, length, tokens, arrived)
