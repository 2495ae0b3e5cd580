"""What a person wrote, out of texts as forums, shops, microblogs and mail programs send them."""

from __future__ import annotations

import html
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.text import visible_text
from streamer.text.normalisation import normalise
from tests.texts import reviews


def seen(text: str) -> str:
    return " ".join(visible_text(text).split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('<p class="a" style="font-size:1px">It <b>is</b>n\'t</p><p>good</p>', "It isn't good", id="elements"),
        pytest.param("Good<br/>but<BR>broken<hr>now", "Good but broken now", id="breaks"),
        pytest.param("<ul><li>a<li>b</ul><table><tr><td>c</td><td>d</table>", "a b c d", id="lists and tables"),
        pytest.param("<span style='color:red'>质量太差</span>", "质量太差", id="no blank in a word"),
        pytest.param("太<b>好</b>了", "太好了", id="inline"),
        pytest.param('today <a href="https://a.example/?b&amp;t=1">1:02</a> best', "today 1:02 best", id="link text"),
        pytest.param("回复<a href='https://m.example.cn/n/a'>@小明</a>:恭喜", "回复@小明:恭喜", id="microblog reply"),
        pytest.param('好<a href="x"><span class="url-icon"><img src="x"></span><span>网页链接</span></a>', "好", id="link icon"),
        pytest.param('<p>Hi <img src="/images/emoji/heart.png" title=":heart:" class="emoji" alt=":heart:"></p>', "Hi :heart:", id="emoji"),
        pytest.param('好<span class="url-icon"><img alt=[太开心] src="//x/face.png"/></span>', "好[太开心]", id="microblog emoji"),
        pytest.param('nice <img src="cat.jpg" alt="A photograph of a cat">', "nice", id="photograph"),
        pytest.param("<script>var a='<b>bad</b>'</script>ok<style>.bad{}</style><!-- bad -->", "ok", id="scripts, styles, comments"),
        pytest.param('<div hidden>bad</div><p style="display: none">bad</p>ok', "ok", id="hidden"),
        pytest.param("<svg><title>bad</title></svg><iframe>bad</iframe><noscript>bad</noscript>ok", "ok", id="not shown"),
        pytest.param('<aside class="quote no-group"><blockquote><p>best</p></blockquote></aside><p>It broke.</p>', "It broke.", id="Discourse"),
        pytest.param('<div class="gmail_quote">best</div><blockquote>best</blockquote>It broke.', "It broke.", id="mail"),
        pytest.param("<blockquote>a <blockquote>b</blockquote> c</blockquote> mine", "mine", id="nested quotes"),
        pytest.param('[quote="bob"]Excellent[/quote] I disagree', "I disagree", id="BBCode quote"),
        pytest.param("[QUOTE]a[quote]b[/quote]c[/QUOTE] mine [b]not[/b] [url=http://x]good[/url] [img]http://x/a.png[/img]",
                     "mine not good", id="BBCode"),
        pytest.param("[quote] is never closed", "[quote] is never closed", id="BBCode that is open"),
        pytest.param("> best ever\n> really\nIt broke.", "It broke.", id="quoted lines"),
        pytest.param("> only this", "> only this", id="nothing but a quoted line"),
        pytest.param(">_< sad\n>:( bad", ">_< sad >:( bad", id="faces at the beginning of a line"),
        pytest.param("难看//@小明:真好看//@小红:好", "难看", id="reposts"),
        pytest.param("**Terrible**, see [this site](https://a.example/b) ![x](https://a.example/c.png) _now_",
                     "Terrible, see this site now", id="Markdown"),
        pytest.param("snake_case 5*3*2 (*^_^*) C:\\new", "snake_case 5*3*2 (*^_^*) C:\\new", id="signs that mark nothing"),
        pytest.param("很好[图片][视频]【图片】[image]", "很好", id="placeholders"),
        pytest.param("今天[泪][哈哈]", "今天[泪][哈哈]", id="microblog emoji are words"),
        pytest.param("<Media omitted>", "", id="messenger"),
        pytest.param("nice\nSent from my iPhone", "nice", id="signature"),
        pytest.param("好\n发自我的 iPhone 15 Pro", "好", id="Chinese signature"),
        pytest.param("Sent from China, late\n来自华为的手机很好", "Sent from China, late 来自华为的手机很好", id="no signature"),
        pytest.param("x < 3 and <3 and a<b and c>d", "x < 3 and <3 and a<b and c>d", id="comparisons"),
        pytest.param("<anonymous> said <hi>", "<anonymous> said <hi>", id="brackets around words"),
        pytest.param("<review><text>bad</text></review><o:p>x</o:p>", "bad x", id="elements that HTML lacks"),
        pytest.param("<![CDATA[<p>bad</p>]]>", "bad", id="CDATA"),
        pytest.param('cut off <a href="https://a.exam', "cut off", id="a tag that is cut off"),
        pytest.param("I <3 <b>it</b> & 1 < 2", "I <3 it & 1 < 2", id="signs among tags"),
        pytest.param("Don&#39;t &#x27;buy&apos; &rsquo;it&quot; &amp; &lt;3", "Don't 'buy' ’it\" & <3", id="references"),
        pytest.param("质量&nbsp;&nbsp;太差&nbsp了", "质量 太差 了", id="no-break spaces"),
        pytest.param("AT&T a=1&copy=2 R&D", "AT&T a=1&copy=2 R&D", id="ampersands"),
        pytest.param("&lt;p class=&quot;x&quot;&gt;Don&amp;#39;t&lt;/p&gt;", "Don't", id="escaped twice"),
        pytest.param("太差了\\n再也不买\\n", "太差了 再也不买", id="escaped line breaks"),
        pytest.param("\\u592a\\u5dee\\u4e86", "太差了", id="escaped characters"),
        pytest.param("\ud800<b>x</b>\x00y", "?x y", id="what is no text"),
        pytest.param('<aside class="onebox"><article>Terrible</article></aside>good', "good", id="preview of another page"),
        pytest.param('<div class="lightbox-wrapper"><a class="lightbox" href="x"><img src="x"><div class="meta"><span class="filename">a.png</span></div></a></div>nice', "nice", id="caption of a picture"),
        pytest.param("<html><head><title>Review</title></head><body>good</body></html>", "good", id="document"),
        pytest.param('好<a href="x">查看全文</a>', "好", id="link to the whole text"),
        pytest.param("On Mon, Bob wrote:\n> bad\n\ngood", "good", id="mail's attribution"),
        pytest.param("小明写道：\n> 差\n\n很好", "很好", id="attribution in Chinese"),
        pytest.param("good\n```\nbad code\n```\n", "good", id="fenced code"),
        pytest.param("- good\n* cheap\n3 - 2", "good cheap 3 - 2", id="bullets"),
        pytest.param("很好 来自iPhone客户端", "很好", id="client on the same line"),
        pytest.param("text <span sty", "text", id="cut off in an attribute's name"),
        pytest.param("a <b>b</b> c <sp", "a b c", id="cut off in a tag's name"),
        pytest.param("if a <b", "if a <b", id="a comparison at the end"),
        pytest.param("The <video> tag never works", "The <video> tag never works", id="an element that is mentioned"),
        pytest.param("Love it <blockquote> bad", "Love it <blockquote> bad", id="a quote that is not closed"),
        pytest.param("<embed>awful", "awful", id="an element without content"),
        pytest.param("[quote]bad[/quote][quote]good", "[quote]good", id="a second BBCode quote that is open"),
        pytest.param(">100 dollars wasted\nok", ">100 dollars wasted ok", id="more than"),
        pytest.param("<div class=meta>awful service</div>", "awful service", id="a class that others use too"),
        pytest.param("The video omitted the worst part", "The video omitted the worst part", id="omitted within a sentence"),
        pytest.param("sent with an lg phone that was broken", "sent with an lg phone that was broken", id="a phone that was sent"),
        pytest.param("Sent from my Galaxy which is awful", "Sent from my Galaxy which is awful", id="a signature that goes on"),
        pytest.param("Sent from my Verizon, Samsung Galaxy smartphone", "", id="a long signature"),
        pytest.param('{"rating":5,"body":"太差了"}', '{"rating":5,"body":"太差了"}', id="JSON"),
    ],
)  # fmt: skip
def test_what_was_written_is_read(text: str, expected: str) -> None:
    """One kind of markup each."""
    assert seen(text) == expected


def test_the_setting_decides_where_it_is_given() -> None:
    """`plain` leaves all as it is; `html` reads as a browser does, also where nothing looks like it."""
    assert visible_text("<b>a</b> &amp; [图片]", "plain") == "<b>a</b> &amp; [图片]"
    assert visible_text("<unknown>a &copy b", "html") == "a © b"


_WRAPPINGS: dict[str, Callable[[str], str]] = {
    "element with attributes": lambda text: f'<p class="review-content" data-id=1 style="color:red">{html.escape(text)}</p>',
    "nested": lambda text: f"<div><div class='a'><span>{html.escape(text)}</span></div></div>",
    "own names": lambda text: f"<x-review><body-text>{html.escape(text)}</body-text></x-review>",
    "link behind": lambda text: f'{html.escape(text)}<a href="https://a.example/b?c=d&amp;e"></a>',
    "address behind": lambda text: f"{text} https://a.example/b?c=d",
    "numeric references": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "hexadecimal references": lambda text: "".join(f"&#x{ord(character):x};" for character in text),
    "escaped twice": lambda text: html.escape(f"<p>{html.escape(text)}</p>"),
    "placeholder": lambda text: f"{text}[图片]",
    "BBCode": lambda text: f"[size=3][b]{text}[/b][/size]",
    "script": lambda text: f"<script>var x = '<p>terrible</p>';</script>{html.escape(text)}<style>p{{}}</style>",
    "image": lambda text: f'{html.escape(text)}<img src="https://a.example/b.jpg" alt="photo.jpg" loading="lazy">',
    "quoted post": lambda text: f"<blockquote>terrible, awful</blockquote><p>{html.escape(text)}</p>",
    "signature": lambda text: f"{text}\n\nSent from my iPhone",
}  # fmt: skip


@pytest.mark.parametrize("wrapping", _WRAPPINGS)
def test_markup_around_a_review_changes_nothing(wrapping: str) -> None:
    """What the model reads of real reviews is what it reads without the markup."""
    for text in reviews(300):
        assert normalise(visible_text(_WRAPPINGS[wrapping](text))) == normalise(visible_text(text))


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("<>/&;#[]=\"' abpq图片!-_*~`\\nu4e00:()@\n\x00") | st.characters(), max_size=80))
def test_any_text_is_read(text: str) -> None:
    """Whatever it is, in each mode, and never into more than came in."""
    for markup in ("auto", "html", "plain"):
        assert len(visible_text(text, markup)) <= 2 * len(text) + 4


@given(st.text(st.characters(exclude_characters="<>&[]【】/\\*_~`#-+•", exclude_categories=["Cs"]), max_size=60))
def test_a_text_without_markup_stays_as_it_is(text: str) -> None:
    """Character by character."""
    if "omitted" not in text and "ent " not in text:
        assert visible_text(text) == text


_HOSTILE: dict[str, Callable[[int], str]] = {
    "brackets": lambda n: "<" * n,
    "nested elements": lambda n: "<div>" * (n // 11) + "x" + "</div>" * (n // 11),
    "open elements": lambda n: "<b><p><font size=1>" * (n // 19),
    "attributes": lambda n: f"<a {'x=1 ' * (n // 4)}>y</a>",
    "open tags": lambda n: "<a href='" * (n // 9),
    "comments": lambda n: "<!--" * (n // 4),
    "references": lambda n: "&amp;" * (n // 5),
    "references in references": lambda n: "&" + "amp;" * (n // 4),
    "BBCode": lambda n: "[quote]" * (n // 14) + "[/quote]" * (n // 16),
    "open BBCode": lambda n: "[url=" * (n // 5) + "[/url]",
    "emphasis": lambda n: "**a " * (n // 4),
    "links": lambda n: "[a](" * (n // 4),
    "quoted lines": lambda n: "> a\n" * (n // 4),
    "reposts": lambda n: "//@a:" * (n // 5),
    "own names": lambda n: "".join(f"</x{number}>" for number in range(n // 9)),
    "fences": lambda n: "```a\n" * (n // 5),
    "closed fences": lambda n: "```\n" * (n // 4),
    "blanks": lambda n: "<a" + " " * n + "ent from",
}


@pytest.mark.parametrize("kind", _HOSTILE)
def test_hostile_markup_takes_time_by_its_length(kind: str) -> None:
    """A megabyte takes at most some eight times as long as a quarter of it, not sixteen."""

    def seconds(length: int) -> float:
        text = _HOSTILE[kind](length)
        took = []
        for _ in range(3):
            begin = time.process_time()
            visible_text(text)
            took.append(time.process_time() - begin)
        return min(took)

    assert seconds(1_000_000) < 10 * max(0.02, seconds(250_000))


def test_a_review_without_markup_costs_little() -> None:
    """The bound is 3 us; the assertion leaves room for a busy machine."""
    texts = [text for text in reviews(2_000) if not set("<&[") & set(text)]
    took = []
    for _ in range(5):
        begin = time.process_time()
        for text in texts:
            visible_text(text)
        took.append((time.process_time() - begin) / len(texts))
    assert min(took) < 10e-6
