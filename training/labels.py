"""The labels of the trained model, and how data sets spell them: the one place in training where they are named."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import Literal

from streamer.printable import printable

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

# More words that are understood where the recipe has the spellings above.
_WORDS: dict[str, ReviewLabel] = {
    **dict.fromkeys((*POSITIVE_SPELLINGS[:-1], "好评", "积极", "正向", "正", "true"), POSITIVE),
    **dict.fromkeys((*NEGATIVE_SPELLINGS[:-1], "差评", "消极", "负向", "负", "false"), NEGATIVE),
    **dict.fromkeys((*NEUTRAL_SPELLINGS, "中评", "中"), NEUTRAL),
}
# Numbers mean something only together: 0 is negative beside 1, and neutral beside -1. A scale needs its `both`.
_SCALES: tuple[tuple[frozenset[str], dict[str, ReviewLabel]], ...] = (
    (frozenset(), {"0": NEGATIVE, "1": POSITIVE}),
    (frozenset(("-1", "1")), {"-1": NEGATIVE, "0": NEUTRAL, "1": POSITIVE}),
    (frozenset(("0", "4")), {"0": NEGATIVE, "2": NEUTRAL, "4": POSITIVE}),  # Sentiment140.
)
# What `hint` proposes for scales that people use both ways round, or cut in several places: lowest, middle, highest.
_PROPOSALS: tuple[tuple[str, str, str], ...] = (
    ("1", "", "2"),
    ("0", "1", "2"),
    ("1", "2", "3"),
    ("-2,-1", "0", "1,2"),
    ("1,2", "3", "4,5"),
    ("0,1", "2", "3,4"),
    ("0,1,2,3,4", "5", "6,7,8,9,10"),
)
_MISSING = ("", "nan", "null", "none", "na", "n/a", "<na>")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(\.0*)?")
_SHOWN_LABELS, _SHOWN_CHARACTERS = 12, 40


def label_of(score: float) -> Label:
    """The likelier label of a score, P(positive): at 0.5 the positive one."""
    return POSITIVE if score >= 0.5 else NEGATIVE


def spelling(label: object) -> str:
    """A label in the one way that it is compared: lower case, without blanks around it, 5.0 and "５.0" as "5"."""
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    text = "" if label is None else unicodedata.normalize("NFKC", str(label)).strip().lower()
    return str(int(float(text))) if _NUMBER.fullmatch(text) else text


def spellings(label: object) -> tuple[str, ...]:
    """What a recipe may call the label: JSON's true is also "1"."""
    return (spelling(label), str(int(label))) if isinstance(label, bool) else (spelling(label),)


def is_missing(spelled: str) -> bool:
    """Whether the label says that there is none."""
    return spelled in _MISSING


def understood(found: Collection[str]) -> Mapping[str, ReviewLabel]:
    """What the labels in a file usually mean, by all of them together; those that are not clear are not in it."""
    numbers = frozenset(label for label in found if _NUMBER.fullmatch(label))
    known = {label: _WORDS[label] for label in found if label in _WORDS}
    for both, scale in _SCALES:
        if numbers and both <= numbers <= scale.keys():
            return known | {label: scale[label] for label in numbers}
    return known


def hint(found: Collection[str]) -> str:
    """The options that say what labels mean, for those in a file, most likely as the person means them."""
    missing = [label for label in found if is_missing(label)]
    known = understood(found)
    words = [label for label in found if label not in missing and label not in known]
    options = []
    if words:
        fitting = (proposal for proposal in _PROPOSALS if set(words) <= set(",".join(proposal).split(",")))
        classes = zip((NEGATIVE, NEUTRAL, POSITIVE), next(fitting, ("…", "", "…")), strict=True)
        options = [f"--labels {label}={part}" for label, part in classes if part]
    if missing:
        options.append(f"--labels skip={','.join(missing)}")
    return " ".join(options)


def listed(found: Collection[str]) -> str:
    """The labels in a file for a message: numbers in their order, then words."""
    numbers = sorted((label for label in found if _NUMBER.fullmatch(label)), key=int)
    ordered = [*numbers, *sorted(set(found) - set(numbers))]
    shown = ", ".join(f"'{printable(label, _SHOWN_CHARACTERS)}'" for label in ordered[:_SHOWN_LABELS])
    return shown + (", …" if len(ordered) > _SHOWN_LABELS else "")
