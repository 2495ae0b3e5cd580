"""Metrics are those of the arrays, by hand; intervals are those of a plain bootstrap."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from training.evaluation.arrays import Bools, Floats, Integers
from training.evaluation.bootstrap import Interval
from training.evaluation.calibration import (
    AbstentionBand,
    brier_score,
    choose_abstention_band,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    scores_from_logits,
)
from training.evaluation.metrics import (
    LabelledLogits,
    Metrics,
    class_metrics,
    group_metrics,
    length_bucket_names,
    length_buckets,
    metrics_of,
)

BAND = AbstentionBand(0.4, 0.6)


def bools(letters: str) -> Bools:
    """P is positive, N negative."""
    return np.array([letter == "P" for letter in letters])


# Called rightly: two of four negative ones, three of four positive ones.
POSITIVE, PREDICTED = bools("NNNNPPPP"), bools("NNPPNPPP")
LENGTHS = np.array([1, 8, 9, 16, 17, 256, 257, 900])


def by_hand(logits: Floats | None = None, seen: Bools | None = None, neutral: Floats | None = None) -> Metrics:
    """Metrics of the eight reviews, with logits of 2 unless given; the temperature is 2."""
    logits = np.where(PREDICTED, 2.0, -2.0) if logits is None else logits
    sources = np.array(["a", "b", "b", "b", "a", "a", "c", "c"])
    languages = np.array(["zh"] * 4 + ["en"] * 4)
    return metrics_of(LabelledLogits(logits, POSITIVE, sources, languages, LENGTHS, seen), 2.0, BAND, neutral)


def drawn(count: int, seed: int = 1, temperature: float = 1.5) -> tuple[Floats, Bools]:
    """Logits, and labels drawn with the probabilities that they have at this temperature."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=3, size=count)
    return logits, random.random(count) < scores_from_logits(logits, temperature)


def metrics(logits: Floats, positive: Bools, band: AbstentionBand = BAND, lengths: Integers | None = None) -> Metrics:
    """Metrics of one source, at temperature 1.5."""
    lengths = np.ones(len(logits), np.int64) if lengths is None else lengths
    sources, languages = np.full(len(logits), "x"), np.full(len(logits), "zh")
    return metrics_of(LabelledLogits(logits, positive, sources, languages, lengths), 1.5, band)


def test_shares_are_those_of_the_confusion_matrix() -> None:
    """By hand."""
    found = by_hand()
    assert found.reviews == 8
    assert found.confusion == ((2, 2), (1, 3))
    assert found.accuracy == 5 / 8
    assert found.macro_f1 == round((4 / 7 + 6 / 9) / 2, 4)
    negative, positive = found.by_class["negative"], found.by_class["positive"]
    assert (negative.reviews, negative.precision, negative.recall, negative.f1) == (4, 0.6667, 0.5, 0.5714)
    assert (positive.reviews, positive.precision, positive.recall, positive.f1) == (4, 0.6, 0.75, 0.6667)


def test_calibration_is_taken_before_and_after_the_temperature() -> None:
    """Scores of 0.881 or 0.119 become 0.731 or 0.269; five of eight are right."""
    found = by_hand()
    before, after = (1 / (1 + np.exp(-logit)) for logit in (2, 1))
    assert found.ece_before == round(before - 5 / 8, 4)
    assert found.ece_after == round(after - 5 / 8, 4)
    assert found.brier_before == round((5 * (1 - before) ** 2 + 3 * before**2) / 8, 4)
    assert found.brier_after == round((5 * (1 - after) ** 2 + 3 * after**2) / 8, 4)
    assert found.log_loss == round(-(5 * np.log(after) + 3 * np.log(1 - after)) / 8, 4)
    assert [(b.reviews, b.score, b.positive) for b in found.reliability_before] == [
        (3, 0.1192, 0.3333),
        (5, 0.8808, 0.6),
    ]
    assert [(b.reviews, b.score, b.positive) for b in found.reliability_after] == [
        (3, 0.2689, 0.3333),
        (5, 0.7311, 0.6),
    ]


def test_the_band_parts_the_uncertain_from_the_rest() -> None:
    """Here the wrong ones are uncertain, and one of the right ones."""
    logits = np.where(PREDICTED, 2.0, -2.0)
    logits[PREDICTED != POSITIVE] *= 0.1
    logits[0] *= 0.1
    found = by_hand(logits)
    assert (found.uncertain, found.accuracy_outside) == (0.5, 1.0)
    assert found.intervals["accuracy_outside"] == (1.0, 1.0)
    assert found.coverage[0].coverage == 1


def test_a_band_that_holds_all_leaves_nothing_wrong() -> None:
    """Nothing is predicted, nothing is predicted wrongly; no figure is undefined."""
    found = by_hand(np.where(PREDICTED, 0.1, -0.1))
    assert (found.uncertain, found.accuracy_outside) == (1.0, 1.0)
    assert found.intervals["accuracy_outside"] == (1.0, 1.0)


def test_groups_are_named_in_the_order_of_their_reviews() -> None:
    """And lengths from short to long."""
    found = by_hand()
    assert {name: (group.reviews, group.accuracy) for name, group in found.by_source.items()} == {
        "a": (3, 0.6667),
        "b": (3, 0.3333),
        "c": (2, 1.0),
    }
    assert {name: group.accuracy for name, group in found.by_language.items()} == {"zh": 0.5, "en": 0.75}
    assert [*found.by_source] == ["a", "b", "c"]
    assert [*found.by_language] == ["zh", "en"]
    assert {name: group.reviews for name, group in found.by_length.items()} == {
        "1-8": 2,
        "9-16": 2,
        "17-32": 1,
        "129-256": 1,
        "257+": 2,
    }
    assert [*found.by_length] == [name for name in length_bucket_names() if name in found.by_length]


def test_length_buckets_meet_without_a_gap() -> None:
    """Each begins where the one before ends."""
    assert length_bucket_names() == ("1-8", "9-16", "17-32", "33-64", "65-128", "129-256", "257+")
    assert length_buckets(np.array([0, 8, 9, 64, 65])).tolist() == ["1-8", "1-8", "9-16", "33-64", "65-128"]


def test_a_source_of_one_class_has_the_metrics_of_that_class() -> None:
    """Its macro F1 is the F1 of that class; of the other only what it was wrongly predicted is known."""
    predicted, positive = bools("PPPN"), bools("PPPP")
    group = group_metrics(predicted, positive)
    assert (group.accuracy, group.macro_f1) == (0.75, round(6 / 7, 4))
    assert group.accuracy_interval[0] <= 0.75 <= group.accuracy_interval[1]
    missing_topics = class_metrics(predicted, positive)["negative"]
    assert (missing_topics.reviews, missing_topics.precision, missing_topics.recall, missing_topics.f1) == (
        0,
        0.0,
        None,
        None,
    )
    assert (missing_topics.recall_interval, missing_topics.f1_interval) == (None, None)
    assert class_metrics(positive, positive)["negative"].precision is None


def test_a_class_that_is_never_predicted_has_no_precision() -> None:
    """Its F1 is 0: it has reviews, and all are missed."""
    found = class_metrics(bools("PPPP"), bools("PPNN"))["negative"]
    assert (found.reviews, found.precision, found.recall, found.f1) == (2, None, 0.0, 0.0)
    assert (found.recall_interval, found.f1_interval) == ((0.0, 0.0), (0.0, 0.0))


def test_metrics_of_one_review_are_defined() -> None:
    """Its intervals have no width."""
    found = metrics(np.array([3.0]), bools("P"))
    assert (found.accuracy, found.macro_f1, found.intervals["accuracy"]) == (1.0, 1.0, (1.0, 1.0))


def test_neutral_reviews_are_in_no_other_figure() -> None:
    """Of four, three are in the band at temperature 2."""
    found = by_hand(neutral=np.array([0.0, 0.5, -0.5, 3.0]))
    assert found.neutral is not None
    assert (found.neutral.reviews, found.neutral.uncertain) == (4, 0.75)
    without = by_hand(neutral=np.zeros(0))
    assert without.neutral is None
    assert (found.reviews, found.uncertain, found.coverage) == (without.reviews, without.uncertain, without.coverage)


def test_unseen_metrics_are_those_of_the_reviews_that_train_lacks() -> None:
    """The very metrics that these alone would have."""
    logits, positive = drawn(300)
    lengths = np.random.default_rng(3).integers(1, 300, 300)
    seen = np.arange(300) % 3 == 0
    names = np.array(["x", "y"])[np.arange(300) % 2]
    found = metrics_of(LabelledLogits(logits, positive, names, names, lengths, seen), 1.5, BAND)
    new = ~seen
    assert found.reviews == 300
    unseen = LabelledLogits(logits[new], positive[new], names[new], names[new], lengths[new])
    assert found.unseen == metrics_of(unseen, 1.5, BAND)
    assert found.unseen is not None
    assert found.unseen.reviews == 200


def test_unseen_metrics_are_left_out_where_they_say_nothing_new() -> None:
    """When no text is in train, or every one is."""
    assert by_hand().unseen is None
    assert by_hand(seen=np.zeros(8, np.bool_)).unseen is None
    assert by_hand(seen=np.ones(8, np.bool_)).unseen is None


def test_no_review_has_no_metrics() -> None:
    """It is an error, not a division by zero."""
    with pytest.raises(ValueError, match="no positive or negative review"):
        metrics(np.zeros(0), np.zeros(0, np.bool_))


def test_the_same_arrays_give_the_same_intervals() -> None:
    """And global random state has no part in it."""
    logits, positive = drawn(500)
    np.random.seed(1)
    first = metrics(logits, positive)
    np.random.seed(2)
    assert metrics(logits, positive) == first


@pytest.mark.parametrize("seed", range(5))
def test_intervals_contain_their_metrics(seed: int) -> None:
    """Of every share, also by class and by length."""
    logits, positive = drawn(400, seed)
    found = metrics(logits, positive, lengths=np.arange(1, 401))
    names = ("accuracy", "macro_f1", "log_loss", "brier_before", "brier_after", "uncertain", "accuracy_outside")
    pairs: list[tuple[Any, Interval]] = [(getattr(found, name), found.intervals[name]) for name in names]
    for group in (*found.by_length.values(), *found.by_source.values()):
        pairs += [(group.accuracy, group.accuracy_interval), (group.macro_f1, group.macro_f1_interval)]
    for one in found.by_class.values():
        assert one.recall_interval is not None
        assert one.f1_interval is not None
        pairs += [(one.recall, one.recall_interval), (one.f1, one.f1_interval)]
    assert all(low <= figure <= high for figure, (low, high) in pairs)
    assert all(high > low for _, (low, high) in pairs[: len(names)])


def _macro_f1(predicted: Bools, positive: Bools) -> float:
    """From its definition."""
    halves = []
    for label in (False, True):
        hits = ((predicted == label) & (positive == label)).sum()
        halves.append(2 * hits / ((predicted == label).sum() + (positive == label).sum()))
    return float(np.mean(halves))


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    """Reviews drawn in a loop, each figure computed anew from its definition; equal within the drawing's noise."""
    logits, positive = drawn(400)
    found = metrics(logits, positive)
    random = np.random.default_rng(99)

    def outside(logits: Floats, positive: Bools) -> float:
        scores = scores_from_logits(logits, 1.5)
        certain = BAND.outside(scores)
        return float(((scores >= 0.5) == positive)[certain].mean())

    statistics: dict[str, Callable[[Floats, Bools], float]] = {
        "accuracy": lambda logits, positive: float(((logits >= 0) == positive).mean()),
        "macro_f1": lambda logits, positive: _macro_f1(logits >= 0, positive),
        "log_loss": lambda logits, positive: log_loss(logits, positive, 1.5),
        "brier_before": lambda logits, positive: brier_score(scores_from_logits(logits, 1.0), positive),
        "brier_after": lambda logits, positive: brier_score(scores_from_logits(logits, 1.5), positive),
        "ece_before": lambda logits, positive: expected_calibration_error(scores_from_logits(logits, 1.0), positive),
        "ece_after": lambda logits, positive: expected_calibration_error(scores_from_logits(logits, 1.5), positive),
        "uncertain": lambda logits, _: float((~BAND.outside(scores_from_logits(logits, 1.5))).mean()),
        "accuracy_outside": outside,
    }
    drawings = [random.integers(400, size=400) for _ in range(1_000)]
    assert found.intervals.keys() == statistics.keys()
    for name, statistic in statistics.items():
        assert getattr(found, name) == pytest.approx(statistic(logits, positive), abs=1e-4), name
        values = [statistic(logits[which], positive[which]) for which in drawings]
        assert found.intervals[name] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=0.01), name


def test_a_class_interval_is_that_of_a_plain_bootstrap() -> None:
    """Recall of the negative class."""
    logits, positive = drawn(400)
    predicted, random = logits >= 0, np.random.default_rng(99)
    drawings = [random.integers(400, size=400) for _ in range(1_000)]
    values = [(~predicted[which])[~positive[which]].mean() for which in drawings]
    found = class_metrics(predicted, positive)["negative"].recall_interval
    assert found == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=0.01)


def test_the_metrics_of_a_large_test_part_take_seconds() -> None:
    """25,000 reviews of eight sources, half of them unseen, with the fit of temperature and band."""
    logits, positive = drawn(25_000)
    random = np.random.default_rng(1)
    names = np.array([f"source-{number}" for number in range(8)])[random.integers(8, size=25_000)]
    lengths, seen = random.integers(1, 400, 25_000), random.random(25_000) < 0.5
    began = time.process_time()
    temperature = fit_temperature(logits, positive)
    scores = scores_from_logits(logits, temperature)
    band = choose_abstention_band(scores, positive, accuracy=0.97, min_half_width=0.05, max_half_width=0.35)
    found = metrics_of(LabelledLogits(logits, positive, names, names, lengths, seen), temperature, band)
    assert time.process_time() - began < 5
    assert found.reviews == 25_000
