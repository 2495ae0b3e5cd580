"""Splits normalised texts into the model's tokens: jieba's, but contractions, emoticons and shortcodes stay whole."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import emoji

from streamer.text.segmentation import segment_all

# "product's" is not among them: the product is what matters there.
_CONTRACTION = (
    r"(?<![a-z0-9'])(?:[a-z]{1,9}+(?<=n)'t|i'm|[a-z]{1,12}+'(?:re|ve|ll|d)|y'all|o'clock"
    r"|(?:it|that|he|she|what|there|here|let|who|how|where|when|why|this|one|everything|everyone|everybody|nothing"
    r"|nobody|something|someone|somebody|anything)'s)(?![a-z0-9'])"
)
_SHORTCODE = r":[a-z0-9][a-z0-9_+\-]{0,40}:|:[+\-]1:"

# Emoticons (lower case, after NFKC), and the emoji that each stands for.
_EMOTICONS = {
    "😊": ":) :-) :] :-] =) =] :^) (: (-: ;) ;-) ;] ^_^ ^-^ ^.^ ^^ :> :-> (^_^) (^^) (^.^) (^-^) ^o^ (^o^) ^ω^ ^▽^",
    "😀": ":d :-d =d :')) :)) :))) xd ;d",
    "😂": ":'d :'-d x'd :') :'-)",
    "😋": ":p :-p =p ;p",
    "😘": ":* :-* ;* :^*",
    "😎": "8-) b-)",
    "❤": "<3 <33 <333 ♥",
    "💔": "</3 <\\3",
    "🙁": ":( :-( :[ :-[ =( =[ )-: :< :-< :(( :((( (~_~)",
    "😢": ":'( :'-( ;( ;-( ='( :,(",
    "😭": "t_t t-t t.t ;_; ;-; q_q qaq qwq (t_t) (;_;) (ㄒoㄒ)",
    "😡": ">:( >:-( >:[ :@ :-@ >:|",
    "😕": ":/ :-/ :\\ :-\\ =/ :s :-s :| :-| =| :-$",
    "😒": "-_- -.- -__- =_= (-_-) 😑",
    "😣": ">_< >.< (>_<) (>.<)",
    "😮": ":o :-o =o o_o o.o 0_0 o_0 (o_o)",
}
_EMOJI_OF = {emoticon: sign for sign, emoticons in _EMOTICONS.items() for emoticon in emoticons.split()}
# Emoji that count as one that more people use.
_EMOJI_OF |= {
    "🙂": "😊",
    "😉": "😊",
    "❣": "❤",
    "🖤": "❤",
    "🤍": "❤",
    "😅": "😊",
    "😌": "😊",
}


def _pattern(emoticon: str) -> str:
    """Letters and digits at an end must not continue a word: `:d` in "note:data", `<3` in "<30"."""
    before = r"(?<![a-z0-9])" if emoticon[0].isalnum() or (emoticon[0] in ":;=8-" and emoticon[-1].isalnum()) else ""
    if emoticon in (":/", ":\\", "=/"):
        before, after = r"(?<![a-z0-9])", r"(?![/\\\w])"
    else:
        after = r"(?![a-z0-9])" if emoticon[-1].isalnum() else ""
    return before + re.escape(emoticon) + after


def _alternatives(emoticons: Iterable[str]) -> str:
    return "|".join(_pattern(emoticon) for emoticon in sorted(emoticons, key=len, reverse=True))


# By how each begins, since a pattern of all of them would be tried at every character.
_LETTER_FIRST = [emoticon for emoticon in _EMOJI_OF if emoticon[0].isalnum()]
_SIGN_FIRST = _EMOJI_OF.keys() - _LETTER_FIRST
_FIRST_SIGNS = re.escape("".join(sorted({emoticon[0] for emoticon in _SIGN_FIRST})))
_CONTRACTED = re.compile(_CONTRACTION)
_FACES = re.compile(f"(?=[{_FIRST_SIGNS}])(?:{_SHORTCODE}|{_alternatives(_SIGN_FIRST)})")
_LETTER_FACES = re.compile(rf"\b(?=[txqob0c8dㄒ][-_:.\]=)ad'w])(?:{_alternatives(_LETTER_FIRST)})")
# jieba's runs are ASCII: it would cut `café` into `caf` and `é`, and `não` into letters that mean nothing.
_LATIN = "a-z\u00df-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_ACCENTED = re.compile(rf"[a-z]*+[{_LATIN[3:]}][{_LATIN}]*+")
_SHORTEST_WITHOUT_ACCENTS = 4  # `café` is `cafe`; `à` is not `a`.
# No normalised text contains these: each stands for a token that jieba would split.
_FIRST_MARK, _LAST_MARK = 0xE000, 0xF8FF

# A text that says nothing, in normalised form: what forms, shops and forums fill in where nothing was written.
NOTHING_WRITTEN = frozenset(
    [
        *("object object", "n/a n/a", "deleted by user", "removed by reddit"),
        *(
            "n/a",
            "n.a",
            "na",
            "null",
            "nil",
            "none",
            "nan",
            "undefined",
            "nothing to say",
            "no comment",
            "no comments",
        ),
        *(
            "no negative",
            "no positive",
            "no negatives",
            "no positives",
            "no text",
            "no review",
            "no review text",
            "empty",
            "blank",
        ),
        *(
            "deleted",
            "removed",
            "\\n",
        ),
        *("comment deleted", "this comment was deleted", "this message was deleted", "this comment has been deleted"),
        *(
            "无",
            "暂无",
            "没有评价",
            "无评价",
            "未评价",
            "未填写",
            "无内容",
            "暂无评价",
            "暂无评论",
            "无评论",
            "转发",
            "转发微博",
            "轉發微博",
        ),
        *(
            "该评论已删除",
            "此评论已删除",
            "评论已删除",
            "该内容已删除",
            "此内容已删除",
            "该微博已被删除",
            "抱歉,此微博已被作者删除",
        ),
        *(
            "此用户没有填写评价",
            "此用户未填写评价",
            "此用户没有填写评论",
            "此用户没有填写评价内容",
            "该用户没有填写评价",
            "该用户未填写评价",
        ),
        *(
            "该用户未填写评价内容",
            "该用户没有填写评价内容",
            "此用户未填写评价内容",
            "该用户未填写文字评价",
            "用户未填写评价内容",
            "用户没有填写评价",
        ),
        *(
            "此用户未及时评价,系统默认好评",
            "该用户未及时评价,系统默认好评",
            "系统默认好评",
            "系统默认评价",
            "默认好评",
            "系统自动好评",
            "系统默认5星好评",
        ),
        *(
            "评价方未及时做出评价,系统默认好评",
            "评价方未及时评价,系统默认好评",
            "用户未及时评价,系统默认好评",
            "买家未及时评价,系统默认好评",
        ),
        *(
            "好评!系统默认",
            "未及时评价,系统默认好评",
            "该用户觉得商品很好,给出5星好评",
            "此用户未发表评价内容",
            "用户未发表评价内容",
        ),
    ]
)
_LONGEST_OF_NOTHING = max(map(len, NOTHING_WRITTEN)) + 8
# Letters, and signs that say something: emoji, emoticons and the parts of faces. Not digits, punctuation, currency.
_WORD = re.compile(r"[^\W\d_]|[\u2190-\u21ff\u2300-\u23ff\u2500-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]")


def has_word(normalised: str) -> bool:
    """Whether a normalised text says something: false for digits, punctuation and what is filled in for no text."""
    if not _WORD.search(normalised):
        return any(found[0] in _EMOJI_OF for found in _FACES.finditer(normalised))
    return (
        len(normalised) > _LONGEST_OF_NOTHING
        or normalised.strip(" 。.,!?-_*#()[]{}<>\"'/").replace(" / ", "/") not in NOTHING_WRITTEN
    )


def is_word(token: str) -> bool:
    """Whether a token is a word, an emoji or an emoticon: not digits, punctuation or white space."""
    return _WORD.search(token) is not None or token in _EMOJI_OF


def split_all(normalised: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The tokens of texts in one list, with a line break after each text; no text may contain one.

    The second result is `with_marks`'s: what the tokens for private use stand for.
    """
    if not normalised:
        return [], {}
    marked, marks = with_marks("\n".join(normalised))
    return segment_all(marked.split("\n") if marks else normalised), marks


def with_marks(text: str) -> tuple[str, dict[str, str]]:
    """A text with one character for private use, which segmentation leaves alone, in place of some tokens.

    These are contractions (`don't`), emoticons (`:-)`), shortcodes (`:heart:`) and accented words (`café`). The second
    result has the token that each such character stands for.
    """
    marks: dict[str, str] = {}

    def mark(found: re.Match[str]) -> str:
        token = found[0]
        if token[0] == ":" and token not in _EMOJI_OF and emoji_of_shortcode(token) is None:
            return token
        if token not in marks:
            if len(marks) > _LAST_MARK - _FIRST_MARK:
                return token
            marks[token] = chr(_FIRST_MARK + len(marks))
        return marks[token]

    text = _LETTER_FACES.sub(mark, _FACES.sub(mark, text))
    if "'" in text:
        text = _CONTRACTED.sub(mark, text)
    if not text.isascii():
        text = _ACCENTED.sub(mark, text)
    return text, {sign: token for token, sign in marks.items()}


@lru_cache(4096)
def emoji_of_shortcode(shortcode: str) -> str | None:
    """The emoji of `:heart:`, as GitHub, Slack, Discord and Discourse write it, without its variation selector."""
    found = emoji.emojize(shortcode, language="alias")
    if found == shortcode:
        found = emoji.emojize(shortcode.replace("-", "_"), language="alias")
    return None if ":" in found else found.replace("\ufe0f", "")[:1]


def canonical(token: str) -> str:
    """The token that the vocabulary has for this one: the emoji of an emoticon or shortcode."""
    if sign := _EMOJI_OF.get(token):
        return sign
    if token[0] == ":" == token[-1] and len(token) > 2:
        sign = emoji_of_shortcode(token)
        return token if sign is None else _EMOJI_OF.get(sign, sign)
    return token


def forms(token: str) -> Iterator[str]:
    """The tokens that the vocabulary may have for this one, the likeliest first."""
    yield canonical(token)
    if token.isascii():
        yield with_apostrophe(token)
        yield from unstretched(token)
    elif is_accented(token) and (plain := without_accents(token)) is not None:
        yield plain


def is_accented(token: str) -> bool:
    """Whether a token is a word in Latin letters that ASCII lacks some of."""
    return not token.isascii() and _ACCENTED.fullmatch(token) is not None


def without_accents(token: str) -> str | None:
    """An accented word in ASCII; None if it is too short to be the same word."""
    if len(token) < _SHORTEST_WITHOUT_ACCENTS:
        return None
    plain = "".join(c for c in unicodedata.normalize("NFD", token) if not unicodedata.combining(c))
    return plain if plain.isascii() else None


_NEGATED = re.compile(r"(?:is|was|are|were|do|does|did|has|have|had|ca|could|wo|would|should)nt")


def with_apostrophe(token: str) -> str:
    """`isnt` as `isn't`; any other token as it is."""
    return f"{token[:-1]}'t" if _NEGATED.fullmatch(token) else token


_STRETCHED = re.compile(r"(.)\1\1+")
_MAX_STRETCHES = 4


def unstretched(token: str) -> list[str]:
    """The words that a stretched one may be: `goood` -> `good`, `god`. Empty if no letter comes three times."""
    runs = list(_STRETCHED.finditer(token))
    if not runs or len(runs) > _MAX_STRETCHES or not token.isalpha():
        return []
    words = [""]
    end = 0
    for run in runs:
        words = [word + token[end : run.start()] + run[1] * times for word in words for times in (2, 1)]
        end = run.end()
    return [word + token[end:] for word in words]
