"""Evidence, which is normalised, is found in the text as it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.text.alignment import marked


def found(text: str, *tokens: str) -> list[str]:
    return [piece for piece, weight in marked(text, [(token, 1.0) for token in tokens]) if weight is not None]


@pytest.mark.parametrize(
    ("text", "token", "expected"),
    [
        ("I don’t", "don't", ["don’t"]),
        ("gooooood!", "goood", ["gooooood"]),
        ("品質很差", "品质", ["品質"]),
        ("ＴＥＲＲＩＢＬＥ", "terrible", ["ＴＥＲＲＩＢＬＥ"]),
        ("ter\u200brible", "terrible", ["ter\u200brible"]),
        ("I <3 it", "<3", ["<3"]),
        ("hot, hotel, hot", "hot", ["hot", "hot"]),
        ("很好很好", "很好", ["很好", "很好"]),
        ("nothing", "else", []),
    ],
)
def test_a_token_is_found_as_it_was_written(text: str, token: str, expected: list[str]) -> None:
    """Whatever normalisation did to it, and not within another word."""
    assert found(text, token) == expected


def test_the_stronger_of_two_that_overlap_is_marked() -> None:
    """The first in the evidence."""
    assert found("很好看", "好看", "很好") == ["好看"]


@given(st.text(max_size=40), st.lists(st.tuples(st.text(max_size=5), st.floats(-1, 1)), max_size=5))
def test_the_pieces_are_the_text(text: str, evidence: list[tuple[str, float]]) -> None:
    """None is lost, none comes twice."""
    assert "".join(piece for piece, _ in marked(text, evidence)) == text
