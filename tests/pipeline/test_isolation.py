"""One text that the model fails on, and a model that fails on all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamer.events import Prediction
from streamer.pipeline.isolation import IsolatingPredictor
from streamer.text import Encoded


def review(token: str) -> Encoded:
    return Encoded(b"\2" + bytes(7), (token,), False)


GOOD, OTHER, BAD = review("good"), review("other"), review("bad")
PREDICTION = Prediction("positive", 0.9, 0.9, 1, False)


class Model:
    """Raises for the texts that it is told to."""

    def __init__(self, *hated: Encoded) -> None:
        self.hated = set(hated)
        self.asked: list[int] = []

    def __call__(self, reviews: Sequence[Encoded]) -> list[Prediction]:
        self.asked.append(len(reviews))
        if self.hated & set(reviews):
            raise RuntimeError("index out of range")
        return [PREDICTION for _ in reviews]


def test_a_batch_that_succeeds_is_judged_once() -> None:
    """Nothing is asked twice."""
    model = Model()
    assert IsolatingPredictor(model)([GOOD, OTHER]) == [PREDICTION, PREDICTION]
    assert model.asked == [2]


def test_one_text_that_fails_does_not_fail_the_others() -> None:
    """Each in its place."""
    predictions = IsolatingPredictor(Model(BAD))([GOOD, BAD, OTHER])
    assert (predictions[0], predictions[2]) == (PREDICTION, PREDICTION)
    assert isinstance(predictions[1], RuntimeError)


def test_a_text_that_fails_alone_is_its_own_fault() -> None:
    """As long as the model still judges what it has judged before."""
    predict = IsolatingPredictor(Model(BAD))
    predict([GOOD])
    (prediction,) = predict([BAD])
    assert isinstance(prediction, RuntimeError)


def test_a_model_that_fails_on_everything_is_not_taken_for_bad_texts() -> None:
    """A broken device must not turn a topic into dead letters."""
    model = Model()
    predict = IsolatingPredictor(model)
    predict([GOOD])
    model.hated = {GOOD, OTHER, BAD}
    with pytest.raises(RuntimeError, match="index out of range"):
        predict([OTHER, BAD])
