"""The vocabulary, and encoded reviews, ready to be batched."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from streamer.text.normalisation import normalise, normalise_all
from streamer.text.segmentation import segment, segment_all

Item = TypeVar("Item")

# A text with more characters than this for each token of the limit is cut first, so that the time is bounded.
_CHARACTERS_PER_TOKEN = 64

PAD = "<pad>"
UNKNOWN = "<unk>"
PAD_ID = 0
UNKNOWN_ID = 1
_ID_BYTES = 8


def bound(text: str, max_tokens: int) -> str:
    """The part of a raw text that is read: all of it, or head and tail if it is far too long for the limit."""
    limit = _CHARACTERS_PER_TOKEN * max_tokens
    return text if len(text) <= limit else f"{text[: limit // 2]} {text[-(limit // 2) :]}"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tokenised review, ready to be batched.

    ids: int64 token ids in native byte order, 8 bytes each (a batch is built by padding and joining these).
    tokens: the text of each id, for reporting evidence.
    truncated: whether the middle was cut out to fit `max_tokens`.
    """

    ids: bytes
    tokens: tuple[str, ...]
    truncated: bool

    def __len__(self) -> int:
        return len(self.tokens)


class Vocabulary:
    """Maps tokens to ids, and falls back to single characters for unknown Chinese words.

    Id 0 is the pad token, id 1 is for unknown tokens.
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

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def pieces(self, tokens: Sequence[str]) -> tuple[list[int], list[str]]:
        """Ids of the tokens, and the text of each id: more than `tokens` if a word was split into characters."""
        ids, texts, _ = self._look_up(tokens)
        return ids, texts

    def encode(self, text: str, max_tokens: int) -> Encoded:
        """Tokenise a raw text. If it is longer than `max_tokens`, keep the head and the tail, half each."""
        return self.encode_all((text,), max_tokens)[0]

    def encode_all(self, texts: Sequence[str], max_tokens: int) -> list[Encoded]:
        """`encode` each text, in about half the time."""
        if not texts:
            return []
        bounded = [bound(text, max_tokens) for text in texts]
        ids, tokens, ends = self._look_up([t for t in segment_all(normalise_all(bounded)) if t != " "])
        packed = array("q", ids).tobytes()
        encoded = []
        begin = 0
        for text, read, end in zip(texts, bounded, ends, strict=True):
            if end - begin <= max_tokens:
                cut = packed[begin * _ID_BYTES : end * _ID_BYTES]
                encoded.append(Encoded(cut, tuple(tokens[begin:end]), read is not text))
            else:
                kept = array("q", head_and_tail(ids[begin:end], max_tokens)).tobytes()
                encoded.append(Encoded(kept, tuple(head_and_tail(tokens[begin:end], max_tokens)), True))
            begin = end
        return encoded

    def _look_up(self, tokens: Sequence[str]) -> tuple[list[int], list[str], list[int]]:
        """Ids, the text of each, and the number of ids before each line break. Line breaks get no id."""
        get = self._ids.get
        found = list(map(get, tokens))
        ids: list[int] = []
        texts: list[str] = []
        ends: list[int] = []
        begin = 0
        for at in [at for at, index in enumerate(found) if index is None]:
            ids += cast("list[int]", found[begin:at])
            texts += tokens[begin:at]
            unknown = tokens[at]
            begin = at + 1
            if unknown == "\n":
                ends.append(len(ids))
            elif len(unknown) == 1 or unknown.isascii():
                ids.append(UNKNOWN_ID)
                texts.append(unknown)
            else:
                ids += [get(character, UNKNOWN_ID) for character in unknown]
                texts += unknown
        ids += cast("list[int]", found[begin:])
        texts += tokens[begin:]
        return ids, texts, ends


def tokens_of(text: str) -> list[str]:
    """The tokens of a raw text as the model sees them: normalised, segmented, blanks dropped."""
    return [token for token in segment(normalise(text)) if not token.isspace()]


def head_and_tail(items: Sequence[Item], keep: int) -> list[Item]:
    """The first and last items, `keep` in total; the head gets the odd one."""
    tail = keep // 2
    return [*items[: keep - tail], *items[len(items) - tail :]]
