"""Reads what a person wrote out of a text with markup: HTML as forums, shops and microblogs send it, BBCode, Markdown.

    escapes -> tags and character references -> quoted posts -> links and emphasis -> placeholders and signatures

HTML is read by libxml2's tokeniser, which follows the HTML standard (13.2.5). No tree is built: its time is linear in
the text, however tags are nested. BBCode is translated to HTML first.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from typing import Literal

from lxml import etree

from streamer.text.html_elements import BLOCKS, BOOLEAN_ATTRIBUTES, ELEMENTS, FOREIGN_CLASSES, HIDDEN, SPACED
from streamer.text.placeholders import PLACEHOLDER, SIGNATURE, SIGNS_OF_SIGNATURE

Markup = Literal["auto", "html", "plain"]

# Text that was escaped twice on its way is common, three times is not.
_ROUNDS = 3
# A text that uses more names of its own than this is not markup.
_MAX_OWN_NAMES = 16

_NAME = "|".join(sorted(ELEMENTS, key=len, reverse=True))
_BOOLEAN = "|".join(sorted(BOOLEAN_ATTRIBUTES))
# How a tag goes on after its name: its end, an attribute with a value, or attributes that need none.
_REST = (
    rf"(?:\s*+/?>|\s++[\w:.@-]++\s*+=|(?:\s++(?:(?:{_BOOLEAN})(?=[\s/>])|data-[\w-]++))++\s*+/?>|\s++[^<>=]*+=[^<>]*+>)"
)
# Names that HTML does not have are tags where nothing else is likely: with a colon or hyphen, with a quoted value.
_OWN = (
    r"/?[a-z][\w.]*+(?:[:-][\w.:-]++(?=[\s/>])|\s*+/>|(?:\s++[\w:.@-]++\s*+=\s*+(?:\"[^\"<>]*+\"|'[^'<>]*+'))++\s*+/?>)"
)
_TAG_BODY = rf"(?:/?(?:{_NAME})(?![\w:-]){_REST}|!--|!doctype\b|\?xml\b|{_OWN}"
_TAG = re.compile(rf"<{_TAG_BODY})", re.IGNORECASE)
_NOT_A_TAG = re.compile(rf"<(?!{_TAG_BODY}))", re.IGNORECASE)
_CLOSER = re.compile(r"</([a-z][\w.]*+)\s*+>", re.IGNORECASE)
# A script or style that is not closed was cut off.
_HIDING = re.compile(rf"<(?=({'|'.join(sorted(HIDDEN - {'script', 'style'}))})(?![\w:-]))", re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[|\]\]>")

# The old references that browsers also read without a semicolon stay text, except for these: "AT&T", "a=1&copy=2".
_REFERENCE = re.compile(
    r"&(?:#[0-9]{1,7}+;?|#[xX][0-9a-fA-F]{1,6}+;?|[A-Za-z][A-Za-z0-9]{1,31}+;|(?:nbsp|quot|amp|lt|gt)(?![A-Za-z0-9=;]))"
)

_BBCODE_DROPPED = ("img", "video", "youtube", "media", "attach", "audio", "flash")
_BBCODE_BLOCKS = ("center", "left", "right", "list", "ul", "ol", "li", "table", "tr", "td", "indent", "align", "code")
_BBCODE_INLINE = ("b", "i", "u", "s", "url", "email", "color", "size", "font", "sub", "sup", "spoiler", "user", "hide")
_BBCODE_HTML = (
    dict.fromkeys(_BBCODE_DROPPED, "template")
    | dict.fromkeys(_BBCODE_BLOCKS, "div")
    | dict.fromkeys(_BBCODE_INLINE, "span")
    | {"quote": "blockquote"}
)
_BBCODE = re.compile(
    rf"\[(/?)({'|'.join(sorted(_BBCODE_HTML, key=len, reverse=True))})((?:=|\s)[^\[\]\n]{{0,300}}+)?\]|\[\*\]",
    re.IGNORECASE,
)

# A tag that was cut off with its text.
_CUT_OFF = re.compile(rf"<(?:/?(?:[a-z][a-z0-9]*)?|(?:{_NAME})\s[a-z -]*)$", re.IGNORECASE)
_CUT_OFF_ALONE = re.compile(rf"<(?=[a-z]{{3}})(?:{_NAME})\s+[a-z-]{{0,12}}$", re.IGNORECASE)
_MAX_CUT_OFF = 40  # Characters.

# A quoted line of Markdown or mail, and the line that says whose it is. `>_<` and `>:(` are faces.
_QUOTED_LINE = re.compile(
    r"^(?:On [^\n]{3,160} wrote:|[^\n]{0,80}写道[:：])[ \t]*\n(?=\s{0,8}>)"
    r"|^[ \t]{0,3}>(?![ \t]?[$€£¥]?\d)(?:[ \t>]|(?=[^\W_]|[\"“'‘(*\[])).*+$",
    re.MULTILINE,
)
_REPOST = re.compile(r"//\s?@[\w\-]{1,30}\s?[:：].*+", re.DOTALL)  # Weibo's chain of reposts.
_MARKDOWN_LINK = re.compile(
    r"(!?)\[([^\[\]\n]{0,300}+)\]\((?:https?:|/|\.|#|mailto:|www\.|data:)[^()\s]{0,2000}+(?:\s\"[^\"\n]{0,200}+\")?\)"
)
_EMPHASIS = re.compile(r"(?<![\w*~`])(\*\*\*|\*\*|__|~~|\*|_|`{1,3})(?=[^\W_])([^\n*~`]{0,300}?[^\s*~`])\1(?![\w*~`])")
_CJK_EMPHASIS = re.compile(r"(\*\*|~~)(?=[^\s*~])([^\n*~]{1,300}?)\1")
_BULLET = re.compile(r"^[ \t]{0,3}[-*+•][ \t]++(?=\S)", re.MULTILINE)
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]++", re.MULTILINE)

_ESCAPED_BREAK = re.compile(r"(?<!\\)\\[nrt](?![a-z])")
_ESCAPED_UTF16 = re.compile(r"(?:\\u[0-9a-fA-F]{4})++")

_WORD = re.compile(r"[^\W\d_]|[\u2600-\u27bf\U0001f300-\U0001faff]")
_EMOJI_ALT = re.compile(r"\s*(?:\[[^\[\]]{1,12}\]|:[\w+-]{1,40}:|[^\w\s]{1,12})\s*")
_EMOJI_IMAGE = re.compile(r"emoji|emoticon|smil(?:ey|ie)|sticker|face/", re.IGNORECASE)
_HIDING_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
# What sites write for a link or picture whose address they hide.
_LINK_TEXTS = frozenset(
    [
        *("网页链接", "查看图片", "评论配图", "查看原图", "图片评论", "查看全文", "展开全文", "全文", "展开"),
        *("link", "[link]", "image", "[image]", "read more", "see more", "show more", "view more", "more"),
    ]
)


def visible_text(text: str, markup: Markup = "auto") -> str:
    """The part of a text that its writer wrote and readers see.

    markup: `plain` returns the text unchanged; `html` reads it as HTML whatever it looks like; `auto` reads tags where
    there are some, and leaves `x < 3`, `<3` and `<name>` as they are.

    Dropped: tags, scripts, styles, hidden elements, quoted posts (`blockquote`, Discourse's `aside.quote`, BBCode's
    `quote`; lines with `>` and reposts where other words are left), placeholders of pictures and videos, lines such as
    "Sent from my phone". Kept: text content, link texts, the alternative text of emoji images. Blocks are separated by
    line breaks. The time is linear in the text.
    """
    if markup == "plain":
        return text
    if "\\" in text:
        text = _unescaped(text)
    if markup == "html":
        text = _read_html(text)
    elif "<" in text or "&" in text or "[" in text:
        text = _without_tags(text)
    if ">" in text or "//" in text:
        text = _where_words_are_left(text, _QUOTED_LINE)
        text = _where_words_are_left(text, _REPOST)
    if "```" in text:
        rest = "".join(_outside_fences(text.splitlines(keepends=True)))
        text = rest if _WORD.search(rest) else text
    if "](" in text:
        text = _MARKDOWN_LINK.sub(lambda found: " " if found[1] else found[2], text)
    if "*" in text or "__" in text or "~~" in text or "`" in text or "_" in text:
        text = _CJK_EMPHASIS.sub(r"\2", _EMPHASIS.sub(r"\2", text))
    if "- " in text or "* " in text or "+ " in text or "• " in text:
        text = _BULLET.sub("", text)
    if "# " in text:
        text = _HEADING.sub("", text)
    if "[" in text or "【" in text or "omitted" in text:
        text = PLACEHOLDER.sub(" ", text)
    if any(map(text.__contains__, SIGNS_OF_SIGNATURE)):
        text = SIGNATURE.sub("", text)
    return text


def _unescaped(text: str) -> str:
    r"""A text whose line breaks or characters were escaped as in JSON (`\n`, `\u592a`), without the escapes."""
    text = _ESCAPED_UTF16.sub(_utf16, text)
    return _ESCAPED_BREAK.sub("\n", text)


def _utf16(escapes: re.Match[str]) -> str:
    units = bytes.fromhex(escapes[0].replace("\\u", ""))
    return units.decode("utf-16-be", "replace")


def _without_tags(text: str) -> str:
    for _ in range(_ROUNDS):
        read = _round(text)
        if read == text:
            break
        text = read
    return text


def _round(text: str) -> str:
    """The text with its tags, or where it has none its character references, read once."""
    if "<![CDATA[" in text:
        text = _CDATA.sub("", text)
    code = "[" in text and "[/" in text and _BBCODE.search(text) is not None
    closed = {name.lower() for name in _CLOSER.findall(text)}
    own = _own_names(text, closed)
    text = _without_mentions(text, closed)
    tags = "<" in text and (_TAG.search(text) is not None or own is not None)
    if "<" in text[-_MAX_CUT_OFF:]:
        text = text[:-_MAX_CUT_OFF] + (_CUT_OFF if tags else _CUT_OFF_ALONE).sub("", text[-_MAX_CUT_OFF:])
    if tags or code:
        escaped = (own or _NOT_A_TAG).sub("&lt;", text) if "<" in text else text
        return _read_html(_bbcode_as_html(escaped) if code else escaped)
    if "&" in text:
        return _REFERENCE.sub(_referenced, text)
    return text


def _without_mentions(text: str, closed: Set[str]) -> str:
    """The text with `<` escaped before hiding elements that are not closed: "the <video> tag" would hide the rest."""
    return _HIDING.sub(lambda found: found[0] if found[1].lower() in closed else "&lt;", text)


def _own_names(text: str, closed: Set[str]) -> re.Pattern[str] | None:
    """`_NOT_A_TAG` for a text with elements that HTML does not have: `<review>Great</review>`. None if it has none.

    closed: the names of all elements that the text closes, in small letters.
    """
    names = closed - ELEMENTS
    if len(names) > _MAX_OWN_NAMES:
        return None
    names = {name for name in names if re.search(rf"<{re.escape(name)}[\s>]", text, re.IGNORECASE)}
    if not names:
        return None
    own = "|".join(map(re.escape, sorted(names)))
    return re.compile(rf"<(?!{_TAG_BODY}|/?(?:{own})[\s>]))", re.IGNORECASE)


def _referenced(reference: re.Match[str]) -> str:
    found = html.unescape(reference[0])
    return found if found != reference[0] else html.unescape(reference[0].lower())


def _bbcode_as_html(text: str) -> str:
    """BBCode's tags as HTML's, where they are closed."""
    closed = Counter(found[2].lower() for found in _BBCODE.finditer(text) if found[1])
    opened: Counter[str] = Counter()

    def element(found: re.Match[str]) -> str:
        if found[2] is None:
            return "<br>" if closed["list"] else found[0]
        name = found[2].lower()
        opened[name] += not found[1]
        return f"<{found[1]}{_BBCODE_HTML[name]}>" if opened[name] <= closed[name] else found[0]

    return _BBCODE.sub(element, text)


def _outside_fences(lines: Sequence[str]) -> Iterator[str]:
    """The lines that are not in fenced code blocks; a fence that is never closed begins none."""
    last = max((number for number, line in enumerate(lines) if line.strip() == "```"), default=-1)
    inside = False
    for number, line in enumerate(lines):
        fence = line.startswith("```")
        if fence and (number < last or inside):
            inside = not inside
        elif not inside:
            yield line


def _where_words_are_left(text: str, pattern: re.Pattern[str]) -> str:
    """The text without what matches, unless no word would be left."""
    rest = pattern.sub("", text)
    return rest if len(rest) == len(text) or _WORD.search(rest) else text


def _read_html(text: str) -> str:
    if "<" not in text and "&" not in text:
        return text
    target = _VisibleText()
    parser = etree.HTMLParser(target=target, huge_tree=True, recover=True, encoding="utf-8")
    # A document has a head, which is not shown; anything else is the content of one.
    begin = b"" if "<head" in text.lower() else b"<div>"
    parser.feed(begin + text.replace("\x00", " ").encode("utf-8", "replace"))  # NUL ends a document for libxml2.
    parser.close()
    return "".join(target.pieces).strip("\n")


class _VisibleText:
    """Collects the visible text of libxml2's events, which are balanced: each start has its end."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._depth = 0
        self._hidden_at = 0  # The depth of the element that is dropped; 0 if none is.
        self._link_at: list[int] = []  # Where the text of the open links begins.

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._hidden_at:
            return
        if name in HIDDEN or (attributes and _is_hidden(name, attributes)):
            self._hidden_at = self._depth
        elif name == "img":
            self.pieces.append(_emoji(attributes))
        elif name == "a":
            self._link_at.append(len(self.pieces))
        elif separator := _separator(name):
            self.pieces.append(separator)

    def end(self, name: str) -> None:
        self._depth -= 1
        if self._hidden_at:
            if self._depth < self._hidden_at:
                self._hidden_at = 0
                self.pieces.append(_separator(name))
        elif name == "a" and self._link_at:
            begin = self._link_at.pop()
            if "".join(self.pieces[begin : begin + 8]).strip().lower() in _LINK_TEXTS:
                del self.pieces[begin:]
        elif separator := _separator(name):
            self.pieces.append(separator)

    def data(self, text: str) -> None:
        if not self._hidden_at:
            self.pieces.append(text)

    def comment(self, _: str) -> None:
        """Dropped."""

    def pi(self, *_: object) -> None:
        """Dropped."""

    def doctype(self, *_: object) -> None:
        """Dropped."""

    def close(self) -> None:
        """Nothing to return: `pieces` has it all."""


_SEPARATORS = dict.fromkeys(BLOCKS, "\n") | dict.fromkeys(SPACED, " ")


def _separator(name: str) -> str:
    """What stands before and after an element. One that HTML lacks, as in `<text>good</text>`, is a block."""
    separator = _SEPARATORS.get(name)
    if separator is None:
        return "" if name in ELEMENTS or "-" in name or ":" in name else "\n"
    return separator


def _is_hidden(name: str, attributes: dict[str, str]) -> bool:
    if "hidden" in attributes or _HIDING_STYLE.search(attributes.get("style", "")):
        return True
    classes = attributes.get("class", "")
    if not classes or (name == "span" and "uot" in classes):
        return False
    return not FOREIGN_CLASSES.isdisjoint(classes.lower().split())


def _emoji(image: dict[str, str]) -> str:
    """The text for an emoji image; nothing for any other."""
    alternative = image.get("alt") or image.get("title") or ""
    if _EMOJI_ALT.fullmatch(alternative):
        return alternative
    about = f"{image.get('class', '')} {image.get('src', '')}"
    return f" {alternative} " if len(alternative) <= 40 and _EMOJI_IMAGE.search(about) else " "
