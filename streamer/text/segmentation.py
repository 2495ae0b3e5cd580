"""Splits texts into jieba's tokens."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache

import jieba
import numpy as np
import rjieba
from jieba import finalseg
from numpy.typing import NDArray

from streamer.text.normalisation import to_simplified

# jieba.re_han_default: the runs that jieba looks up in its dictionary.
_RUN = re.compile(r"([\u4E00-\u9FD5a-zA-Z0-9+#&\._%\-]+)")
# jieba.finalseg.re_skip: how jieba splits an ASCII run that its dictionary lacks.
_ASCII_RUN = re.compile(r"([a-zA-Z0-9]+(?:\.\d+)?%?)")
# jieba splits an ASCII run only if it contains one of these signs beside another character of the run.
_SIGNS = "+#&._%-"
_MIXED_RUN = re.compile(r"[+#&._%\-][a-zA-Z0-9+#&._%\-]|[a-zA-Z0-9][+#&._%\-]")
# Where jieba and rjieba may differ: outside jieba's U+4E00..U+9FD5 block, and where characters repeat so
# closely that two paths through the HMM can be equally likely and each library breaks the tie differently.
_OUTSIDE = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u9fd6-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_AMBIGUOUS = re.compile(
    "([\u4e00-\u9fd5])(?:[\u4e00-\u9fd5]{0,2}\\1){2}"
    "|([\u4e00-\u9fd5]{2})\\2|([\u4e00-\u9fd5]{4,8})\\3\\3"
    f"|[{_OUTSIDE}]"
)
# jieba.re_skip_default; jieba splits all other text outside of runs into characters.
_BETWEEN = re.compile(r"\r\n|.", re.DOTALL)
_REMEMBERED_RUNS = 4096
# Characters. Repetitions for emphasis are short, and the tokens of thousands of long runs would fill gigabytes.
_LONGEST_REMEMBERED = 64
# Characters in a row that form no word with their neighbours; the longest row in 60,000 reviews has 500.
_LONGEST_BY_HMM = 2048

# The same classes by character, for checking many texts at once.
_HAN, _BEYOND, _SIGN, _IN_RUN = 1, 2, 4, 8


@cache
def _kinds() -> NDArray[np.uint8]:
    """The classes of each character up to U+1FFFF, as bits; the last entry is for all characters above."""
    kinds = np.zeros(0x20001, np.uint8)
    kinds[0x4E00:0x9FD6] |= _HAN
    for first, last in re.findall("(.)-(.)", _OUTSIDE):
        kinds[min(ord(first), 0x20000) : ord(last) + 1] |= _BEYOND
    for character in _SIGNS:
        kinds[ord(character)] |= _SIGN | _IN_RUN
    for first, last in ("az", "AZ", "09"):
        kinds[ord(first) : ord(last) + 1] |= _IN_RUN
    return kinds


@cache
def _jieba() -> jieba.Tokenizer:
    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    tokenizer.initialize()
    return tokenizer


@cache
def _rjieba() -> rjieba.Jieba:
    return rjieba.Jieba()


def warm_up() -> None:
    """Load the dictionaries now rather than at the first review."""
    to_simplified()
    _rjieba().cut("")


def segment_reference(text: str) -> list[str]:
    """jieba's own segmentation (accurate mode, HMM on): slow, but the reference that `segment` must match."""
    return _jieba().lcut(text)  # type: ignore[no-any-return]  # jieba ships no types.


def segment(text: str) -> list[str]:
    """Split a text into jieba's tokens, white space included: `"".join(segment(t)) == t`."""
    if not _AMBIGUOUS.search(text):
        return _segment(text)
    # jieba segments each run of its characters separately, so only the ambiguous runs need the slow method.
    return [token for piece in _RUN.split(text) if piece for token in _piece(piece)]


def _piece(piece: str) -> Sequence[str]:
    """The tokens of a run, or of the text between two runs."""
    if not _AMBIGUOUS.search(piece):
        return _segment(piece)
    if not _RUN.match(piece):
        return _BETWEEN.findall(piece)
    return _remembered(piece) if len(piece) <= _LONGEST_REMEMBERED else _run(piece)


@lru_cache(_REMEMBERED_RUNS)  # People often repeat the same text for emphasis.
def _remembered(run: str) -> tuple[str, ...]:
    return _run(run)


def _run(run: str) -> tuple[str, ...]:
    """Like jieba's `__cut_DAG`: the most likely path through the dictionary, then jieba's own HMM for the remaining
    single characters. rjieba without its HMM finds the same path, so jieba's dictionary is not needed."""
    tokens: list[str] = []
    singles = ""
    for token in (*_rjieba().cut(run, False), ""):  # The empty one ends the last singles.
        # Without the HMM, single letters and digits are joined: split them again.
        if len(token) == 1 or (token and token.isascii() and not _rjieba().has_word(token)):
            singles += token
            continue
        if singles:
            tokens += singles if len(singles) == 1 or _rjieba().has_word(singles) else _by_hmm(singles)
            singles = ""
        tokens.append(token)
    return tuple(tokens[:-1])


def _by_hmm(singles: str) -> Iterator[str]:
    """jieba's HMM. Its time is quadratic in the length, so unnaturally long text is cut into portions."""
    for begin in range(0, len(singles), _LONGEST_BY_HMM):
        yield from finalseg.cut(singles[begin : begin + _LONGEST_BY_HMM])


def segment_all(texts: Sequence[str]) -> list[str]:
    """`segment` each text; returns all tokens in one list, with a line break after each text.

    No text may contain a line break.
    """
    joined = "\n".join([*texts, ""])
    rest, kept = _texts_to_check(joined, texts)
    if not rest:
        return _rjieba().cut(joined)
    tokens: list[str] = _rjieba().cut("\n".join([*kept, ""]))
    return _insert_tokens(tokens, [segment(texts[number]) for number in rest], rest)


def _texts_to_check(joined: str, texts: Sequence[str]) -> tuple[list[int], list[str]]:
    """The indices of the texts that rjieba may segment differently, and all texts with those emptied."""
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _kinds()[np.minimum(points, 0x20000)]
    positions = np.flatnonzero(_may_be_ambiguous(points, kinds))
    if not len(positions):
        return [], []
    ends = np.cumsum([len(text) + 1 for text in texts])
    rest = np.unique(np.searchsorted(ends, positions, side="right")).tolist()
    kept = list(texts)
    for number in rest:
        kept[number] = ""
    return rest, kept


def _may_be_ambiguous(points: NDArray[np.uint32], kinds: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a match of `_AMBIGUOUS` or `_MIXED_RUN` may begin: includes every match, and rarely anything else."""
    sign, in_run = (kinds & _SIGN).astype(bool), (kinds & _IN_RUN).astype(bool)
    found = (kinds & _BEYOND).astype(bool)
    found[:-1] |= sign[:-1] & in_run[1:] | in_run[:-1] & sign[1:]
    han = (kinds & _HAN).astype(bool)
    # again[d][i]: the Chinese character at i occurs again d characters later.
    again = {d: _ahead(points, d) & han for d in range(1, 9)}
    soon = again[1] | again[2] | again[3]
    for distance in (1, 2, 3):  # The same three times, at most two others between.
        found |= again[distance] & _shifted(soon, distance)
    found |= again[2] & _shifted(again[2], 1)  # Two, and the same two.
    for period in range(4, 9):  # Four to eight, and the same twice more.
        found |= again[period] & _shifted(again[period], 1) & _shifted(again[period], period)
    return found


def _ahead(points: NDArray[np.uint32], distance: int) -> NDArray[np.bool_]:
    same = np.zeros(len(points), bool)
    if distance < len(points):
        same[:-distance] = points[:-distance] == points[distance:]
    return same


def _shifted(flags: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    moved = np.zeros_like(flags)
    if distance < len(flags):
        moved[:-distance] = flags[distance:]
    return moved


def _insert_tokens(tokens: Sequence[str], texts: Sequence[Sequence[str]], numbers: Sequence[int]) -> list[str]:
    """The tokens, with those of the texts with these indices inserted into their empty lines."""
    filled: list[str] = []
    begin = line = at = 0
    for number, text in zip(numbers, texts, strict=True):
        while line < number:
            at = tokens.index("\n", at) + 1
            line += 1
        filled += tokens[begin:at]
        filled += text
        begin = at
    filled += tokens[begin:]
    return filled


def _segment(text: str) -> list[str]:
    tokens: list[str] = _rjieba().cut(text)
    if not _MIXED_RUN.search(text):
        return tokens
    return [piece for token in tokens for piece in _resplit(token)]


def _resplit(token: str) -> Iterable[str]:
    """Split an ASCII run that jieba's dictionary lacks in the same way as jieba."""
    if len(token) == 1 or not token.isascii() or token.isalnum() or _rjieba().has_word(token):
        return (token,)
    return [piece for piece in _ASCII_RUN.split(token) if piece]
