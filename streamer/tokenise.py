"""From a review's text to token ids: one way, shared by training and serving.

    text -> normalise -> segment -> Vocabulary.encode -> Encoded

jieba 0.42.1 is the reference segmentation. rjieba carries the same dictionary in Rust, is many times
faster and releases the GIL; `segment` uses it wherever the two agree and jieba itself where they do not.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import jieba
import opencc
import rjieba

Item = TypeVar("Item")

# A text longer than this many characters per token of the limit is cut before it is read: time stays bounded.
_CHARACTERS_PER_TOKEN = 64

# Part of the artefact's manifest: a model must not be served with another normalisation than its own.
NORMALISATION = 2

PAD = "<pad>"
UNKNOWN = "<unk>"
PAD_ID = 0
UNKNOWN_ID = 1
URL = "xxurl"
USER = "xxuser"

# Characters that NFKC leaves alone or folds one by one, whatever stands beside them: of 97 % of reviews all are.
_SIMPLE = "，。！？、；：（）～＋－％／　…“”‘’—《》【】·￥"
_PLAIN = re.compile(rf"[\x00-\x7f\u4e00-\u9fa5{_SIMPLE}]*+")
_FOLDED = [(c, folded) for c in _SIMPLE if (folded := unicodedata.normalize("NFKC", c)) != c]

_BREAK = re.compile(r"<\s*/?\s*(?:br|p|div)\s*/?\s*>")
# Possessive quantifiers are 3.11's: these patterns stay linear on hostile input.
_URL = re.compile(r"(?:https?://|www\.)[!-~]++")
# Chinese is written without spaces: a name with letters of it ends where it is marked off, or is a short one.
_USER = re.compile(r"(?<![\w.])@(?:[a-z0-9_\-]{1,30}+(?![a-z0-9_\-])|[\w\-]{1,30}+(?=[\s:])|[\w\-]{1,8}+(?!\w))")
# Zero-width marks and variation selectors carry no sentiment, but split words and emoji.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
_REPEAT = re.compile(r"(.)\1{3,}", re.DOTALL)
_SPACE = re.compile(r"\s+")

# jieba.re_han_default: the runs that jieba looks up in its dictionary.
_RUN = re.compile(r"([\u4E00-\u9FD5a-zA-Z0-9+#&\._%\-]+)")
# jieba.finalseg.re_skip: how jieba splits an ASCII run that its dictionary lacks.
_ASCII_RUN = re.compile(r"([a-zA-Z0-9]+(?:\.\d+)?%?)")
# What an ASCII run must have in it for jieba to split it: one of its signs beside another character of the run.
_MIXED_RUN = re.compile(r"[+#&._%\-][a-zA-Z0-9+#&._%\-]|[a-zA-Z0-9][+#&._%\-]")
# Where jieba and rjieba part ways: outside jieba's U+4E00..U+9FD5 block, and where characters recur so
# closely that two paths through the HMM can be equally likely and each library breaks the tie its own way.
_AMBIGUOUS = re.compile(
    "([\u4e00-\u9fd5])(?:[\u4e00-\u9fd5]{0,2}\\1){2}"
    "|([\u4e00-\u9fd5]{2})\\2|([\u4e00-\u9fd5]{4,8})\\3\\3"
    "|[\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u9fd6-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


@cache
def _to_simplified() -> Callable[[str], str]:
    convert: Callable[[str], str] = opencc.OpenCC("t2s").convert
    return convert


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
    """Load the dictionaries now: jieba's takes most of a second, in which nothing else in the process runs."""
    _to_simplified()
    _rjieba().cut("")
    _jieba()


def normalise(text: str) -> str:
    """Fold a text to the form that the model was trained on.

    In this order: NFKC, lower case, HTML breaks to spaces, URLs and user names to `xxurl` and `xxuser`,
    invisible marks dropped, traditional characters to simplified (OpenCC `t2s`), a character repeated more
    than three times folded to three, white space collapsed to single spaces and stripped.
    """
    text = _nfkc(text).lower()
    if "<" in text:
        text = _BREAK.sub(" ", text)
    if "http" in text or "www." in text:
        text = _URL.sub(f" {URL} ", text)
    if "@" in text:
        text = _USER.sub(f" {USER} ", text)
    text = _INVISIBLE.sub("", text)
    if not text.isascii():
        text = _to_simplified()(text)
    text = _REPEAT.sub(r"\1\1\1", text)
    return _SPACE.sub(" ", text).strip()


def _nfkc(text: str) -> str:
    """`unicodedata.normalize("NFKC", text)`, several times as fast for plain Chinese and ASCII."""
    if not _PLAIN.fullmatch(text):
        return unicodedata.normalize("NFKC", text)
    if not text.isascii():
        for character, folded in _FOLDED:
            text = text.replace(character, folded)
    return text


def segment_reference(text: str) -> list[str]:
    """jieba's own segmentation (accurate mode, HMM on); slow, the yardstick for `segment`."""
    return _jieba().lcut(text)  # type: ignore[no-any-return]  # jieba ships no types.


def segment(text: str) -> list[str]:
    """Split a text into jieba's tokens, white space included: `"".join(segment(t)) == t`."""
    if not _AMBIGUOUS.search(text):
        return _segment(text)
    # jieba reads runs of its own characters one by one, so only the ambiguous ones among them need to go to it.
    runs = (run for run in _RUN.split(text) if run)
    return [token for run in runs for token in (segment_reference if _AMBIGUOUS.search(run) else _segment)(run)]


def _segment(text: str) -> list[str]:
    tokens: list[str] = _rjieba().cut(text)
    if not _MIXED_RUN.search(text):
        return tokens
    return [piece for token in tokens for piece in _resplit(token)]


def _resplit(token: str) -> Iterable[str]:
    """Split an ASCII run that jieba's dictionary lacks the way jieba does."""
    if len(token) == 1 or not token.isascii() or token.isalnum() or _rjieba().has_word(token):
        return (token,)
    return [piece for piece in _ASCII_RUN.split(token) if piece]


def bound(text: str, max_tokens: int) -> str:
    """A raw text as far as it is read: itself, or head and tail of one that is too long for the limit by far."""
    limit = _CHARACTERS_PER_TOKEN * max_tokens
    return text if len(text) <= limit else f"{text[: limit // 2]} {text[-(limit // 2) :]}"


def tokens_of(text: str) -> list[str]:
    """The tokens of a raw text as the model sees them: normalised, segmented, blanks dropped."""
    return [token for token in segment(normalise(text)) if not token.isspace()]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tokenised review, ready to be batched.

    ids: int64 token ids in native byte order, 8 bytes each (a batch is built by padding and joining these).
    tokens: the text of each id, what evidence is reported against.
    truncated: whether the middle was cut out to fit `max_tokens`.
    """

    ids: bytes
    tokens: tuple[str, ...]
    truncated: bool

    def __len__(self) -> int:
        return len(self.tokens)


class Vocabulary:
    """Token to id, with a fallback to characters for Chinese words that it lacks.

    Id 0 is the pad token, id 1 stands for everything unknown.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        """Take the tokens in the order of their ids.

        Raises ValueError when the first two are not the pad and unknown tokens, or a token comes twice.
        """
        if list(tokens[:2]) != [PAD, UNKNOWN]:
            raise ValueError(f"a vocabulary begins with {PAD} and {UNKNOWN}")
        self._ids = {token: index for index, token in enumerate(tokens)}
        if len(self._ids) != len(tokens):
            raise ValueError("a token is in the vocabulary twice")

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def pieces(self, tokens: Sequence[str]) -> tuple[list[int], Sequence[str]]:
        """Ids of the tokens, and the text of each id: longer than `tokens` where a word fell to characters."""
        get = self._ids.get
        found = [get(token, -1) for token in tokens]
        if -1 not in found:
            return found, tokens
        ids: list[int] = []
        texts: list[str] = []
        for token, index in zip(tokens, found, strict=True):
            if index < 0 and len(token) > 1 and not token.isascii():
                ids.extend(get(character, UNKNOWN_ID) for character in token)
                texts.extend(token)
            else:
                ids.append(UNKNOWN_ID if index < 0 else index)
                texts.append(token)
        return ids, texts

    def encode(self, text: str, max_tokens: int) -> Encoded:
        """Tokenise a raw text; of one longer than `max_tokens` keep the head and the tail, half each."""
        bounded = bound(text, max_tokens)
        truncated = bounded is not text
        ids, tokens = self.pieces(tokens_of(bounded))
        if len(ids) > max_tokens:
            truncated = True
            ids, tokens = head_and_tail(ids, max_tokens), head_and_tail(tokens, max_tokens)
        return Encoded(array("q", ids).tobytes(), tuple(tokens), truncated)


def head_and_tail(items: Sequence[Item], keep: int) -> list[Item]:
    """The first and last items, `keep` in all; the head gets the odd one."""
    tail = keep // 2
    return [*items[: keep - tail], *items[len(items) - tail :]]
