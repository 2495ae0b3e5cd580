"""Normalises texts to the form that the model was trained on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache

import opencc

# Part of the artefact's manifest: a model must be served with the normalisation that it was trained with.
NORMALISATION = 3

# Characters that NFKC keeps or folds one by one, whatever their neighbours: 97 % of reviews have no others.
_SIMPLE = "，。！？、；：（）～＋－％／　…“”‘’—《》【】·￥"
_PLAIN = re.compile(rf"[\t-\r\x20-\x7e\u4e00-\u9fa5{_SIMPLE}]*+")
_FOLDED = [(c, folded) for c in _SIMPLE if (folded := unicodedata.normalize("NFKC", c)) != c]

# Possessive quantifiers (Python 3.11) keep these patterns linear on hostile input.
_URL = re.compile(r"(?:https?://|www\.)[!-~]++")
# Chinese is written without spaces: a name in Chinese ends at a space or colon, or is short.
_USER = re.compile(
    r"(?<![\w.])@(?:[a-z0-9_\-]{1,30}+(?![a-z0-9_\-])|[\w\-]{1,30}+(?=:)|[\w\-]{1,8}+(?=\s)|[\w\-]{1,4}+(?!\w))"
)
_EMAIL = re.compile(r"[a-z0-9_.+-]{1,64}+@[a-z0-9-]{1,63}+(?:\.[a-z0-9-]{1,63}+)++")
# Typographic apostrophes within a word; NFKC would take the acute accent apart.
_APOSTROPHE = re.compile("(?<=[A-Za-z])[\u2018\u2019\u02bc\u2032\u00b4`\uff07](?=[A-Za-z])")
# Zero-width marks, variation selectors, skin tones, overlays and tags: no sentiment, but they split words and emoji.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u0334-\u0338\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20d0-\u20f0\ufe00-\ufe0f\ufeff"
    "\U0001f3fb-\U0001f3ff\U000e0000-\U000e01ef]"
)
# Control characters but line breaks, characters for private use, and those that stand for damage.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u3164\uffa0\ue000-\uf8ff\ufff9-\uffff\U000f0000-\U0010ffff]"
)
_REPEAT = re.compile(r"([^\n])\1{3,}")


def normalise(text: str) -> str:
    """Normalise a visible text (`markup.visible_text`) to the form that the model was trained on.

    In this order: apostrophes within words to `'`, NFKC, lower case, URLs, mail addresses and user names to spaces,
    unprintable characters to spaces, invisible marks dropped, traditional characters to simplified (OpenCC `t2s`), a
    character repeated more than three times folded to three, white space collapsed to single spaces and stripped.
    """
    return normalise_all((text,))[0]


def normalise_all(texts: Sequence[str]) -> list[str]:
    """`normalise` each text, in about half the time."""
    if not texts:
        return []
    # One line for each text: once white space is collapsed, no text contains a line break.
    joined = INVISIBLE.sub(
        "", "\n".join([_collapsed(_without_addresses(_nfkc(_repaired(text)).lower())) for text in texts])
    )
    if not joined.isascii():
        joined = to_simplified()(joined)
    return [_collapsed(line) for line in _REPEAT.sub(r"\1\1\1", joined).split("\n")]


def _repaired(text: str) -> str:
    """The text with plain apostrophes, and spaces for unprintable characters."""
    if not text.isascii() or "`" in text:
        text = _APOSTROPHE.sub("'", text)
    return text if _PLAIN.fullmatch(text) else _UNPRINTABLE.sub(" ", text)


def _without_addresses(text: str) -> str:
    if "http" in text or "www." in text:
        text = _URL.sub(" ", text)
    if "@" in text:
        text = _USER.sub(" ", _EMAIL.sub(" ", text))
    return text


def _collapsed(text: str) -> str:
    """The text with white space collapsed to single spaces and stripped."""
    return " ".join(text.split())


def _nfkc(text: str) -> str:
    """`unicodedata.normalize("NFKC", text)`, several times as fast for plain Chinese and ASCII."""
    if not _PLAIN.fullmatch(text):
        return unicodedata.normalize("NFKC", text)
    if not text.isascii():
        for character, folded in _FOLDED:
            text = text.replace(character, folded)
    return text


@cache
def to_simplified() -> Callable[[str], str]:
    """OpenCC's conversion, loaded at the first call."""
    convert: Callable[[str], str] = opencc.OpenCC("t2s").convert
    return convert
