"""Text from outside is shown without what a terminal would interpret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("评论 text", "评论 text"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\x00", "a\\x0ab\\x09c\\x00"),
        ("a\u202eb\U000e0001", "a\\u202eb\\U000e0001"),
        ("\udcff", "\\xff"),
        ("x" * 81, "x" * 80 + "…"),
    ],
)
def test_what_a_terminal_would_interpret_is_escaped(text: str, shown: str) -> None:
    """Letters of all scripts stay, and a long text is cut."""
    assert printable(text) == shown


@given(st.text(), st.integers(1, 50))
def test_anything_becomes_printable(text: str, limit: int) -> None:
    """Whatever it is, and it can be encoded."""
    shown = printable(text, limit)
    assert shown.isprintable()
    shown.encode()
