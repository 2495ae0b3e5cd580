"""Text in any encoding as UTF-8, and what the encoding of a text likely is."""

from __future__ import annotations

import codecs
import io

from typing_extensions import Buffer

from streamer.files.compression import CHUNK, peek
from streamer.files.errors import FileError
from streamer.formats.text import BOM
from streamer.printable import printable

# What is not in a text's encoding becomes a lone surrogate for each byte, as with `surrogateescape`, which for other
# encodings than UTF-8 only does so for bytes from 128 on.
ERRORS = "streamer.lone_surrogates"
_LONGEST_SAMPLE = 1 << 14

_UTF8 = ("utf-8", "utf-8-sig")
# Those of Chinese and English first, of several that are as likely.
_LIKELY = ["gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "cp1252", "cp1251"]
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Undecodable:
    """Counts what could not be decoded, over all texts of the process: a change says that it is worth looking."""

    count = 0

    @classmethod
    def lone_surrogates(cls, error: UnicodeError) -> tuple[str, int]:
        """What the codecs call for bytes that they cannot decode."""
        if not isinstance(error, UnicodeDecodeError):
            raise error
        cls.count += 1
        return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(ERRORS, Undecodable.lone_surrogates)


def codec_name(encoding: str | None) -> str:
    """Python's name of an encoding; UTF-8 by default. Raises FileError for what is none."""
    try:
        found = codecs.lookup(encoding or "utf-8")
        "a".encode(found.name)  # Some codecs are for other things than text.
    except (LookupError, ValueError, TypeError):
        raise FileError(f"--encoding {printable(encoding or '')}: there is no such encoding") from None
    return "utf-8" if found.name in _UTF8 else found.name


def as_utf8(stream: io.BufferedReader, codec: str) -> io.BufferedReader:
    """The text in UTF-8 without a byte order mark. What is not in the encoding becomes bytes that are not UTF-8."""
    if codec != "utf-8":
        return io.BufferedReader(_Recoded(stream, codec), CHUNK)
    head, stream = peek(stream, lambda head: len(head) >= len(BOM) or not BOM.startswith(head))
    if head.startswith(BOM):
        stream.read(len(BOM))
    return stream


class _Recoded(io.RawIOBase):
    """Text as UTF-8."""

    def __init__(self, stream: io.BufferedReader, codec: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(codec)(ERRORS)
        self._left = b""
        self._began = self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        while not self._left and not self._ended:
            data = self._stream.read1(CHUNK)
            self._ended = not data
            try:
                text = self._decoder.decode(data, self._ended)
            except UnicodeError as error:  # Without a place: of a codec that gives none to the handler.
                raise FileError(f"cannot be decoded: {printable(str(error))}") from None
            if text and not self._began:
                self._began, text = True, text.removeprefix("\ufeff")
            self._left = text.encode("utf-8", "surrogatepass")
        count = min(len(view), len(self._left))
        view[:count], self._left = self._left[:count], self._left[count:]
        return count


def marked_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32, by the byte order mark, or by the zeros between the characters of ASCII."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    sample = head[:400]
    if len(sample) >= 4 and b"\0" in sample:
        even, odd = sample[::2].count(0) / len(sample[::2]), sample[1::2].count(0) / len(sample[1::2])
        if min(even, odd) < 0.1 and max(even, odd) > 0.5:
            return "utf-16-be" if even > odd else "utf-16-le"
    return None


class Encoding:
    """What a text is in, and how it begins, for errors."""

    def __init__(self, codec: str, head: bytes = b"") -> None:
        self.codec = codec
        self._head = head
        self._fault: tuple[str, str] | None = None

    def fault(self, wrong: bytes) -> tuple[str, str]:
        """The kind of fault of a row that could not be decoded, of which these are the bytes, and a message."""
        if self._fault is None:  # To guess the encoding takes a while.
            self._fault = self._first_fault(wrong)
        return self._fault

    def _first_fault(self, wrong: bytes) -> tuple[str, str]:
        if self.codec != "utf-8":
            return f"not in {self.codec}", f"not in the encoding {self.codec}"
        likely = likely_encodings(wrong if _is_utf8(self._head) else self._head)
        advice = f", likely {' or '.join(likely)}: --encoding {likely[0]}" if likely else ": --encoding names another"
        return "not in UTF-8", f"not UTF-8{advice}"


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # The last character may be cut.
    except UnicodeDecodeError:
        return False
    return True


def likely_encodings(sample: bytes) -> list[str]:
    """The one or two likeliest encodings of what is not UTF-8; none where there is no telling."""
    import charset_normalizer  # It takes a while, and few files need it.

    if len(sample) > _LONGEST_SAMPLE:  # Not in the middle of a character: then it would be in no encoding.
        cuts = [sample[: _LONGEST_SAMPLE - odd] for odd in range(4)]
        sample = next((cut for cut in cuts if _decodes(cut, "gb18030")), cuts[0])
    found = charset_normalizer.from_bytes(sample, cp_isolation=_LIKELY)
    names = list(dict.fromkeys(match.encoding for match in found))
    if "gb18030" in names and names[0].startswith(("big5", "euc", "shift")):
        names.remove("gb18030")  # Of a short text several are as likely.
        names.insert(0, "gb18030")
    return names[:2] or [name for name in _LIKELY if _decodes(sample, name)][:1]


def _decodes(sample: bytes, codec: str) -> bool:
    try:
        sample.decode(codec)
    except UnicodeDecodeError:
        return False
    return True
