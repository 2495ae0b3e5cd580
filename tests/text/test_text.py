"""One tokeniser for training and serving: jieba's tokens, at rjieba's speed."""

from __future__ import annotations

import random
import time
import unicodedata
from array import array
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.text import (
    PAD,
    PAD_ID,
    UNKNOWN,
    UNKNOWN_ID,
    Vocabulary,
    head_and_tail,
    normalise,
    segment,
    segment_reference,
    tokens_of,
)
from streamer.text.normalisation import _nfkc
from streamer.text.segmentation import _remembered
from tests.texts import reviews

REAL_TEXTS = 8_000
GENERATED_TEXTS = 8_000

COMMON = "的一是不了人我在有他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小么心多"
OUTSIDE = "㐀䶵鿖鿿豈〇々〡⺀⼀𠀀𪜀"  # CJK that jieba's own block leaves out.
OTHERS = "abcXYZ019.%+#&-_ \t\n，。！？…～😀😂👍🏽é　ＡＢｃ０％．한글カタカナひらабв\u200d\u0301α"
PLAIN = "abZ09 \n~!.,+-%/…，。！？、；：（）～＋－％／　“”‘’—《》【】·￥"
SHAPES = """
iPhone 5.5 100% 3.14% C++ C# T恤 AT&T USB-C 1080P 2.0.1 50. 卡拉OK A股 ＮＢＡ x.5 .5 %% 1%2 n多 e-mail a.b%
""".split()  # noqa: SIM905  # A list of strings would take a page.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ＡＢＣ１２３％", "abc123%", id="full width"),
        pytest.param("ﬁne ① ㎏ ｶﾞ", "fine 1 kg ガ", id="compatibility forms"),
        pytest.param("GREAT Phone ΣΑΣ", "great phone σας", id="lower case"),
        pytest.param("a < b > c <b>", "a < b > c <b>", id="brackets stay"),
        pytest.param("看https://a.cn/x?y=1#z 好", "看 好", id="url"),
        pytest.param("HTTP://A.CN www.b.cn/路", "路", id="urls end where ASCII does"),
        pytest.param("谢谢 @小米_客服-1 !", "谢谢 !", id="user name"),
        pytest.param("//@一个名字很长很长的人:说得对", "// :说得对", id="marked-off name"),
        pytest.param("@bob你好 @小明，早", "你好 ,早", id="name before other letters"),
        pytest.param("@小明你看这个真的太好看了", "@小明你看这个真的太好看了", id="no name ends here"),
        pytest.param("质量太差了邮箱abc@qq.com", "质量太差了邮箱", id="mail address behind Chinese"),
        pytest.param("@小米手机太差了", "@小米手机太差了", id="a name that Chinese follows"),
        pytest.param("@商家质量太差了再也不会买了 差评", "@商家质量太差了再也不会买了 差评", id="no name is so long"),
        pytest.param("me@example.com a.@b", "a.@b", id="mail address"),
        pytest.param("don’t don‘t donʼt don´t don`t ’t t’", "don't don't don't don't don't ’t t’", id="apostrophes"),
        pytest.param("ter\u200brible t\u0336e\u0336 👍🏽 g\U000e0061o", "terrible te 👍 go", id="marks within words"),
        pytest.param("a\x00b\x07c\ue000d\ufffde\u3164f", "a b c d e f", id="unprintable"),
        pytest.param("很\u200b好\ufe0f\u00ad吃\ufeff", "很好吃", id="invisible marks"),
        pytest.param("這個電視畫質很棒，後悔買晚了", "这个电视画质很棒,后悔买晚了", id="traditional"),
        pytest.param("哈哈哈哈哈哈 soooo aaa 1111", "哈哈哈 sooo aaa 111", id="repeats"),
        pytest.param("\r\n 好\t\t 的\u3000\u00a0呀 \v", "好 的 呀", id="white space"),
        pytest.param(" \n\t", "", id="blank"),
        pytest.param("", "", id="empty"),
    ],
)
def test_a_text_is_folded(text: str, expected: str) -> None:
    """One rule each."""
    assert normalise(text) == expected


# Without marks that come apart or together when something between them goes, and without half-written tags.
stable = st.text(
    st.sampled_from(COMMON + "這個電視乾後發ABCabc.:/wht0159% \n\t，！😀ＡＢé")
    | st.characters(exclude_categories=["Cs", "Cf", "Mn", "Me", "Mc"], exclude_characters="<>@"),
    max_size=40,
)


@settings(deadline=None)
@given(stable)
def test_folding_twice_is_folding_once(text: str) -> None:
    """What is folded stays as it is."""
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(st.sampled_from(COMMON + PLAIN), max_size=40) | st.text(st.sampled_from(COMMON + OTHERS), max_size=40))
def test_the_quick_way_of_folding_is_nfkc(text: str) -> None:
    """Of plain Chinese and ASCII, with the full-width punctuation that goes with them, and of anything else."""
    assert _nfkc(text) == unicodedata.normalize("NFKC", text)


@settings(deadline=None)  # Loading the dictionaries takes a second.
@given(st.text(st.sampled_from(COMMON + OUTSIDE + OTHERS), max_size=40) | st.text(max_size=20))
def test_no_character_is_lost(text: str) -> None:
    """White space included."""
    assert "".join(segment(text)) == text


def differing(texts: Iterable[str]) -> list[str]:
    return [text for text in texts if segment(text) != segment_reference(text)]


def test_real_reviews_are_segmented_as_jieba_does() -> None:
    """Folded, as they are served; a quarter also as they were written."""
    texts = reviews(REAL_TEXTS)
    assert differing(normalise(text) for text in texts) == []
    assert differing(texts[::4]) == []


def _generators(chance: random.Random) -> dict[str, Callable[[], str]]:
    def some(pool: str, most: int) -> str:
        return "".join(chance.choices(pool, k=chance.randint(1, most)))

    def anywhere(first: int, last: int, most: int) -> str:
        points = (chance.randint(first, last) for _ in range(chance.randint(1, most)))
        return "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)

    return {
        "common characters": lambda: some(COMMON, 25),
        "any of jieba's characters": lambda: anywhere(0x4E00, 0x9FD5, 12),
        "characters outside of them": lambda: some(COMMON + OUTSIDE, 15),
        "few characters that recur": lambda: some(some(COMMON, 3) + some(OTHERS, 2), 14),
        "a word said again": lambda: some(COMMON, 3) * chance.randint(2, 4) + some(COMMON, 2),
        "numbers, dots and signs": lambda: some("ab1290.%+#&-_ /=", 15),
        "scripts and emoji": lambda: some(OTHERS, 15),
        "words as shops write them": lambda: "".join(chance.choices([*SHAPES, *COMMON], k=chance.randint(1, 12))),
        "anything": lambda: anywhere(0x20, 0x2FFFF, 8),
    }


@pytest.mark.parametrize("kind", _generators(random.Random(0)))
def test_hostile_texts_are_segmented_as_jieba_does(kind: str) -> None:
    """Where the two libraries are most likely to part ways."""
    generate = _generators(random.Random(kind))[kind]
    assert differing(generate() for _ in range(GENERATED_TEXTS // 8)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("这个手机很好", ["这个", "手机", "很", "好"]),
        ("wi-fi 5.5 寸 100%", ["wi", "-", "fi", " ", "5.5", " ", "寸", " ", "100%"]),
        ("", []),
    ],
)
def test_a_text_is_cut_into_words(text: str, expected: list[str]) -> None:
    """Blanks are tokens of their own here, and left out by `tokens_of`."""
    assert segment(text) == expected
    assert tokens_of(text) == [piece for piece in expected if piece != " "]


VOCABULARY = Vocabulary([PAD, UNKNOWN, "手机", "很", "好", "手", "good", "a", "b"])


def ids(encoded: bytes) -> list[int]:
    return array("q", encoded).tolist()


def test_ids_are_the_places_in_the_list() -> None:
    """And membership is the list's."""
    assert len(VOCABULARY) == 9
    assert "手机" in VOCABULARY
    assert "电视" not in VOCABULARY
    assert VOCABULARY.pieces(["手机", "很", "好"]) == ([2, 3, 4], ["手机", "很", "好"])


def test_a_chinese_word_that_is_unknown_falls_to_its_characters() -> None:
    """Known ones keep their ids; an unknown character or ASCII word has none."""
    found, texts = VOCABULARY.pieces(["手很", "机", "bad", "好"])
    assert found == [5, 3, 4]
    assert texts == ["手", "很", "好"]


@pytest.mark.parametrize("size", [2, 7, 256])
def test_many_texts_are_encoded_as_each_alone(size: int) -> None:
    """Real reviews, with hostile texts, blank ones and line breaks among them, whatever stands beside them."""
    chance = random.Random(size)
    texts = list(reviews(4_000))
    for generate in _generators(chance).values():
        texts += [generate() for _ in range(200)]
    texts += ["".join(chance.choices("好啊 \n\r\u200b\x00\uffff<br/>@", k=chance.randint(0, 6))) for _ in range(800)]
    texts += ["这个手机很好" * 40] * 3
    chance.shuffle(texts)
    vocabulary = Vocabulary([PAD, UNKNOWN, *dict.fromkeys(token for text in texts[::3] for token in tokens_of(text))])
    chunks = (texts[begin : begin + size] for begin in range(0, len(texts), size))
    together = [encoded for chunk in chunks for encoded in vocabulary.encode_all(chunk, 32)]
    assert together == [vocabulary.encode(text, 32) for text in texts]
    for text, encoded in zip(texts, together, strict=True):
        expected, _ = vocabulary.pieces(tokens_of(text))
        if encoded.coverage >= 0.5 and len(expected) <= 32:
            assert ids(encoded.ids) == expected
        elif encoded.coverage < 0.5:
            assert (encoded.ids, encoded.tokens) == (b"", ())
    assert vocabulary.encode_all([], 32) == []


@pytest.mark.parametrize("tokens", [[], [PAD], [UNKNOWN, PAD], ["好", PAD, UNKNOWN]])
def test_a_vocabulary_begins_with_pad_and_unknown(tokens: list[str]) -> None:
    """Their ids are fixed: the model's embedding depends on it."""
    with pytest.raises(ValueError, match="begins with"):
        Vocabulary(tokens)
    assert (PAD_ID, UNKNOWN_ID) == (0, 1)


def test_a_token_may_not_come_twice() -> None:
    """Ids would shift against the model's."""
    with pytest.raises(ValueError, match="twice"):
        Vocabulary([PAD, UNKNOWN, "好", "好"])


def test_a_text_becomes_ids_and_the_text_of_each() -> None:
    """Native 64-bit integers, as many as tokens."""
    encoded = VOCABULARY.encode("手机  很GOOD", 10)
    assert ids(encoded.ids) == [2, 3, 6]
    assert (encoded.tokens, encoded.truncated, len(encoded)) == (("手机", "很", "good"), False, 3)


@pytest.mark.parametrize("text", ["", " \n ", "\u200b", "<br>"])
def test_a_blank_text_has_no_tokens(text: str) -> None:
    """It is no error."""
    encoded = VOCABULARY.encode(text, 10)
    assert (encoded.ids, encoded.tokens, encoded.truncated, encoded.coverage) == (b"", (), False, 0.0)


@pytest.mark.parametrize(("most", "kept"), [(6, "a b a b a b"), (5, "a b a a b"), (2, "a b"), (1, "a")])
def test_of_a_long_text_head_and_tail_are_kept(most: int, kept: str) -> None:
    """Half each, the odd one to the head; one that just fits is whole."""
    encoded = VOCABULARY.encode("a b a b a b", most)
    assert encoded.tokens == tuple(kept.split())
    assert ids(encoded.ids) == [{"a": 7, "b": 8}[token] for token in encoded.tokens]
    assert encoded.truncated == (most < 6)


@settings(deadline=None)
@given(st.lists(st.integers()), st.integers(1, 20))
def test_head_and_tail_keep_as_many_as_asked(items: list[int], keep: int) -> None:
    """All of them where there are not more."""
    kept = head_and_tail(items, min(keep, len(items)))
    assert len(kept) == min(keep, len(items))
    head = (len(kept) + 1) // 2
    assert kept == items[:head] + items[len(items) - len(kept) + head :]


def test_the_middle_of_a_very_long_text_is_not_even_read() -> None:
    """Beyond 64 characters a token: whatever tokens come of it, the text counts as truncated."""
    whole = VOCABULARY.encode("good" + " " * 248 + "good", 4)
    assert (whole.tokens, whole.truncated) == (("good", "good"), False)
    cut = VOCABULARY.encode("good" + " " * 200 + "good" + " " * 200 + "good", 4)
    assert (cut.tokens, cut.truncated) == (("good", "good"), True)


@settings(max_examples=50, deadline=None)
@given(st.text(st.sampled_from(COMMON + OTHERS), max_size=600), st.integers(1, 8))
def test_no_text_has_more_tokens_than_the_limit(text: str, most: int) -> None:
    """And each token has its id."""
    encoded = VOCABULARY.encode(text, most)
    assert len(encoded) <= most
    assert len(ids(encoded.ids)) == len(encoded)


def test_long_runs_are_not_remembered() -> None:
    """Else the tokens of thousands of hostile texts would stay, up to a megabyte for each."""
    short, long = "好看" * 3, "好看" * 600
    segment(short)
    before = _remembered.cache_info().currsize
    assert "".join(segment(long)) == long
    assert _remembered.cache_info().currsize == before


def test_hostile_runs_take_time_by_their_length() -> None:
    """jieba's own HMM takes it by the square: sixteen times the length took some 200 times as long."""

    def seconds(length: int) -> float:
        text = ("龘靐齉爩麤龗灪" * length)[:length]
        begin = time.process_time()
        assert "".join(segment(text)) == text
        return time.process_time() - begin

    seconds(1_000)  # Loads what is loaded once.
    assert seconds(32_000) < 60 * max(0.01, seconds(2_000))
