"""Which label a prediction gets, and what a label set may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.labels import UNCERTAIN, AbstentionBand, LabelSet, watched

TWO = LabelSet.evenly(("bad", "good"), AbstentionBand(0.3, 0.7))
THREE = LabelSet.evenly(("bad", "so-so", "good"), threshold=0.5)


@pytest.mark.parametrize(
    ("score", "label"),
    [(0.0, "bad"), (0.2999, "bad"), (0.3, UNCERTAIN), (0.6999, UNCERTAIN), (0.7, "good"), (1.0, "good")],
)
def test_a_score_within_the_band_is_uncertain(score: float, label: str) -> None:
    """From its low end on, up to but without its high end."""
    assert TWO.of_score(score) == label


@pytest.mark.parametrize(
    ("probabilities", "label", "confidence"),
    [([0.6, 0.3, 0.1], "bad", 0.6), ([0.1, 0.5, 0.4], "so-so", 0.5), ([0.3, 0.3, 0.4], UNCERTAIN, 0.4)],
)
def test_the_likeliest_class_is_the_label(probabilities: list[float], label: str, confidence: float) -> None:
    """Unless its probability is below the threshold."""
    assert THREE.of_probabilities(probabilities) == (label, confidence)


def test_the_score_is_the_expected_value() -> None:
    """Classes lie evenly between 0 and 1 unless the manifest says otherwise."""
    assert THREE.values == (0.0, 0.5, 1.0)
    assert THREE.expected_value([0.2, 0.3, 0.5]) == pytest.approx(0.65)
    assert LabelSet(("bad", "so-so", "good"), (0.0, 0.9, 1.0)).expected_value([0.0, 1.0, 0.0]) == pytest.approx(0.9)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_a_score_is_never_outside_of_0_to_1(weights: list[float]) -> None:
    """Whatever rounding does to the probabilities."""
    total = sum(weights) or 1.0
    assert 0 <= THREE.expected_value([weight / total for weight in weights]) <= 1


@pytest.mark.parametrize(
    ("classes", "values", "message"),
    [
        (("bad",), (0.0,), "two labels"),
        (("bad", "bad"), (0.0, 1.0), "twice"),
        (("bad", UNCERTAIN), (0.0, 1.0), "no class"),
        (("group", "good"), (0.0, 1.0), "name of a field"),
        (("bad", "good_share"), (0.0, 1.0), "name of a field"),
        (("bad", "good"), (0.0,), "needs a value"),
        (("bad", "good"), (1.0, 0.0), "ascend"),
        (("bad", "so-so", "good"), (0.0, 0.5, 1.5), "between"),
        (("bad", "good"), (0.0, 0.9), "0 and 1"),
    ],
)
def test_what_is_no_label_set_is_refused(classes: tuple[str, ...], values: tuple[float, ...], message: str) -> None:
    """And the message says why."""
    with pytest.raises(ValueError, match=message):
        LabelSet(classes, values)


def test_a_setting_moves_one_end_of_the_band() -> None:
    """The other stays the artefact's; they cannot cross."""
    assert TWO.with_band(None, 0.9).band == AbstentionBand(0.3, 0.9)
    assert TWO.with_band(0.1, None).band == AbstentionBand(0.1, 0.7)
    with pytest.raises(ValueError, match="above"):
        TWO.with_band(0.8, None)


def test_counts_have_the_most_favourable_label_first() -> None:
    """And the uncertain ones last; trends watch the least favourable."""
    assert THREE.columns == ("good", "so-so", "bad", UNCERTAIN)
    assert THREE.names == ("bad", "so-so", "good", UNCERTAIN)
    assert watched(THREE.columns) == "bad"
