"""A text that the model fails on must not take the others of its batch along, nor the worker."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from streamer.events import Verdict
from streamer.ports import Judge
from streamer.text import Encoded

log = logging.getLogger(__name__)


class Careful:
    """Judges a batch; where that fails, each of its reviews alone.

    Not thread-safe: it is called from the one thread that may ask the model.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._proven: Encoded | None = None  # A review that the model has judged before.

    def __call__(self, reviews: Sequence[Encoded]) -> list[Verdict | Exception]:
        """For each review its verdict, or what the model raised for it.

        Raises what the model raised where it fails on all of the reviews, and on one that it has judged before: then
        the fault is not a text's.
        """
        try:
            verdicts = self._judge(reviews)
        except Exception as error:
            # Not the message: it might quote the text.
            log.warning("the model raised %s for a batch of %d, judging each alone", type(error).__name__, len(reviews))
            return self._each(reviews)
        if reviews:
            self._proven = reviews[0]
        return list(verdicts)

    def _each(self, reviews: Sequence[Encoded]) -> list[Verdict | Exception]:
        judged: list[Verdict | Exception] = []
        for review in reviews:
            try:
                judged.extend(self._judge([review]))
                self._proven = review
            except Exception as error:
                judged.append(error)
        if self._proven is not None and all(isinstance(verdict, Exception) for verdict in judged):
            self._judge([self._proven])
        return judged
