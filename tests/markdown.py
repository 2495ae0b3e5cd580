"""Markdown pages as a renderer would read them: tables, headings, links and code. Strict where a renderer is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_DELIMITER = re.compile(r":?-+:?")
# A link or an image, not inside code; `[text](target "title")`.
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)(?:\s+\"[^\"]*\")?\)")
_HTML_LINK = re.compile(r"<(?:img|a|source)\b[^>]*?\b(?:src|href|srcset)=\"([^\"]+)\"")


@dataclass(frozen=True, slots=True)
class Table:
    """The first row, and the others as cells by the name of their column; `line` is where it begins, from 1."""

    line: int
    header: tuple[str, ...]
    rows: tuple[dict[str, str], ...]

    def column(self, name: str) -> list[str]:
        """All cells of a column."""
        return [row[name] for row in self.rows]


class BrokenTableError(ValueError):
    """Rows that a renderer would show as text, or cut off."""


def tables(text: str) -> list[Table]:
    """All tables of a page. Raises BrokenTableError, with the line, where a row is not part of a whole one."""
    found: list[Table] = []
    block: list[str] = []
    for number, line in enumerate([*_lines_of_text(text), ""], 1):
        if line.lstrip().startswith("|"):
            block.append(line.strip())
        elif block:
            found.append(_table(block, number - len(block)))
            block = []
    return found


def cells(row: str) -> list[str]:
    """The cells of a row; `\\|` is a pipe in a cell."""
    if not row.endswith("|") or row.endswith("\\|"):
        raise BrokenTableError(f"does not end with a pipe: {row}")
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row[1:-1])]


def _table(block: list[str], line: int) -> Table:
    if len(block) < 3:
        raise BrokenTableError(f"line {line}: not a table of at least three lines: {block[0]}")
    try:
        header, delimiters, *rows = map(cells, block)
    except BrokenTableError as error:
        raise BrokenTableError(f"line {line}: {error}") from error
    if not all(_DELIMITER.fullmatch(cell) for cell in delimiters):
        raise BrokenTableError(f"line {line}: no row of dashes below the first row: {block[1]}")
    for row in (delimiters, *rows):
        if len(row) != len(header):
            raise BrokenTableError(f"line {line}: {len(row)} cells below {len(header)}: {row}")
    return Table(line, tuple(header), tuple(dict(zip(header, row, strict=True)) for row in rows))


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them; one that comes again gets a number."""
    found: set[str] = set()
    for line in _lines_of_text(text):
        if heading := re.match(r"^#{1,6} (.+)$", line):
            anchor = re.sub(r"[^\w -]", "", heading[1].lower()).replace(" ", "-")
            number = 0
            while (name := f"{anchor}-{number}" if number else anchor) in found:
                number += 1
            found.add(name)
    return found


def links(text: str) -> list[str]:
    """The targets of links and images."""
    page = re.sub(r"`[^`\n]*`", "", "\n".join(_lines_of_text(text)))
    return _LINK.findall(page) + _HTML_LINK.findall(page)


def code_lines(text: str) -> list[str]:
    """The lines of code blocks, fenced and indented, with continued lines joined."""
    joined = "\n".join(line for line in _code(text)).replace("\\\n", " ")
    return joined.splitlines()


def _lines_of_text(text: str) -> list[str]:
    """All lines, those of code blocks empty."""
    return [line if not code else "" for line, code in _marked(text)]


def _code(text: str) -> Iterator[str]:
    return (line.strip() for line, code in _marked(text) if code)


def _marked(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is code. An indented block begins after an empty line."""
    fence, indented, empty = "", False, True
    for line in text.splitlines():
        if fence:
            yield line, not line.startswith(fence)
            fence = "" if line.startswith(fence) else fence
            continue
        if found := _FENCE.match(line):
            fence = found[1]
            yield "", False
            continue
        if line.startswith("    ") and (empty or indented):
            indented = True
        elif line.strip():
            indented = False
        empty = not line.strip()
        yield line, indented
