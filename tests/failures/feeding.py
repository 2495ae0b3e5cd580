"""Reviews that keep coming at a steady rate, whatever happens to the brokers meanwhile."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from tests.checkers import Position
from tests.jobs import Job, item
from tests.reading import Item, fill
from tests.texts import reviews

_SHORT = 60  # Characters. Long reviews test the model; here it is the flow that counts.
_POOL = 20_000
_TURNS = 50  # Times a second that reviews are handed over.
_PATIENCE_SECONDS = 900.0  # From its start, for all to be there; brokers that are away are tried again until then.


@cache
def short_reviews() -> tuple[str, ...]:
    """Real reviews that are short."""
    return tuple(text for text in reviews(3 * _POOL) if len(text) <= _SHORT)[:_POOL]


def short_items(count: int, first: int = 0) -> Iterator[Item]:
    """So many short reviews, with keys."""
    texts = short_reviews()
    return (item(number, texts[number % len(texts)]) for number in range(first, first + count))


class Feeder:
    """Writes short reviews from its start until `stop`, by an idempotent producer: each is there once, in order."""

    def __init__(self, job: Job, rate: int) -> None:
        self.sent = 0  # Handed to the producer.
        self._rate = rate
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(1, "feeder")
        self._filling = self._pool.submit(
            fill, job.bootstrap, job.input, self._items(), idempotent=True, timeout_s=_PATIENCE_SECONDS
        )

    def stop(self) -> dict[Position, bytes | None]:
        """End the stream, and wait until all of it is acknowledged; returns where it is. Raises what `fill` raises."""
        self._stopping.set()
        produced = self._filling.result()
        self._pool.shutdown()
        return produced

    def _items(self) -> Iterator[Item]:
        texts, begin = short_reviews(), time.monotonic()
        turn = max(1, self._rate // _TURNS)
        for number in itertools.count():
            if number % turn == 0:
                self._stopping.wait(max(0.0, begin + number / self._rate - time.monotonic()))
            if self._stopping.is_set():
                return
            self.sent = number + 1
            yield item(number, texts[number % len(texts)])
