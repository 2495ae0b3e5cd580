"""Finds the tokens of the evidence, which are normalised, in the visible text that they were read in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from streamer.text.normalisation import INVISIBLE, to_simplified

_MAX_OCCURRENCES = 20  # Of a token that are marked.
_CJK = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u2032\u00b4`\uff07", "'"))
_LONGEST_RUN = 3  # As normalisation leaves it.


def marked(text: str, evidence: Iterable[tuple[str, float]]) -> list[tuple[str, float | None]]:
    """The text in pieces, those that are evidence with their weight, the others with None; joined they are the text.

    text: a visible text. evidence: normalised tokens, the strongest first; where two overlap, the stronger is marked.
    """
    folded, origin = _folded(text)
    taken = bytearray(len(folded))
    found: list[tuple[int, int, float]] = []
    for token, weight in evidence:
        if not token.strip():
            continue
        at = -1
        for _ in range(_MAX_OCCURRENCES):
            at = folded.find(token, at + 1)
            if at < 0:
                break
            end = at + len(token)
            if not any(taken[at:end]) and not _within_word(folded, at, end):
                taken[at:end] = b"\1" * len(token)
                found.append((origin[at], origin[end], weight))
    return _pieces(text, sorted(found))


def _pieces(text: str, found: Iterable[tuple[int, int, float]]) -> list[tuple[str, float | None]]:
    pieces: list[tuple[str, float | None]] = []
    done = 0
    for begin, end, weight in found:
        if begin < done:
            continue
        if begin > done:
            pieces.append((text[done:begin], None))
        pieces.append((text[begin:end], weight))
        done = end
    if done < len(text):
        pieces.append((text[done:], None))
    return pieces


def _folded(text: str) -> tuple[str, list[int]]:
    """The text as normalisation would write it but for white space, and where in the text each character begins.

    One more index follows the last character's. A run of a character that was shortened belongs to its last one.
    """
    characters: list[str] = []
    origin: list[int] = []
    for at, original in enumerate(text.translate(_APOSTROPHES)):
        for character in unicodedata.normalize("NFKC", original).lower() if original > "~" else original.lower():
            if INVISIBLE.match(character):
                continue
            if len(characters) >= _LONGEST_RUN and characters[-_LONGEST_RUN:] == [character] * _LONGEST_RUN:
                continue
            characters.append(character)
            origin.append(at)
    folded = "".join(characters)
    if not folded.isascii():
        simplified = to_simplified()(folded)
        folded = simplified if len(simplified) == len(folded) else "".join(map(to_simplified(), characters))
    return folded, [*origin, len(text)]


def _within_word(folded: str, begin: int, end: int) -> bool:
    """Whether the characters around continue the word: then it is another word."""
    return _joined(folded[begin - 1 : begin], folded[begin]) or _joined(folded[end - 1], folded[end : end + 1])


def _joined(left: str, right: str) -> bool:
    return all(side and (side.isalnum() or side == "_") and not _CJK.match(side) for side in (left, right))
