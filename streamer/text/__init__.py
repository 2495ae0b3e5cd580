"""Converts a review's text to token ids: the same functions for training and serving.

    text -> visible_text -> normalise -> split_all (segment) -> Vocabulary -> Encoded

jieba 0.42.1 is the reference segmentation. rjieba has the same dictionary in Rust, is many times faster and
releases the GIL. `segment` uses rjieba where the two agree, and jieba itself where they do not.

Each step also accepts many texts at once, since a call costs more than the work on one short text. The texts are
joined, and the result is the same as for each text alone.
"""

from streamer.text.markup import Markup, visible_text
from streamer.text.normalisation import NORMALISATION, normalise, normalise_all
from streamer.text.segmentation import segment, segment_all, segment_reference, warm_up
from streamer.text.vocabulary import (
    PAD,
    PAD_ID,
    UNKNOWN,
    UNKNOWN_ID,
    Encoded,
    Vocabulary,
    bound,
    head_and_tail,
    tokens_of,
    visible_tokens,
)

__all__ = [
    "NORMALISATION",
    "PAD",
    "PAD_ID",
    "UNKNOWN",
    "UNKNOWN_ID",
    "Encoded",
    "Markup",
    "Vocabulary",
    "bound",
    "head_and_tail",
    "normalise",
    "normalise_all",
    "segment",
    "segment_all",
    "segment_reference",
    "tokens_of",
    "visible_text",
    "visible_tokens",
    "warm_up",
]
