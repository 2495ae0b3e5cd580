"""The vocabulary, and encoded reviews, ready to be batched."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np

from streamer.text.markup import Markup, visible_text
from streamer.text.normalisation import normalise_all
from streamer.text.words import canonical, forms, has_word, is_accented, is_word, split_all

Item = TypeVar("Item")

# A text with more characters than this for each token of the limit is cut first, so that the time is bounded.
_CHARACTERS_PER_TOKEN = 64

PAD = "<pad>"
UNKNOWN = "<unk>"
PAD_ID = 0
UNKNOWN_ID = 1
_ID_BYTES = 8
# The model has no opinion on a review of which it knows less than this share of the tokens.
MIN_COVERAGE = 0.5


def bound(text: str, max_tokens: int) -> str:
    """The part of a visible text that is read: all of it, or head and tail if it is far too long for the limit."""
    limit = _CHARACTERS_PER_TOKEN * max_tokens
    return text if len(text) <= limit else f"{text[: limit // 2]} {text[-(limit // 2) :]}"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tokenised review, ready to be batched.

    ids: int64 token ids in native byte order, 8 bytes each (a batch is built by padding and joining these). Unknown
    tokens have none. Empty where the model has no opinion: nothing was written, or most of it is unknown.
    tokens: the text of each id, for reporting evidence.
    truncated: whether the middle was cut out to fit `max_tokens`.
    coverage: the share of the text's words (tokens but punctuation and digits) that the vocabulary has, 0 to 1; 0
    where there are none.
    """

    ids: bytes
    tokens: tuple[str, ...]
    truncated: bool
    coverage: float = 1.0

    def __len__(self) -> int:
        return len(self.tokens)


class Vocabulary:
    """Maps tokens to ids, and falls back to single characters for unknown Chinese words.

    An emoticon has the id of its emoji, a stretched word (`goood`) that of the word. Tokens that are still unknown get
    no id: an unknown token has no opinion. Id 0 is the pad token, id 1 the one that training hides tokens behind.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        """tokens: in the order of their ids.

        Raises ValueError if the first two are not the pad and unknown tokens, or if a token occurs twice.
        """
        if list(tokens[:2]) != [PAD, UNKNOWN]:
            raise ValueError(f"a vocabulary begins with {PAD} and {UNKNOWN}")
        self._ids = {token: index for index, token in enumerate(tokens)}
        if len(self._ids) != len(tokens):
            raise ValueError("a token is in the vocabulary twice")
        self._is_word = np.array([is_word(token) for token in tokens], np.bool_)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def pieces(self, tokens: Sequence[str]) -> tuple[list[int], list[str]]:
        """Ids of the known tokens, and the text of each id: more than `tokens` if a word was split into characters."""
        ids, texts, _, _ = self._look_up(tokens, {})
        return ids, texts

    def encode(self, text: str, max_tokens: int, markup: Markup = "auto") -> Encoded:
        """Tokenise a raw text. If it is longer than `max_tokens`, keep the head and the tail, half each."""
        return self.encode_all((text,), max_tokens, markup)[0]

    def encode_all(self, texts: Sequence[str], max_tokens: int, markup: Markup = "auto") -> list[Encoded]:
        """`encode` each text, in about half the time. `markup`: as in `visible_text`."""
        if not texts:
            return []
        visible = [visible_text(text, markup) for text in texts]
        bounded = [bound(text, max_tokens) for text in visible]
        written = [text if has_word(text) else "" for text in normalise_all(bounded)]
        split, marks = split_all(written)
        split = [piece for piece in split if piece != " "]
        ids, tokens, ends, unknown = self._look_up(split, marks)
        packed = array("q", ids).tobytes()
        words = np.cumsum(self._is_word[np.array(ids, np.int64)])
        encoded = []
        begin = words_before = 0
        for whole, read, end, missing in zip(visible, bounded, ends, unknown, strict=True):
            words_here = int(words[end - 1]) if end else 0
            known, words_before = words_here - words_before, words_here
            coverage = known / (known + missing) if known else 0.0
            if coverage < MIN_COVERAGE:
                encoded.append(Encoded(b"", (), read is not whole, coverage))
            elif end - begin <= max_tokens:
                cut = packed[begin * _ID_BYTES : end * _ID_BYTES]
                encoded.append(Encoded(cut, tuple(tokens[begin:end]), read is not whole, coverage))
            else:
                kept = array("q", head_and_tail(ids[begin:end], max_tokens)).tobytes()
                encoded.append(Encoded(kept, tuple(head_and_tail(tokens[begin:end], max_tokens)), True, coverage))
            begin = end
        return encoded

    def _look_up(
        self, tokens: Sequence[str], marks: Mapping[str, str]
    ) -> tuple[list[int], list[str], list[int], list[int]]:
        """Ids, the text of each, and for each line break the number of ids before it, and of unknown tokens in its
        line. Line breaks get no id. `marks`: as from `split_all`."""
        get = self._ids.get
        found = list(map(get, tokens))
        ids: list[int] = []
        texts: list[str] = []
        ends: list[int] = []
        unknown: list[int] = []
        begin = missing = 0
        for at in [at for at, index in enumerate(found) if index is None]:
            ids += cast("list[int]", found[begin:at])
            texts += tokens[begin:at]
            begin = at + 1
            if tokens[at] == "\n":
                ends.append(len(ids))
                unknown.append(missing)
                missing = 0
                continue
            for piece in self._pieces(marks.get(tokens[at], tokens[at])):
                if (index := self._id(piece)) is None:
                    missing += is_word(piece)
                else:
                    ids.append(index)
                    texts.append(piece)
        ids += cast("list[int]", found[begin:])
        texts += tokens[begin:]
        return ids, texts, ends, unknown

    def _pieces(self, token: str) -> Sequence[str]:
        """A token, or the characters of a Chinese word that is unknown."""
        whole = token.isascii() or token in self._ids or len(canonical(token)) == 1 or is_accented(token)
        return (token,) if whole else token

    def _id(self, token: str) -> int | None:
        return next((self._ids[form] for form in forms(token) if form in self._ids), None)


def tokens_of(text: str, max_tokens: int | None = None) -> list[str]:
    """A raw text's tokens as the vocabulary has them, of as much of it as serving reads with `max_tokens`."""
    return visible_tokens(visible_text(text), max_tokens)


def visible_tokens(visible: str, max_tokens: int | None = None) -> list[str]:
    """`tokens_of` a text of which `visible_text` has been read."""
    normalised = normalise_all([visible if max_tokens is None else bound(visible, max_tokens)])
    tokens, marks = split_all([text if has_word(text) else "" for text in normalised])
    return [canonical(marks.get(token, token)) for token in tokens if token not in (" ", "\n")]


def head_and_tail(items: Sequence[Item], keep: int) -> list[Item]:
    """The first and last items, `keep` in total; the head gets the odd one."""
    tail = keep // 2
    return [*items[: keep - tail], *items[len(items) - tail :]]
