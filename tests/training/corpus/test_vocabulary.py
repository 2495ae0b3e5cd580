"""The vocabulary is chosen by how often characters and tokens occur."""

from __future__ import annotations

from streamer.text import PAD, UNKNOWN
from training.corpus.vocabulary import build_vocabulary


def test_the_vocabulary_keeps_characters_then_the_commonest_tokens() -> None:
    """Words that did not make it fall back to their characters."""
    train = [["杯子", "cup"], ["杯垫", "cup"], ["杯子", "desk"], ["cup"]]
    assert build_vocabulary(train, size=6, characters=2) == (PAD, UNKNOWN, "cup", "杯", "子", "杯子")
    assert build_vocabulary(train, size=100, characters=9) == (PAD, UNKNOWN, "cup", "杯子")
