"""Which tokens are one, which say something, and what the vocabulary makes of those that it lacks."""

from __future__ import annotations

import pytest

from streamer.text import PAD, UNKNOWN, Vocabulary, tokens_of

KNOWN = Vocabulary(
    [
        PAD,
        UNKNOWN,
        "don't",
        "isn't",
        "good",
        "bad",
        "so",
        "cool",
        "god",
        "❤",
        "😊",
        "🙁",
        "👍",
        "👎",
        "😡",
        "好",
        "差",
        ",",
        ".",
    ]
)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't, isn’t", ["don't", ",", "isn't"]),
        ("I'm you're we've they'll he'd it's that's", ["i'm", "you're", "we've", "they'll", "he'd", "it's", "that's"]),
        ("the phone's fault", ["the", "phone", "'", "s", "fault"]),
        ("rock'n'roll 'quoted'", ["rock", "'", "n", "'", "roll", "'", "quoted", "'"]),
        ("<3 :-) :( :heart: :+1: :thumbsdown:", ["❤", "😊", "🙁", "❤", "👍", "👎"]),
        ("好:)好", ["好", "😊", "好"]),
        ("T_T ^_^ >_< -_-", ["😭", "😊", "😣", "😒"]),
        ("12:00 note:data 8-10 1<30", ["12", ":", "00", "note", ":", "data", "8", "-", "10", "1", "<", "30"]),
        (":no such code:", [":", "no", "such", "code", ":"]),
        ("le café, não é très", ["le", "café", ",", "não", "é", "très"]),
        (
            "the C: drive on Windows XP (few): tit for tat",
            ["the", "c", ":", "drive", "on", "windows", "xp", "(", "few", ")", ":", "tit", "for", "tat"],
        ),
        ("👍🏽 👨‍👩‍👧", ["👍", "👨", "👩", "👧"]),
    ],
)
def test_what_belongs_together_is_one_token(text: str, tokens: list[str]) -> None:
    """Contractions, emoticons and shortcodes; the last two as the emoji that they stand for."""
    assert tokens_of(text) == tokens


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0",
            "1",
            "12345",
            "666",
            "100%",
            "5/5",
            "?",
            "!!!!!",
            "。。。。",
            "-",
            "...",
            "$ 5",
            "[图片]",
            "1 2 3",
            "　",
            "\u200b",
        ),
        *("https://example.com/a?b=c", "www.example.com", "someone@example.com", "@someone", "<br>", "&nbsp;"),
        *(
            "N / A",
            "(none)",
            "-none-",
            "[无]",
            "。无。",
            "n/a n/a",
            "[object Object]",
            "N/A",
            "n/a.",
            "null",
            "None",
            "nan",
            "undefined",
            "No Negative",
            "No Positive",
            "[deleted]",
            "[removed]",
        ),
        *(
            "此用户没有填写评价。",
            "系统默认好评",
            "该用户未填写评价内容",
            "此用户未及时评价，系统默认好评！",
            "该评论已删除",
            "转发微博",
        ),
        *("無", "暂无评价", "Sent from my iPhone", "<p><img src=x></p>"),
    ],
)
def test_a_review_without_a_word_has_no_tokens(text: str) -> None:
    """Digits, punctuation, addresses, and what forms fill in where nothing was written."""
    encoded = KNOWN.encode(text, 10)
    assert (len(encoded), encoded.coverage) == (0, 0.0)
    assert tokens_of(text) == []


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("<3", ("<3",)),
        ("😡", ("😡",)),
        (":heart:", (":heart:",)),
        ("goooood", ("goood",)),
        ("sooo baaad, cooool", ("sooo", "baaad", ",", "coool")),
        ("Don’t", ("don't",)),
        ("好评 好", ("好", "好")),
    ],
)
def test_evidence_names_what_stands_in_the_text(text: str, tokens: tuple[str, ...]) -> None:
    """The id is that of the emoji or the word, the token as it was written."""
    assert KNOWN.encode(text, 10).tokens == tokens


def test_a_negation_may_lack_its_apostrophe() -> None:
    """`isnt good` is not `good`."""
    assert KNOWN.encode("isnt good", 10).ids == KNOWN.encode("isn't good", 10).ids


def test_an_accented_word_is_one_word() -> None:
    """Known with or without its accents, from four letters on; its letters alone have no opinion."""
    vocabulary = Vocabulary([PAD, UNKNOWN, "cafe", "a", "n", "o", "good"])
    assert vocabulary.encode("good café", 10).ids == vocabulary.encode("good cafe", 10).ids
    encoded = vocabulary.encode("não à é", 10)
    assert (len(encoded), encoded.coverage) == (0, 0.0)


def test_a_stretched_word_has_the_id_of_the_word() -> None:
    """Of two letters rather than of one: `good`, not `god`."""
    assert KNOWN.encode("gooooood", 10).ids == KNOWN.encode("good", 10).ids


def test_an_unknown_token_has_no_opinion() -> None:
    """The ids are those of the text without it; only the coverage differs."""
    known, more = KNOWN.encode("good, bad", 10), KNOWN.encode("good, zyx bad", 10)
    assert (more.ids, more.tokens) == (known.ids, known.tokens)
    assert (known.coverage, more.coverage) == (1.0, 2 / 3)


@pytest.mark.parametrize(
    ("text", "coverage", "tokens"),
    [
        ("good zyx", 0.5, 1),
        ("good zyx wvu", 1 / 3, 0),
        ("Отличный товар, очень доволен.", 0.0, 0),
        ("good 5 6 7 8 9", 1.0, 1),
    ],
)
def test_where_most_is_unknown_the_model_is_not_asked(text: str, coverage: float, tokens: int) -> None:
    """Less than half of the words; punctuation and digits, which all languages share, do not count."""
    encoded = KNOWN.encode(text, 10)
    assert encoded.coverage == pytest.approx(coverage)
    assert len(encoded) == tokens
