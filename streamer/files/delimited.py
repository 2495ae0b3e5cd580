"""Rows of csv and tsv."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from streamer.files.bad_rows import BadRows
from streamer.files.compression import CHUNK
from streamer.files.encoding import ERRORS, Encoding, Undecodable
from streamer.files.errors import FileError
from streamer.files.wrong_kind import likely_delimiter, no_column
from streamer.printable import printable

# csv's own limit is 128 KiB a field, and a long review may be larger.
MAX_CELL = 1 << 24  # Characters.
MAX_LINE = 1 << 25

_SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?[\r\n]*', re.IGNORECASE)  # Excel's.
_BLANKS = " \t\r\n"
_PLAIN_QUOTES = " (--quote none if quotes are letters like others in this file)"
_LONGEST_LIKELY_NAME = 60  # Of a column, in characters.

Row = tuple[int, dict[str, Any], bytes | None]  # Where it begins, its values, and its JSON where it came as such.


class _TooLong(Exception):
    """A line is longer than the limit."""


class Zeros(io.RawIOBase):
    """A stream that notices zero bytes."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self.found = False

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is."""
        view = memoryview(buffer)
        count = self._stream.readinto1(view)
        self.found = self.found or b"\0" in view[:count].tobytes()
        return count


class _Lines:
    """Lines of a text. Those of a row can be had again."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text = text
        self._again: deque[str] = deque()
        self.row: list[str] = []  # Those of the current row.

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._text.readline(MAX_LINE)
        if not line:
            raise StopIteration
        self.row.append(line)
        if len(line) >= MAX_LINE and line[-1] not in "\r\n":
            while (rest := self._text.readline(MAX_LINE)) and rest[-1] not in "\r\n":
                pass
            raise _TooLong
        return line

    def take(self) -> str:
        """The next line, empty at the end; not of any row."""
        line = next(self, "")
        self.row.clear()
        return line

    def give_back(self, line: str) -> None:
        """The line will come again."""
        if line:
            self._again.appendleft(line)

    def rewind(self) -> None:
        """All lines of the row but its first will come again."""
        self._again.extendleft(reversed(self.row[1:]))
        self.row.clear()


class DelimitedRows:
    """The rows of a csv or tsv file in UTF-8."""

    def __init__(self, stream: io.BufferedReader, dialect: Mapping[str, Any], encoding: Encoding, bad: BadRows) -> None:
        """dialect: csv's. encoding: what the file was in before."""
        csv.field_size_limit(MAX_CELL)
        self._undecodable = Undecodable.count
        self._zeros = Zeros(stream)
        self._text = io.TextIOWrapper(io.BufferedReader(self._zeros, CHUNK), "utf-8", ERRORS, newline="")
        self._lines = _Lines(self._text)
        self._dialect = {"quotechar": '"', "escapechar": None, **dialect, "strict": True}
        self._encoding = encoding
        self._bad = bad
        self._line = 1  # Where the next row begins.
        self._at_header, self._first = False, "header"
        self.columns: list[str] = []

    def read(self, required: Sequence[str], *, header: bool, fixed_delimiter: bool) -> Iterator[Row]:
        """The rows. Raises FileError for damage, and for a required column that is missing.

        header: whether the first row names the columns; otherwise they are 1, 2, ... fixed_delimiter: whether Excel's
        line `sep=;` may not change the delimiter.
        """
        self._read_separator(fixed_delimiter)
        self._at_header, self._first = header, "header" if header else "first row"
        rows = self._rows()
        line, cells = next((row for row in rows if any(cell.strip(_BLANKS) for cell in row[1])), (0, []))
        if not line:
            return
        names = self._names(line, cells) if header else [str(number) for number in range(1, len(cells) + 1)]
        width = len(names)
        while names and not names[-1]:  # As Excel writes columns that were once used.
            names.pop()
        self._at_header = False
        self.columns, named = names, len(names)
        self._check_columns(required, line, header)
        if not header:
            rows = chain([(line, cells)], rows)
        for line, cells in rows:
            if len(cells) != width:
                if not cells or (len(cells) == 1 and not cells[0].strip(_BLANKS)):
                    continue  # A blank line.
                self._bad.found(*self._wrong_width(line, len(cells), width))
            elif named < width and any(cell.strip(_BLANKS) for cell in cells[named:]):
                self._bad.found("with too many cells", line, "a cell that is in no column of the header")
            else:
                yield line, dict(zip(names, cells, strict=False)), None

    def _read_separator(self, fixed: bool) -> None:
        """Excel's line `sep=;` names the delimiter."""
        line = self._lines.take()
        if (match := _SEPARATOR_LINE.fullmatch(line)) is None:
            self._lines.give_back(line)
            return
        self._line += 1
        if not fixed and match[1] not in (self._dialect["quotechar"], self._dialect["escapechar"]):
            self._dialect["delimiter"] = match[1]

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The line where each row begins, and its cells; without bad rows."""
        lines, zeros = self._lines, self._zeros
        reader = csv.reader(lines, **self._dialect)
        while True:
            lines.row.clear()
            try:
                cells = next(reader, None)
            except (csv.Error, _TooLong) as error:
                self._found(*self._fault(error))
                lines.rewind()
                self._line += 1
                reader = csv.reader(lines, **self._dialect)
                continue
            if cells is None:
                return
            line = self._line
            self._line += len(lines.row)
            if zeros.found and any("\0" in cell for cell in cells):
                self._found("with a NUL character", line, "it has a NUL character")
            elif Undecodable.count != self._undecodable and (wrong := _undecodable(lines.row)) is not None:
                kind, what = self._encoding.fault(wrong)
                self._found(kind, line, what)
            else:
                yield line, cells

    def _found(self, kind: str, line: int, what: str) -> None:
        """A bad row. Raises FileError for the header: without it, the next row would be taken for it."""
        if self._at_header:
            raise FileError(what, self._bad.name, line)
        self._bad.found(kind, line, what)

    def _fault(self, error: Exception) -> tuple[str, int, str]:
        """The kind of fault in the current row, where it begins, and the message."""
        row, line = "".join(self._lines.row[:50]), self._line
        if isinstance(error, _TooLong):
            return "too long", line, f"a line of more than {MAX_LINE:,} characters"
        if "field limit" in str(error):
            return "too long", line, f"a cell of more than {MAX_CELL:,} characters: is a quote never closed?"
        if '\\"' in row and self._dialect["escapechar"] is None:
            what = r"a quote that is escaped by a backslash; csv doubles it, or give --escape '\'"
            return "with backslashes before quotes", line, what
        if "end of data" in str(error):
            return "with an unclosed quote", line, f"a quote is opened and never closed{_PLAIN_QUOTES}"
        return "with text after a quoted cell", line, f"text follows the quote that closes a cell{_PLAIN_QUOTES}"

    def _names(self, line: int, cells: list[str]) -> list[str]:
        names = [cell.strip(_BLANKS + "\ufeff") for cell in cells]
        if twice := [name for name, count in Counter(names).items() if name and count > 1]:
            raise FileError(f"the column {printable(twice[0])} is there twice", self._bad.name, line)
        return names

    def _check_columns(self, required: Sequence[str], line: int, header: bool) -> None:
        if not (missing := [name for name in required if name not in self.columns]):
            return
        what = no_column(missing[0], self.columns)
        if not header:
            what += " (--no-header numbers them)"
        elif (other := likely_delimiter(self.columns, self._dialect["delimiter"])) is not None:
            what += f"; is the delimiter another one? --delimiter {other}"
        elif any(column.isdecimal() or len(column) > _LONGEST_LIKELY_NAME for column in self.columns):
            what += "; is that a row of data? --no-header"
        raise FileError(what, self._bad.name, line)

    def _wrong_width(self, line: int, cells: int, width: int) -> tuple[str, int, str]:
        kind = "with too many cells" if cells > width else "with too few cells"
        what = f"{cells} cell{'' if cells == 1 else 's'}, but the {self._first} has {width}"
        if cells > width:
            what += ": is a cell with a delimiter in it not quoted?"
            if width == 1 or likely_delimiter(self.columns, self._dialect["delimiter"]):
                what = f"{cells} cells, but the {self._first} has {width}: is the delimiter another one? --delimiter"
        return kind, line, what


def _undecodable(row: list[str]) -> bytes | None:
    """The bytes of a row that has some which could not be decoded."""
    text = "".join(row)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    return None
