"""The metrics of predictions, from arrays alone: accuracy, F1, calibration and coverage, with their intervals.

logits, labels -> confusion -> accuracy, F1 by class, source, language, length -> calibration -> Metrics
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluation.arrays import Bools, Floats, Integers, Strings
from training.evaluation.bootstrap import RESAMPLES, Interval, bootstrap, percentile_interval, resample_counts
from training.evaluation.calibration import (
    BINS,
    AbstentionBand,
    CoveragePoint,
    ReliabilityBin,
    bin_indices,
    confidence_gaps,
    coverage_curve,
    log_losses,
    reliability,
    scores_from_logits,
    squared_errors,
)
from training.labels import LABELS

# The longest reviews of each length bucket, in tokens; longer ones are in a bucket of their own.
_LENGTHS = (8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class LabelledLogits:
    """What the metrics are computed from, of N reviews that are positive or negative.

    logits: at temperature 1, float64 [N]. positive: the labels, bool [N]. sources, languages: a name each, [N].
    lengths: tokens, int64 [N]. seen: whether the text is in train too, bool [N]; None where that is not known.
    """

    logits: Floats
    positive: Bools
    sources: Strings
    languages: Strings
    lengths: Integers
    seen: Bools | None = None

    def unseen(self) -> LabelledLogits | None:
        """The reviews whose texts are not in train; None where that is all of them or none."""
        if self.seen is None or not self.seen.any() or self.seen.all():
            return None
        new = ~self.seen
        return LabelledLogits(
            self.logits[new], self.positive[new], self.sources[new], self.languages[new], self.lengths[new]
        )


@dataclass(frozen=True, slots=True)
class GroupMetrics:
    """Metrics of some of the reviews. Shares are between 0 and 1."""

    reviews: int
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float  # Mean F1 of the classes that occur among the labels: of one alone, where only one does.
    macro_f1_interval: Interval


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Metrics of a class; None where a metric is undefined, because no review has this label or is predicted so."""

    reviews: int
    precision: float | None
    recall: float | None  # The accuracy within the class.
    recall_interval: Interval | None
    f1: float | None  # None where no review has this label, whatever was predicted.
    f1_interval: Interval | None


@dataclass(frozen=True, slots=True)
class NeutralMetrics:
    """Reviews labelled neutral: they count in no other metric."""

    reviews: int
    uncertain: float  # Share that is called uncertain, which is right.


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of a set of reviews. Shares are between 0 and 1; "before" is at temperature 1, "after" calibrated."""

    reviews: int  # Positive and negative ones.
    accuracy: float  # A score of 0.5 or more counts as positive, even within the abstention band.
    macro_f1: float
    confusion: tuple[tuple[int, int], tuple[int, int]]  # [label][prediction], both in the order of LABELS.
    by_class: dict[str, ClassMetrics]
    by_source: dict[str, GroupMetrics]
    by_language: dict[str, GroupMetrics]
    by_length: dict[str, GroupMetrics]  # By tokens that the model reads: of a long review its head and tail.
    log_loss: float  # In nats, calibrated.
    ece_before: float  # Expected calibration error, 15 bins.
    ece_after: float
    brier_before: float
    brier_after: float
    reliability_before: tuple[ReliabilityBin, ...]
    reliability_after: tuple[ReliabilityBin, ...]
    uncertain: float  # Share of reviews in the band.
    accuracy_outside: float  # Accuracy of those outside it; 1 where there are none.
    coverage: tuple[CoveragePoint, ...]
    intervals: dict[str, Interval]  # Of the metrics with these names.
    neutral: NeutralMetrics | None = None
    unseen: Metrics | None = None  # The same for the reviews whose texts are not in train, where there are some.


def metrics_of(
    reviews: LabelledLogits,
    temperature: float,
    band: AbstentionBand,
    neutral: Floats | None = None,
    resamples: int = RESAMPLES,
) -> Metrics:
    """All metrics of a set of reviews.

    neutral: logits of neutral reviews, [M]. The intervals are seeded: the same arrays give the same ones. Raises
    ValueError when there is no review.
    """
    logits, positive = reviews.logits, reviews.positive
    if not len(logits):
        raise ValueError("no positive or negative review to take metrics of")
    raw, scores = scores_from_logits(logits, 1.0), scores_from_logits(logits, temperature)
    predicted = logits >= 0
    overall = group_metrics(predicted, positive, resamples)
    losses = log_losses(logits, positive, temperature)
    means, intervals = _calibration_metrics(raw, scores, positive, losses, band, resamples)
    unseen = reviews.unseen()
    return Metrics(
        reviews=len(logits),
        accuracy=overall.accuracy,
        macro_f1=overall.macro_f1,
        confusion=_confusion_matrix(predicted, positive),
        by_class=class_metrics(predicted, positive, resamples),
        by_source=_by_key(reviews.sources, predicted, positive, resamples),
        by_language=_by_key(reviews.languages, predicted, positive, resamples),
        by_length=_by_key(length_buckets(reviews.lengths), predicted, positive, resamples, length_bucket_names()),
        **means,
        reliability_before=reliability(raw, positive),
        reliability_after=reliability(scores, positive),
        coverage=coverage_curve(scores, positive),
        intervals={"accuracy": overall.accuracy_interval, "macro_f1": overall.macro_f1_interval} | intervals,
        neutral=_neutral_metrics(neutral, temperature, band),
        unseen=None if unseen is None else metrics_of(unseen, temperature, band, resamples=resamples),
    )


def _neutral_metrics(logits: Floats | None, temperature: float, band: AbstentionBand) -> NeutralMetrics | None:
    if logits is None or not len(logits):
        return None
    inside = ~band.outside(scores_from_logits(logits, temperature))
    return NeutralMetrics(len(logits), _rounded(inside.mean()))


def length_bucket_names() -> tuple[str, ...]:
    """The length buckets, shortest first."""
    firsts = (1, *(last + 1 for last in _LENGTHS))
    return (*(f"{first}-{last}" for first, last in zip(firsts, _LENGTHS, strict=False)), f"{firsts[-1]}+")


def length_buckets(lengths: Integers) -> Strings:
    """The name of each review's length bucket, [N]; no tokens count as one."""
    return np.array(length_bucket_names())[np.searchsorted(_LENGTHS, lengths)]


def _confusion_counts(predicted: Bools, positive: Bools) -> Integers:
    """True negatives, false positives, false negatives and true positives: int64 [4]."""
    return np.bincount(2 * positive.astype(np.int64) + predicted, minlength=4)


def _confusion_matrix(predicted: Bools, positive: Bools) -> tuple[tuple[int, int], tuple[int, int]]:
    tn, fp, fn, tp = _confusion_counts(predicted, positive).tolist()
    return ((tn, fp), (fn, tp))


def _accuracy(counts: Integers) -> Floats:
    accuracy: Floats = (counts[..., 0] + counts[..., 3]) / counts.sum(-1)
    return accuracy


def _f1(counts: Integers) -> Floats:
    """F1 of each class, [..., 2]; NaN where no review has the label."""
    tn, fp, fn, tp = np.moveaxis(counts, -1, 0)
    hits, labelled, predicted = np.stack([tn, tp]), np.stack([tn + fp, fn + tp]), np.stack([tn + fn, fp + tp])
    f1 = np.where(labelled > 0, 2 * hits / np.maximum(labelled + predicted, 1), np.nan)
    return np.moveaxis(f1, 0, -1)


def _macro_f1(counts: Integers) -> Floats:
    macro: Floats = np.nanmean(_f1(counts), axis=-1)
    return macro


def _rounded(value: float | np.floating | Floats) -> float:
    return round(float(value), 4)


def group_metrics(predicted: Bools, positive: Bools, resamples: int = RESAMPLES) -> GroupMetrics:
    """Accuracy and macro F1 of reviews from predictions and labels, bool [N]; N is at least 1."""
    counts = _confusion_counts(predicted, positive)
    resampled = resample_counts(counts, resamples)
    return GroupMetrics(
        reviews=len(positive),
        accuracy=_rounded(_accuracy(counts)),
        accuracy_interval=percentile_interval(_accuracy(resampled)),
        macro_f1=_rounded(_macro_f1(counts)),
        macro_f1_interval=percentile_interval(_macro_f1(resampled)),
    )


def _by_key(
    keys: Strings, predicted: Bools, positive: Bools, resamples: int, order: Sequence[str] = ()
) -> dict[str, GroupMetrics]:
    """Metrics by key, in the given order or that of the keys' first reviews; keys without reviews are left out."""
    groups = {}
    for key in order or dict.fromkeys(keys.tolist()):
        which = keys == key
        if which.any():
            groups[key] = group_metrics(predicted[which], positive[which], resamples)
    return groups


def class_metrics(predicted: Bools, positive: Bools, resamples: int = RESAMPLES) -> dict[str, ClassMetrics]:
    """Metrics of each class, by its label."""
    counts = _confusion_counts(predicted, positive)
    resampled = resample_counts(counts, resamples)
    classes: dict[str, ClassMetrics] = {}
    for index, name in enumerate(LABELS):
        labelled = counts.reshape(2, 2)[index].sum()
        predictions = counts.reshape(2, 2)[:, index].sum()
        hits, of_label = resampled[:, 3 * index], resampled.reshape(-1, 2, 2)[:, index].sum(-1)
        defined = of_label > 0
        classes[name] = ClassMetrics(
            reviews=int(labelled),
            precision=_rounded(counts[3 * index] / predictions) if predictions else None,
            recall=_rounded(counts[3 * index] / labelled) if labelled else None,
            recall_interval=percentile_interval(hits[defined] / of_label[defined]) if labelled else None,
            f1=_rounded(_f1(counts)[index]) if labelled else None,
            f1_interval=percentile_interval(_f1(resampled)[:, index]) if labelled else None,
        )
    return classes


def _calibration_metrics(
    raw: Floats, scores: Floats, positive: Bools, losses: Floats, band: AbstentionBand, resamples: int
) -> tuple[dict[str, float], dict[str, Interval]]:
    """The metrics that depend on how confident the scores are, and their intervals, by name."""
    outside = band.outside(scores)
    correct = (scores >= 0.5) == positive
    means = np.stack([losses, squared_errors(raw, positive), squared_errors(scores, positive), ~outside])
    coverage = np.stack([outside, outside & correct]).astype(np.float64)
    binned = [
        (bin_indices(confidence), gap) for confidence, gap in (confidence_gaps(s, positive) for s in (raw, scores))
    ]

    # einsum and not @: on so little data BLAS's threads wait for each other where cores are busy.
    def statistic(weights: Floats) -> list[float]:
        gaps = [np.abs(np.bincount(which, weights * gap, BINS)).sum() for which, gap in binned]
        totals = [*np.einsum("kn,n->k", means, weights), *gaps]
        covered, right = np.einsum("kn,n->k", coverage, weights)
        return [*(np.array(totals) / weights.sum()), right / covered if covered else 1.0]

    names = ("log_loss", "brier_before", "brier_after", "uncertain", "ece_before", "ece_after", "accuracy_outside")
    values = statistic(np.ones(len(scores)))
    resampled = bootstrap(statistic, len(scores), resamples)
    return (
        {name: _rounded(value) for name, value in zip(names, values, strict=True)},
        {name: percentile_interval(column) for name, column in zip(names, resampled.T, strict=True)},
    )
