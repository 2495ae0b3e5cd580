"""A fragment is found in the text that it was cut from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from training.corpus.fragments import find_full_texts


def test_short_fragments_belong_to_no_text() -> None:
    """Seven characters are in many texts by chance."""
    found = find_full_texts(["abcdefg", "abcdefgh", "cdefghij", "zzzzzzzzz"], ["xabcdefgh", "abcdefghij"])
    assert found == {"abcdefgh": "xabcdefgh", "cdefghij": "abcdefghij"}


@given(st.lists(st.text("ab", max_size=12)), st.lists(st.text("ab", max_size=30)))
def test_the_first_text_that_contains_a_fragment_is_its_full_text(fragments: list[str], texts: list[str]) -> None:
    """The quick search finds what the plain one does."""
    expected = {
        fragment: next(text for text in texts if fragment in text)
        for fragment in fragments
        if len(fragment) >= 8 and any(fragment in text for text in texts)
    }
    assert find_full_texts(fragments, texts) == expected
