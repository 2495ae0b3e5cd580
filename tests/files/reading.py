"""Tables of given bytes, for tests."""

from __future__ import annotations

import io
import json
from typing import Any

from streamer.files.options import TableOptions
from streamer.files.tables import TableReader


def values(content: bytes, name: str = "rows.csv", column: str = "text", **options: Any) -> list[bytes]:
    """The rows as JSON."""
    with TableReader(name, TableOptions(**options), required=(column,), content=io.BytesIO(content)) as table:
        return list(table.values())


def rows(content: bytes, name: str = "rows.csv", column: str = "text", **options: Any) -> list[Any]:
    """The rows as objects."""
    return [json.loads(value) for value in values(content, name, column, **options)]


def texts(content: bytes, name: str = "rows.csv", column: str = "text", **options: Any) -> list[str]:
    """The texts of the rows."""
    return [row[column] for row in rows(content, name, column, **options)]


def skipped(content: bytes, name: str = "rows.csv", column: str = "text", **options: Any) -> tuple[list[str], Any]:
    """The texts of the rows that are not left out, and how many are, by kind."""
    given = TableOptions(skip_bad_rows=True, **options)
    with TableReader(name, given, required=(column,), content=io.BytesIO(content)) as table:
        return [str(row[column]) for _, row, _ in table.rows()], dict(table.bad_rows.counts)
