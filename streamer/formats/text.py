"""Values that are plain UTF-8 text."""

from __future__ import annotations

import re
from typing import Any

from streamer.events import Reason
from streamer.formats.value import Fields, InvalidRecord, json_type

BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")


class TextFormat:
    """`input.format = text`: the whole value is the review. Implements ValueFormat."""

    def decode(self, value: bytes) -> Fields:
        """The value without a byte order mark. Raises InvalidRecord if it is not UTF-8."""
        return Fields(decode_utf8(value), {})

    def from_json(self, data: object) -> Fields:
        """The data itself; null is a blank review. Raises InvalidRecord if it is anything but a string."""
        if data is None:
            return Fields("", {}, "null")
        if not isinstance(data, str):
            raise InvalidRecord(Reason.TEXT_NOT_A_STRING, f"the value is a JSON {json_type(data)}")
        return Fields(data, {})

    def to_json(self, value: bytes) -> Any:
        """A string, even if the text looks like JSON."""
        return value.removeprefix(BOM).decode(errors="replace")


def decode_utf8(value: bytes) -> str:
    """The text of UTF-8 bytes without a byte order mark. Raises InvalidRecord."""
    value = value.removeprefix(BOM)
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        # For Python, as in RFC 3629, an encoded surrogate is not UTF-8; its three bytes are ED A0..BF 80..BF.
        reason = Reason.LONE_SURROGATE if _SURROGATE.match(value, error.start) else Reason.NOT_UTF8
        raise InvalidRecord(reason, f"at byte {error.start}") from None
