"""How good judgements are, from arrays alone: shares, calibration, coverage, each with its interval.

logits, labels -> confusion -> accuracy, F1 by class, source, language, length -> calibration -> Figures
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.calibrate import (
    BINS,
    Bin,
    Bools,
    Coverage,
    Floats,
    Integers,
    Uncertain,
    bin_of,
    confidence_gaps,
    coverage_curve,
    log_losses,
    reliability,
    scores_of,
    squared_errors,
)

CLASSES = ("negative", "positive")
RESAMPLES = 1_000
SEED = 1

# The last tokens of the length buckets; what is longer is in a bucket of its own.
_LENGTHS = (8, 16, 32, 64, 128, 256)

Interval = tuple[float, float]  # 95 %, by the percentile bootstrap over reviews (Efron 1979).


@dataclass(frozen=True, slots=True)
class Group:
    """Figures of some of the reviews. Shares are between 0 and 1."""

    reviews: int
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float  # Mean F1 of the classes that are among the labels: of one alone, where only one is.
    macro_f1_interval: Interval


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Figures of a class; None is what is not defined, because no review has or none is given this label."""

    reviews: int
    precision: float | None
    recall: float | None  # The accuracy within the class.
    recall_interval: Interval | None
    f1: float | None  # None where no review has this label, whatever was called so.
    f1_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Neutral:
    """Reviews labelled neutral: they are in no other figure."""

    reviews: int
    uncertain: float  # Share that is called uncertain, which is right.


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a set of reviews. Shares are between 0 and 1; "before" is at temperature 1, "after" calibrated."""

    reviews: int  # Positive and negative ones.
    accuracy: float  # A score of 0.5 or more is called positive, the uncertain band notwithstanding.
    macro_f1: float
    confusion: tuple[tuple[int, int], tuple[int, int]]  # [label][called], both negative, positive.
    by_class: dict[str, ClassFigures]
    by_source: dict[str, Group]
    by_language: dict[str, Group]
    by_length: dict[str, Group]  # By tokens that the model reads: of a long review its head and tail.
    log_loss: float  # In nats, calibrated.
    ece_before: float  # Expected calibration error, 15 bins.
    ece_after: float
    brier_before: float
    brier_after: float
    reliability_before: tuple[Bin, ...]
    reliability_after: tuple[Bin, ...]
    uncertain: float  # Share of reviews in the band.
    accuracy_outside: float  # Accuracy of those outside it; 1 where there are none.
    coverage: tuple[Coverage, ...]
    intervals: dict[str, Interval]  # Of the figures of these names.
    neutral: Neutral | None = None
    unseen: Figures | None = None  # The same of the reviews whose texts are not in train, where some are.


def figures_of(
    logits: Floats,
    positive: Bools,
    sources: Sequence[str] | npt.NDArray[np.str_],
    languages: Sequence[str] | npt.NDArray[np.str_],
    lengths: Integers,
    temperature: float,
    band: Uncertain,
    neutral: Floats | None = None,
    seen: Bools | None = None,
    resamples: int = RESAMPLES,
) -> Figures:
    """All figures of a set of reviews.

    logits: at temperature 1, float64 [N]. positive: the labels, bool [N]. sources, languages: a name each, [N].
    lengths: tokens, int64 [N]. neutral: logits of neutral reviews, [M]. seen: which texts are in train too,
    bool [N]. Seeded: the same arrays give the same intervals. Raises ValueError when there is no review.
    """
    if not len(logits):
        raise ValueError("no positive or negative review to take figures of")
    scores, raw = scores_of(logits, temperature), scores_of(logits, 1.0)
    called = logits >= 0
    overall = group_of(called, positive, resamples)
    losses = log_losses(logits, positive, temperature)
    means, intervals = _calibration(scores, raw, positive, losses, band.outside(scores), resamples)
    names, tongues, buckets = np.asarray(sources), np.asarray(languages), buckets_of(lengths)
    unseen = None
    if seen is not None and seen.any() and not seen.all():
        new = ~seen
        unseen = figures_of(
            *(logits[new], positive[new], names[new], tongues[new], lengths[new], temperature, band),
            resamples=resamples,
        )
    return Figures(
        reviews=len(logits),
        accuracy=overall.accuracy,
        macro_f1=overall.macro_f1,
        confusion=_matrix(called, positive),
        by_class=classes_of(called, positive, resamples),
        by_source=_groups(names, called, positive, resamples),
        by_language=_groups(tongues, called, positive, resamples),
        by_length=_groups(buckets, called, positive, resamples, [*bucket_names()]),
        **means,
        reliability_before=reliability(raw, positive),
        reliability_after=reliability(scores, positive),
        coverage=coverage_curve(scores, positive),
        intervals={"accuracy": overall.accuracy_interval, "macro_f1": overall.macro_f1_interval} | intervals,
        neutral=_neutral(neutral, temperature, band),
        unseen=unseen,
    )


def _neutral(logits: Floats | None, temperature: float, band: Uncertain) -> Neutral | None:
    if logits is None or not len(logits):
        return None
    inside = ~band.outside(scores_of(logits, temperature))
    return Neutral(len(logits), _rounded(inside.mean()))


def bucket_names() -> tuple[str, ...]:
    """The length buckets, shortest first."""
    firsts = (1, *(last + 1 for last in _LENGTHS))
    return (*(f"{first}-{last}" for first, last in zip(firsts, _LENGTHS, strict=False)), f"{firsts[-1]}+")


def buckets_of(lengths: Integers) -> npt.NDArray[np.str_]:
    """The name of each review's length bucket, [N]; no tokens count as one."""
    return np.array(bucket_names())[np.searchsorted(_LENGTHS, lengths)]


def _cells(called: Bools, positive: Bools) -> Integers:
    """True negatives, false positives, false negatives and true positives: int64 [4]."""
    return np.bincount(2 * positive.astype(np.int64) + called, minlength=4)


def _matrix(called: Bools, positive: Bools) -> tuple[tuple[int, int], tuple[int, int]]:
    tn, fp, fn, tp = _cells(called, positive).tolist()
    return ((tn, fp), (fn, tp))


def _resampled(cells: Integers, resamples: int) -> Integers:
    """The cells of as many reviews drawn with replacement, int64 [resamples, 4].

    How often each cell is drawn is multinomial with the cells' shares: the very bootstrap, without its loop.
    """
    return np.random.default_rng(SEED).multinomial(cells.sum(), cells / cells.sum(), resamples)


def _accuracy(cells: Integers) -> Floats:
    accuracy: Floats = (cells[..., 0] + cells[..., 3]) / cells.sum(-1)
    return accuracy


def _f1(cells: Integers) -> Floats:
    """F1 of negative and positive, [..., 2]; NaN where no review has the label."""
    tn, fp, fn, tp = np.moveaxis(cells, -1, 0)
    hits, labelled, called = np.stack([tn, tp]), np.stack([tn + fp, fn + tp]), np.stack([tn + fn, fp + tp])
    f1 = np.where(labelled > 0, 2 * hits / np.maximum(labelled + called, 1), np.nan)
    return np.moveaxis(f1, 0, -1)


def _macro_f1(cells: Integers) -> Floats:
    macro: Floats = np.nanmean(_f1(cells), axis=-1)
    return macro


def _rounded(value: float | np.floating | Floats) -> float:
    return round(float(value), 4)


def interval_of(drawn: Floats) -> Interval:
    """The middle 95 % of a figure's resampled values, NaN left out."""
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return _rounded(low), _rounded(high)


def group_of(called: Bools, positive: Bools, resamples: int = RESAMPLES) -> Group:
    """Accuracy and macro F1 of reviews: what they were called and what they are, bool [N]; N is at least 1."""
    cells = _cells(called, positive)
    drawn = _resampled(cells, resamples)
    return Group(
        reviews=len(positive),
        accuracy=_rounded(_accuracy(cells)),
        accuracy_interval=interval_of(_accuracy(drawn)),
        macro_f1=_rounded(_macro_f1(cells)),
        macro_f1_interval=interval_of(_macro_f1(drawn)),
    )


def _groups(
    keys: npt.NDArray[np.str_], called: Bools, positive: Bools, resamples: int, order: Sequence[str] | None = None
) -> dict[str, Group]:
    """Figures by key, in the given order or that of the keys' first reviews; keys without reviews are left out."""
    groups = {}
    for key in order or dict.fromkeys(keys.tolist()):
        which = keys == key
        if which.any():
            groups[key] = group_of(called[which], positive[which], resamples)
    return groups


def classes_of(called: Bools, positive: Bools, resamples: int = RESAMPLES) -> dict[str, ClassFigures]:
    """Figures of the negative and of the positive class."""
    cells = _cells(called, positive)
    drawn = _resampled(cells, resamples)
    classes = {}
    for index, name in enumerate(CLASSES):
        labels = cells.reshape(2, 2)[index].sum()
        calls = cells.reshape(2, 2)[:, index].sum()
        hits, of_labels = drawn[:, 3 * index], drawn.reshape(-1, 2, 2)[:, index].sum(-1)
        with_label = of_labels > 0
        classes[name] = ClassFigures(
            reviews=int(labels),
            precision=_rounded(cells[3 * index] / calls) if calls else None,
            recall=_rounded(cells[3 * index] / labels) if labels else None,
            recall_interval=interval_of(hits[with_label] / of_labels[with_label]) if labels else None,
            f1=_rounded(_f1(cells)[index]) if labels else None,
            f1_interval=interval_of(_f1(drawn)[:, index]) if labels else None,
        )
    return classes


def _calibration(
    scores: Floats, raw: Floats, positive: Bools, losses: Floats, outside: Bools, resamples: int
) -> tuple[dict[str, float], dict[str, Interval]]:
    """The figures that depend on how sure the scores are, and their intervals, by name."""
    correct = (scores >= 0.5) == positive
    means = np.stack([losses, squared_errors(raw, positive), squared_errors(scores, positive), ~outside])
    outcomes = np.stack([outside, outside & correct]).astype(np.float64)
    binned = [(bin_of(confidence), gap) for confidence, gap in (confidence_gaps(s, positive) for s in (raw, scores))]

    # einsum and not @: for so little, BLAS's threads wait for each other where cores are busy.
    def statistic(weights: Floats) -> list[float]:
        gaps = [np.abs(np.bincount(which, weights * gap, BINS)).sum() for which, gap in binned]
        totals = [*np.einsum("kn,n->k", means, weights), *gaps]
        covered, right = np.einsum("kn,n->k", outcomes, weights)
        return [*(np.array(totals) / weights.sum()), right / covered if covered else 1.0]

    names = ("log_loss", "brier_before", "brier_after", "uncertain", "ece_before", "ece_after", "accuracy_outside")
    values = statistic(np.ones(len(scores)))
    drawn = bootstrap(statistic, len(scores), resamples)
    return (
        {name: _rounded(value) for name, value in zip(names, values, strict=True)},
        {name: interval_of(column) for name, column in zip(names, drawn.T, strict=True)},
    )


def bootstrap(statistic: Callable[[Floats], Sequence[float]], reviews: int, resamples: int) -> Floats:
    """A statistic of resampled reviews, [resamples, K]; it takes how often each review was drawn, float64 [N]."""
    random = np.random.default_rng(SEED)
    drawn = (np.bincount(random.integers(reviews, size=reviews), minlength=reviews) for _ in range(resamples))
    return np.array([statistic(weights.astype(np.float64)) for weights in drawn])
