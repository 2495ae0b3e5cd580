"""A text that the model fails on must not take the others of its batch along, nor the worker."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from streamer.events import Prediction
from streamer.ports import Predict
from streamer.text import Encoded

log = logging.getLogger(__name__)


class IsolatingPredictor:
    """Predicts a batch; where that fails, each of its reviews alone.

    Not thread-safe: it is called from the one thread that may run the model.
    """

    def __init__(self, predict: Predict) -> None:
        self._predict_batch = predict
        self._proven: Encoded | None = None  # A review that the model has handled before.

    def __call__(self, reviews: Sequence[Encoded]) -> list[Prediction | Exception]:
        """For each review its prediction, or what the model raised for it.

        Raises what the model raised where it fails on all of the reviews and on one that it has handled before: then
        the fault is the model's, not a text's.
        """
        try:
            predictions = self._predict_batch(reviews)
        except Exception as error:
            # Not the message: it might quote the text.
            log.warning("the model raised %s for a batch of %d, trying each alone", type(error).__name__, len(reviews))
            return self._each(reviews)
        if reviews:
            self._proven = reviews[0]
        return list(predictions)

    def _each(self, reviews: Sequence[Encoded]) -> list[Prediction | Exception]:
        predicted: list[Prediction | Exception] = []
        for review in reviews:
            try:
                predicted.extend(self._predict_batch([review]))
                self._proven = review
            except Exception as error:
                predicted.append(error)
        if self._proven is not None and all(isinstance(prediction, Exception) for prediction in predicted):
            self._predict_batch([self._proven])
        return predicted
