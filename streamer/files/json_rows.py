"""Rows of JSON: an object on each line, or the objects of an array."""

from __future__ import annotations

import codecs
import io
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import orjson

from streamer.files.bad_rows import BadRows
from streamer.files.compression import CHUNK
from streamer.files.delimited import Row
from streamer.files.encoding import ERRORS, Encoding
from streamer.files.errors import FileError
from streamer.files.wrong_kind import why_not_json
from streamer.formats.text import BOM
from streamer.formats.value import json_type
from streamer.printable import printable

MAX_LINE = 1 << 26  # Bytes.
MAX_ELEMENT = 1 << 25  # Of an array, in characters.
# An error this far from the end of what was read is no matter of reading more: no literal is as long.
_MARGIN = 16
_LARGEST = 10**308  # Of what is a number to other readers of JSON.
_SPACE = re.compile(r"[ \t\r\n]*")
_LINE_BREAKS = re.compile(rb"[\r\n]")


def line_rows(stream: io.BufferedReader, encoding: Encoding, bad: BadRows) -> Iterator[Row]:
    """An object from each line, with the line itself. Blank lines are no rows."""
    loads = orjson.loads
    for number, line in enumerate(_lines(stream), start=1):
        if line is None:
            bad.found("too long", number, f"a line of more than {MAX_LINE:,} bytes")
            continue
        try:
            row = loads(line)
        except orjson.JSONDecodeError:
            if not line.strip():
                continue
            line = line.strip().removeprefix(BOM)  # Of a file that was appended to another.
            try:
                row, line = _unusual(line)
            except UnicodeDecodeError:
                kind, what = encoding.fault(line)
                bad.found(kind, number, what)
                continue
            except ValueError:
                bad.found("not JSON", number, f"not JSON{why_not_json(line)}")
                continue
        if type(row) is not dict:
            bad.found("not a JSON object", number, f"a JSON {json_type(row)} instead of an object")
            continue
        yield number, row, line


def _lines(stream: io.BufferedReader) -> Iterator[bytes | None]:
    """Lines without their ends, as soon as they are read; None for one that is longer than the limit."""
    parts: list[bytes] = []
    size = 0
    while chunk := stream.read1(CHUNK):
        first, *others = chunk.split(b"\n")
        parts.append(first)
        size += len(first)
        if not others:
            if size > MAX_LINE:
                parts.clear()
            continue
        yield b"".join(parts).rstrip(b"\r") if size <= MAX_LINE else None
        parts, size = [others.pop()], 0
        size = len(parts[0])
        for line in others:
            yield line.rstrip(b"\r")
    if size:
        yield b"".join(parts).rstrip(b"\r") if size <= MAX_LINE else None


def _unusual(line: bytes) -> tuple[Any, bytes]:
    """A line that orjson refuses: the value, and JSON that every reader takes, with null for NaN and Infinity.

    What concerns the row alone, such as a lone surrogate, stays for whoever decodes the row. Raises ValueError.
    """
    text = line.decode()
    try:
        value = json.loads(text)
        finite, changed = _finite(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return (finite, json.dumps(finite, separators=(",", ":")).encode()) if changed else (value, line)


def _finite(value: Any) -> tuple[Any, bool]:
    """The value with null for numbers that are none or too large, and whether there was one."""
    if isinstance(value, float):
        return (value, False) if math.isfinite(value) else (None, True)
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return None, True
    if isinstance(value, dict):
        items = {key: _finite(item) for key, item in value.items()}
        return {key: item for key, (item, _) in items.items()}, any(changed for _, changed in items.values())
    if isinstance(value, list):
        found = [_finite(item) for item in value]
        return [item for item, _ in found], any(changed for _, changed in found)
    return value, False


class ArrayRows:
    """The objects of a JSON array, one after the other: only the current one is in memory."""

    def __init__(self, stream: io.BufferedReader, encoding: Encoding, bad: BadRows) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")(ERRORS)
        self._encoding = encoding
        self._bad = bad
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def read(self) -> Iterator[Row]:
        """The rows. Raises FileError for damage: nothing behind it could be told apart."""
        opened, after_comma = self._next_character(), False
        if not opened:
            return
        if opened != "[":
            raise self._error("neither lines of objects nor an array (if it is csv: --format csv)")
        self._move(1)
        while (character := self._next_character()) != "]" or after_comma:
            if character in ("", "]", ","):
                raise self._error("the array is cut off" if not character else "a comma without a value")
            line = self._line
            value, end = self._value()
            raw = self._text[self._at : end]
            self._move(end - self._at)
            if (row := self._row(line, value, raw)) is not None:
                yield row
            if (character := self._next_character()) == ",":
                self._move(1)
                after_comma = True
            elif character == "]":
                after_comma = False
            else:
                raise self._error("the array is cut off" if not character else "no comma after a value")
        self._move(1)
        if self._next_character():
            raise self._error("something follows the array")

    def _row(self, line: int, value: Any, raw: str) -> Row | None:
        try:
            data = raw.encode()
        except UnicodeEncodeError:
            kind, what = self._encoding.fault(raw.encode("utf-8", "surrogateescape"))
            self._bad.found(kind, line, what)
            return None
        if not isinstance(value, dict):
            self._bad.found("not a JSON object", line, f"a JSON {json_type(value)} instead of an object")
            return None
        try:
            orjson.loads(data)
        except orjson.JSONDecodeError:
            try:
                value, data = _unusual(data)
            except ValueError:
                self._bad.found("not JSON", line, "nested too deeply")
                return None
        if _LINE_BREAKS.search(data):
            data = _compact(value)
        return line, value, data

    def _value(self) -> tuple[Any, int]:
        """The value at the current place, and where it ends."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos > len(self._text) - _MARGIN or error.msg.startswith("Unterminated string")
                if not cut or self._ended:
                    self._move(min(error.pos, len(self._text)) - self._at)
                    raise self._error(f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}") from None
            except RecursionError:
                raise self._error("nested too deeply") from None
            except ValueError as error:  # A number with more digits than Python reads.
                raise self._error(printable(str(error))) from None
            else:
                if isinstance(value, dict | list | str) or end < len(self._text) or self._ended:
                    return value, end
            if len(self._text) - self._at > MAX_ELEMENT:
                raise self._error(f"a value of more than {MAX_ELEMENT:,} characters")
            self._read_more()

    def _next_character(self) -> str:
        """The next one that is no space; empty at the end."""
        while True:
            end = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # It matches nothing too.
            self._move(end - self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._read_more()

    def _move(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at += count

    def _read_more(self) -> None:
        """Read on. A long value is doubled each time, so that parsing it again and again costs linear time."""
        parts, size = [self._text[self._at :]], 0
        wanted = len(parts[0]) if len(parts[0]) > CHUNK else 1
        while size < wanted and not self._ended:
            data = self._stream.read1(CHUNK)
            self._ended = not data
            parts.append(self._decoder.decode(data, self._ended))
            size += len(parts[-1])
        self._text, self._at = "".join(parts), 0

    def _error(self, what: str) -> FileError:
        return FileError(what, self._bad.name, self._line)


_DECODER = json.JSONDecoder()


def _compact(value: Any) -> bytes:
    """JSON on one line, with every digit of whole numbers."""
    return json.dumps(value, separators=(",", ":")).encode()
