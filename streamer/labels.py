"""The labels of a model: their names, their values, and the choice of a label for a prediction.

Only an artefact's manifest names the labels; nothing else in the service does. The label of a result is one of the
model's classes, or UNCERTAIN if the model does not decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

UNCERTAIN = "uncertain"

# Counts and shares are written under a label's name beside these fields, in alerts and by `streamer trends`.
_FIELDS = frozenset(
    [
        "alert",
        "before",
        "change",
        "changed",
        "direction",
        "group",
        "high",
        "label",
        "low",
        "mean_score",
        "reviews",
        "seconds",
        "share",
        "top",
        "usual",
        "window",
    ]
)


class AbstentionBand(NamedTuple):
    """Scores from `low` (inclusive) to `high` (exclusive) are uncertain."""

    low: float
    high: float


_NO_BAND = AbstentionBand(0.5, 0.5)


@dataclass(frozen=True, slots=True)
class LabelSet:
    """The classes that a model distinguishes, in ascending order of their values.

    classes: names, in the order of the model's columns. values: of the classes, in [0, 1], from the least favourable
    to the most. A review's score is the expected value: with two classes of values 0 and 1, P of the second.
    band: with two classes, the scores that are uncertain. threshold: with more than two, a review is uncertain if the
    probability of its likeliest class is below this.
    """

    classes: tuple[str, ...]
    values: tuple[float, ...]
    band: AbstentionBand = _NO_BAND
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError("there must be at least two labels, and none of them twice")
        if UNCERTAIN in self.classes:
            raise ValueError(
                f"{UNCERTAIN!r} is the label of a review that the model does not decide; no class can have this name"
            )
        if reserved := [name for name in self.classes if is_reserved(name)]:
            raise ValueError(f"{reserved[0]!r} is the name of a field in our events; no class can have this name")
        if len(self.values) != len(self.classes) or list(self.values) != sorted(set(self.values)):
            raise ValueError("each label needs a value, and the values must ascend")
        if self.values[0] < 0 or self.values[-1] > 1:
            raise ValueError("values lie between 0 and 1")
        if self.binary and self.values != (0.0, 1.0):
            raise ValueError("of two labels the values are 0 and 1")

    @classmethod
    def evenly(cls, classes: Sequence[str], band: AbstentionBand | None = None, threshold: float = 0.0) -> LabelSet:
        """Classes with values evenly spaced from 0 to 1. Raises ValueError if they are not a valid label set."""
        top = max(1, len(classes) - 1)
        values = tuple(place / top for place in range(len(classes)))
        return cls(tuple(classes), values, band or _NO_BAND, threshold)

    @property
    def binary(self) -> bool:
        """Whether there are two classes, so that the score alone decides."""
        return len(self.classes) == 2

    @property
    def names(self) -> tuple[str, ...]:
        """All labels that a result can have."""
        return (*self.classes, UNCERTAIN)

    @property
    def columns(self) -> tuple[str, ...]:
        """All labels in the order in which counts are written: the most favourable first, UNCERTAIN last."""
        return (*reversed(self.classes), UNCERTAIN)

    def with_band(self, low: float | None, high: float | None) -> LabelSet:
        """A copy with new ends of the band; None keeps an end. Raises ValueError if low is above high."""
        band = AbstentionBand(self.band.low if low is None else low, self.band.high if high is None else high)
        if band.low > band.high:
            raise ValueError(f"{band.low} is above {band.high}")
        return replace(self, band=band)

    def of_score(self, score: float) -> str:
        """The label of a score, with two classes."""
        if score < self.band.low:
            return self.classes[0]
        return self.classes[1] if score >= self.band.high else UNCERTAIN

    def expected_value(self, probabilities: Sequence[float]) -> float:
        """The score of a review: the sum of each class's probability times its value, in [0, 1]."""
        score = sum(p * value for p, value in zip(probabilities, self.values, strict=True))
        return min(1.0, max(0.0, score))

    def of_probabilities(self, probabilities: Sequence[float]) -> tuple[str, float]:
        """The likeliest class and its probability; UNCERTAIN instead of the class below the threshold."""
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        confidence = probabilities[best]
        return (self.classes[best] if confidence >= self.threshold else UNCERTAIN), confidence


# The labels of the counts in a trend message that names none: earlier versions did not name them.
UNNAMED_COLUMNS = ("positive", "negative", UNCERTAIN)

LABEL_NAME = r"^[\w.-]{1,100}$"


def is_reserved(label: str) -> bool:
    """Whether a label of this name would collide with another field in an event that has counts by label."""
    return label in _FIELDS or label.endswith("_share")


def watched(columns: Sequence[str]) -> str:
    """The label whose share is watched: the least favourable class. `columns`: in the order of `LabelSet.columns`."""
    classes = [label for label in columns if label != UNCERTAIN]
    return classes[-1] if classes else UNCERTAIN


def joined(known: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """Merge two lists of labels, both in the order of `LabelSet.columns`.

    `known` keeps its order. A label that is only in `more` follows the same label as in `more`. UNCERTAIN stays last.
    """
    found, place = [label for label in known if label != UNCERTAIN], 0
    for label in more:
        if label in found:
            place = found.index(label) + 1
        elif label != UNCERTAIN:
            found.insert(place, label)
            place += 1
    return (*found, UNCERTAIN) if UNCERTAIN in (*known, *more) else tuple(found)


def ascending(columns: Sequence[str]) -> tuple[str, ...]:
    """Labels in the order of `LabelSet.columns`, sorted for display: ascending, with UNCERTAIN in the middle."""
    classes = [label for label in reversed(columns) if label != UNCERTAIN]
    if UNCERTAIN in columns:
        classes.insert((len(classes) + 1) // 2, UNCERTAIN)
    return tuple(classes)
