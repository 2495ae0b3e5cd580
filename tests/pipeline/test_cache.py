"""Verdicts that come again."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.events import Prediction
from streamer.pipeline.cache import PredictionCache
from streamer.text import Encoded


def encoded(number: int) -> Encoded:
    return Encoded(number.to_bytes(8, "little"), (str(number),), False)


def prediction(number: int) -> Prediction:
    return Prediction("positive", 0.9, 0.9, number, False)


def test_the_same_tokens_have_the_same_verdict() -> None:
    """The same ids of other words have not: evidence quotes the words."""
    cache = PredictionCache(2)
    cache.put(encoded(1), prediction(1))
    assert cache.get(encoded(1)) == prediction(1)
    assert cache.get(Encoded(encoded(1).ids, ("other",), False)) is None
    assert cache.get(Encoded(encoded(1).ids, ("1",), True)) is None


def test_a_cache_without_room_keeps_nothing() -> None:
    """It is how the cache is turned off."""
    cache = PredictionCache(0)
    cache.put(encoded(1), prediction(1))
    assert (len(cache), cache.get(encoded(1))) == (0, None)


@settings(deadline=None)
@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=60))
def test_the_one_not_asked_for_the_longest_goes_first(entries: int, steps: list[tuple[bool, int]]) -> None:
    """Against the plainest cache that does so; verdicts are put in after they were missed, as the pipeline does."""
    cache, model = PredictionCache(entries), OrderedDict[int, None]()
    for put, number in steps:
        if number in model:
            assert cache.get(encoded(number)) == prediction(number)
            model.move_to_end(number)
        elif put:
            cache.put(encoded(number), prediction(number))
            model[number] = None
            if len(model) > entries:
                model.popitem(last=False)
        else:
            assert cache.get(encoded(number)) is None
        assert len(cache) == len(model) <= entries
