"""The labels of the trained model, and how data sets spell them: the one place in training where they are named."""

from __future__ import annotations

from typing import Literal

Label = Literal["negative", "positive"]
ReviewLabel = Literal["negative", "positive", "neutral"]

NEGATIVE: Label = "negative"
POSITIVE: Label = "positive"
NEUTRAL: ReviewLabel = "neutral"  # A label of reviews, which the model does not give.

# The model's classes, in the order of their numbers: the score is the probability of the second.
LABELS: tuple[Label, Label] = (NEGATIVE, POSITIVE)
REVIEW_LABELS: tuple[ReviewLabel, ...] = (POSITIVE, NEGATIVE, NEUTRAL)

# What a column of labels may contain unless the recipe says otherwise; case does not count.
POSITIVE_SPELLINGS = (POSITIVE, "pos", "正面", "1")
NEGATIVE_SPELLINGS = (NEGATIVE, "neg", "负面", "0")
NEUTRAL_SPELLINGS = (NEUTRAL, "neu", "中性", "中立")


def label_of(score: float) -> Label:
    """The likelier label of a score, P(positive): at 0.5 the positive one."""
    return POSITIVE if score >= 0.5 else NEGATIVE
