"""The labels that the bundled model gives to texts as they really come: those that once failed, each with its right one."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import pytest

import streamer
from streamer.events import Prediction
from streamer.models.artefact import BUNDLED
from streamer.models.torchscript import Model, load

SAMPLES = [
    orjson.loads(line)["text"]
    for line in (Path(streamer.__file__).parent / "demo" / "samples.jsonl").read_bytes().splitlines()
]


@pytest.fixture(scope="module")
def model() -> Model:
    return load(BUNDLED, "cpu", "float32", 1, 4)


def predictions(model: Model, texts: Sequence[str]) -> list[Prediction]:
    return model.predict(model.vocabulary.encode_all(texts, model.manifest.max_tokens))


_NO_OPINION = [
    *("12345", "666", "100", "0", "1", "https://example.com/a?b=c", "www.example.com", "。。。。。。", "???", "!!!!!", "...", "-", "."),
    *("N/A", "null", "None", "nan", "undefined", "No Negative", "No Positive", "[图片]", "[视频]", "[deleted]", "[removed]", "转发微博"),
    *("此用户没有填写评价。", "系统默认好评", "该用户未填写评价内容", "此用户未及时评价，系统默认好评！", "该评论已删除"),
    *("someone@example.com", "aGVsbG8gd29ybGQgdGhpcyBpcyBhIHRlc3Q=", "3fa85f64-5717-4562-b3fc-2c963f66afa6", "📦"),
    *("この商品は最悪です。すぐに壊れました。", "とても美味しかったです。また来ます！", "정말 최악이에요. 다시는 안 사요.", "정말 맛있어요! 강력 추천합니다."),
    *("Ужасный товар, сломался через день.", "Отличный товар, очень доволен, рекомендую!", "منتج رائع جدا أنصح به بشدة"),
    *("สินค้าแย่มาก พังภายในวันเดียว", "Excelente producto, muy contento con la compra", "Sehr gut, schnelle Lieferung, gerne wieder"),
    *("味がひどい。返品したい", "最低。不良品。対応も悪い。", "Très mauvais produit, cassé après un jour, je déconseille", "Excellent produit, je recommande vivement"),
    *("Pessimo prodotto, si è rotto subito", "Sản phẩm quá tệ, hỏng ngay ngày đầu", "Sản phẩm rất tốt, giao hàng nhanh", "Berbat bir ürün, bir günde bozuldu"),
    *("Barang jelek, rusak, kecewa sekali", "Péssimo, veio quebrado, quero meu dinheiro de volta", "Não gostei, péssima experiência, não é bom"),
    *("å¤ªå·®äº†", "%E5%A4%AA%E5%B7%AE%E4%BA%86", "tеrrіblе product", "ᴛᴇʀʀɪʙʟᴇ product", "tai cha le", "laji"),
    *("Barang bagus, pengiriman cepat, terima kasih", "बहुत खराब उत्पाद", "מוצר גרוע, נשבר אחרי יום", "Muito bom, adorei, recomendo"),
]  # fmt: skip


@pytest.mark.parametrize("text", _NO_OPINION)
def test_what_says_nothing_that_the_model_knows_is_uncertain(model: Model, text: str) -> None:
    """With a score of exactly 0.5, and no evidence."""
    (found,) = predictions(model, [text])
    assert (found.label, found.score, found.tokens, found.evidence) == ("uncertain", 0.5, 0, ())


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("<3", "positive"), (":heart: :thumbsup:", "positive"), (":-)", "positive"), ("😍😍😍", "positive"), ("👍🏽", "positive"),
        ("goooooooood", "positive"), ("(๑•̀ㅂ•́)و✧", "positive"), ("RT @someone: great", "positive"),
        (":(", "negative"), (":thumbsdown: :angry:", "negative"), ("😡😡", "negative"), ("👎🏿", "negative"),
        ("baaaaaaad", "negative"), ("差差差差差差", "negative"), ("(╯°□°)╯︵ ┻━┻", "negative"),
        ("Don&#39;t buy this, it doesn&#x27;t work &amp; I&rsquo;m not happy", "negative"),
        ("质量&nbsp;&nbsp;太差了&nbsp;", "negative"), ("<span style='color:red'>质量太差</span>", "negative"),
        ("<p>The food was awful.</p><p>Never again.</p>", "negative"), ("太差了\\n再也不买\\n", "negative"),
        ("This is <b>not</b> good", "negative"), ("\\u592a\\u5dee\\u4e86", "negative"),
        ("今天的演出太精彩了<span class=\"url-icon\"><img alt=[太开心] src=\"https://h5.example.cn/a.png\" /></span>", "positive"),
        ("回复<a href='https://m.example.cn/n/abc'>@小明</a>:恭喜恭喜，真不错", "positive"),
        ('<a  href="https://m.example.cn/s" data-hide=""><span class="surl-text">#好物分享#</span></a> 这个面霜真的好用', "positive"),
        ('<p>Works <strong>great</strong> for me, thanks!</p>\n<p><img src="https://forum.example.com/images/emoji/heart.png?v=12" '
         'title=":heart:" class="emoji" alt=":heart:" loading="lazy" width="20" height="20"></p>', "positive"),
        ("Loved it &quot;so much&quot; <a href=\"https://www.example.com/w?v=abc&amp;t=1m2s\">1:02</a> best part", "positive"),
        ("ＴＥＲＲＩＢＬＥ　ｐｒｏｄｕｃｔ", "negative"), ("ter\u200brible pro\u200bduct", "negative"), ("t̶e̶r̶r̶i̶b̶l̶e̶ product", "negative"),
        ("𝐭𝐞𝐫𝐫𝐢𝐛𝐥𝐞 𝐩𝐫𝐨𝐝𝐮𝐜𝐭", "negative"), ("ⓣⓔⓡⓡⓘⓑⓛⓔ product", "negative"), ("太.差.了", "negative"), ("太 差 了", "negative"),
        ("⾮常差", "negative"), ("太差⃝了", "negative"), ("cafe\u0301 was awful", "negative"), ("terrible\u0085product", "negative"),
        ("這個 APP 真的很爛，一直當機 QQ", "negative"), ("垃圾", "negative"), ("辣鸡", "negative"), ("哈哈哈哈哈哈", "positive"),
        ("terrible\x00product", "negative"), ("te\u034frrible product", "negative"), ("品質很差，完全不推薦", "negative"),
    ],
)  # fmt: skip
def test_texts_as_they_come_are_labelled_rightly(model: Model, text: str, label: str) -> None:
    """Emoji, references, markup of platforms, odd characters."""
    (found,) = predictions(model, [text])
    assert found.label == label, found


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (
            '<aside class="quote"><blockquote><p>Best update ever, I love it</p></blockquote></aside><p>It broke.</p>',
            "It broke.",
        ),
        ('[quote="bob"]Excellent, love it[/quote] I disagree, junk.', "I disagree, junk."),
        ("It isn&#39;t bad. Couldn&#39;t be happier!", "It isn't bad. Couldn't be happier!"),
        ("Good<br/>but<BR>broken", "Good but broken"),
    ],
)
def test_markup_changes_no_score(model: Model, text: str, plain: str) -> None:
    """It is that of the text that a person wrote."""
    first, second = predictions(model, [text, plain])
    assert first.label == second.label
    assert first.score == pytest.approx(second.score, abs=1e-6)


_AROUND: dict[str, Callable[[str], str]] = {
    "paragraph": lambda text: f'<p class="review-content">{html.escape(text)}</p>',
    "span": lambda text: f'<span style="color:red;font-size:12px">{text}</span>',
    "link": lambda text: f'{text} <a href="https://example.com/a/b?c=1">https://example.com/a/b</a>',
    "decimal": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "picture": lambda text: f"{text}[图片]",
    "emphasis": lambda text: f"**{text}**",
    "user": lambda text: f"@someone {text}",
}


@pytest.mark.parametrize("kind", _AROUND)
def test_markup_around_a_sample_changes_hardly_a_label(model: Model, kind: str) -> None:
    """At most 2 % of the 260 samples, and none to the opposite."""
    before = [found.label for found in predictions(model, SAMPLES)]
    after = [found.label for found in predictions(model, [_AROUND[kind](text) for text in SAMPLES])]
    changed = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    assert len(changed) <= 0.02 * len(SAMPLES)
    assert all("uncertain" in pair for pair in changed)
