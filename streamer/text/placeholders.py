"""What programs write into a text: placeholders of media, and the signatures of devices and mail programs."""

from __future__ import annotations

import re

_MEDIA = (
    "图片|视频|语音|照片|动图|动画表情|表情包|文件|位置|链接|音频|附件|图|网页链接|红包|名片|聊天记录|小程序"
    "|image|images|photo|picture|pic|video|gif|audio|voice|sticker|attachment|file|media|link"
)
PLACEHOLDER = re.compile(
    rf"\[(?:{_MEDIA})\s?\d{{0,3}}\]|【(?:{_MEDIA})\s?\d{{0,3}}】"
    r"|<(?:media|image|video|audio|sticker|gif|document) omitted>"
    r"|^\u200e?(?:image|video|audio|sticker|GIF|document) omitted$",
    re.IGNORECASE | re.MULTILINE,
)
_DEVICES = (
    "i-?(?:phone|pad|pod)|mac|android|samsung|galaxy|huawei|honor|xiaomi|redmi|mi|oppo|vivo|oneplus|pixel|moto|nokia|htc|lg|sony"
    "|blackberry|windows|phone|mobile|smartphone|tablet|handheld|cell|verizon|t-mobile|at&t"
)
_CLIENTS = "mail|outlook|gmail|yahoo|proton ?mail|thunderbird|spark|tapatalk|aol|hotmail|wechat|qq"
_CHINESE_DEVICES = "iphone|ipad|android|安卓|华为|小米|红米|荣耀|三星|vivo|oppo|手机|微博|qq邮箱|网易邮箱|outlook"
_MODEL = (
    r"(?:,? (?:[a-z]*\d[\w+]{0,12}|pro|max|plus|mini|ultra|smart ?phone|phone|device|tablet|mobile|app|samsung|galaxy"
    r"|for|on|windows|android|ios)){0,6}"
)
# A line that a device or mail program adds, not "Sent from China, very late".
SIGNATURE = re.compile(
    r"^[ \t]*+[-–—*_\[(（【]{0,3}[ \t]*+(?:"
    rf"sent (?:from|via|with|using) (?:my |an? )(?:{_DEVICES})\b{_MODEL}"
    rf"|sent (?:from|via) (?:{_CLIENTS})\b{_MODEL}"
    rf"|get outlook for [^\n]{{0,40}}|(?:von meinem|envoyé de mon|enviado desde mi)"
    rf" (?:{_DEVICES})\b{_MODEL}(?: gesendet)?"
    rf"|(?:发送?自|来自|發自|來自)\s?(?:我的\s?)?(?:{_CHINESE_DEVICES})"
    r"[a-z0-9 .+\-]{0,24}(?:客户端|手机|网页版|用户端)?"
    r")[ \t\])）】.。]*+$"
    rf"|[ \t](?:来自|來自)\s?(?:{_CHINESE_DEVICES})[a-z0-9 .+\-]{{0,24}}客户端\s*$",
    re.IGNORECASE | re.MULTILINE,
)
SIGNS_OF_SIGNATURE = (
    *("ent from", "ENT FROM", "ent via", "ent with", "ent using", "et Outlook"),
    *("发自", "发送自", "来自", "發自", "來自", "on meinem", "nvoyé de", "nviado desde"),
)
