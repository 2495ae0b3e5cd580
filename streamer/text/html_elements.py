"""The elements of HTML that matter for reading a text: https://html.spec.whatwg.org/multipage/indices.html#elements-3."""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Elements that begin and end a line.
BLOCKS = _names(
    "address article aside blockquote body br center caption dd details dialog dir div dl dt fieldset figcaption figure"
    " footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol optgroup option p pre section"
    " summary table tbody tfoot thead title tr ul"
)
# Elements that separate words within a line.
SPACED = _names("button input label td textarea th")
# Elements whose content is not shown, or is another person's.
HIDDEN = _names(
    "script style template noscript iframe object svg math audio video canvas select datalist blockquote head map"
)
ELEMENTS = (
    BLOCKS
    | SPACED
    | HIDDEN
    | _names(
        "a abbr acronym area b base bdi bdo big blink cite code col colgroup data del dfn em embed font frame frameset"
        " i img ins kbd link mark marquee meta meter nobr noframes output param picture progress q rp rt ruby s samp"
        " slot small source span strike strong sub sup time track tt u var wbr"
    )
)
BOOLEAN_ATTRIBUTES = _names(
    "allowfullscreen async autoplay checked controls defer disabled hidden inert itemscope loop muted noshade nowrap"
    " open readonly required reversed selected"
)
# Classes, in lower case, by which forums and mail programs mark what somebody else wrote. The last three are
# Discourse's, of previews of other pages and of what it writes below a picture.
FOREIGN_CLASSES = _names(
    "quote quoted bbcode_quote bbcodeblock--quote bbcodequote quotecontent quotetop quotemain quote_container"
    " quote-container quoteheader quotebox reply-quote reply_quote gmail_quote gmail_quote_container yahoo_quoted"
    " protonmail_quote moz-cite-prefix gmail_attr onebox onebox-body lightbox"
)
