"""Predictions kept for texts that come again: real streams repeat themselves."""

from __future__ import annotations

from collections import OrderedDict

from streamer.events import Prediction
from streamer.text import Encoded


class PredictionCache:
    """At most `entries` predictions; the least recently used one is dropped first."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._predictions: OrderedDict[Encoded, Prediction] = OrderedDict()

    def __len__(self) -> int:
        return len(self._predictions)

    def get(self, encoded: Encoded) -> Prediction | None:
        """What was predicted for the same tokens before."""
        prediction = self._predictions.get(encoded)
        if prediction is not None:
            self._predictions.move_to_end(encoded)
        return prediction

    def put(self, encoded: Encoded, prediction: Prediction) -> None:
        """Keep a prediction; the oldest is dropped where there is no room."""
        if not self._entries:
            return
        self._predictions[encoded] = prediction
        if len(self._predictions) > self._entries:
            self._predictions.popitem(last=False)
