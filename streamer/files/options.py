"""How to read a table, where the file itself does not show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TableOptions:
    """The options of every command that reads a table, and the fields of a recipe's table.

    format: csv, tsv, jsonl, json (an array, or lines) or parquet; by default the one of the name. encoding: Python's
    name; by default UTF-8. delimiter: of csv; `tab` is one too. quote: the character around cells, `none` where it is a
    letter like others. escape: the character before a quote that does not end a cell, where csv doubles it. header:
    whether the first row names the columns; otherwise they are 1, 2, ... skip_bad_rows: leave out rows that cannot be
    used, and count them, instead of ending with an error.
    """

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    header: bool = True
    skip_bad_rows: bool = False
