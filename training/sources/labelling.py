"""From the rows of a table to texts with labels: what the labels mean is decided by all of them together.

rows -> those that the source selects -> the meaning of their labels -> LabelledText
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from streamer.printable import printable
from training.labels import (
    NEGATIVE,
    NEGATIVE_SPELLINGS,
    NEUTRAL,
    NEUTRAL_SPELLINGS,
    POSITIVE,
    POSITIVE_SPELLINGS,
    REVIEW_LABELS,
    ReviewLabel,
    hint,
    is_missing,
    listed,
    spelling,
    spellings,
    understood,
)
from training.recipe import Source
from training.sources.tables import DataError, Row

BadRow = Callable[[str, str, int, str], None]  # Kind, fault, line and column of a row that is left out.
Report = Callable[[str], None]

_SHOWN_CHARACTERS = 40


class LabelledText(NamedTuple):
    """A text with its label; `group`: its value in the source's group column. `line`: where it was read."""

    text: str
    label: ReviewLabel
    group: str | None
    line: int


class _Candidate(NamedTuple):
    line: int
    text: str
    label: tuple[str, ...]  # As a recipe may spell it.
    group: str | None


def labelled_texts(
    rows: Iterable[Row], name: str, source: Source, bad_row: BadRow | None = None, report: Report | None = None
) -> Iterator[LabelledText]:
    """The texts of the rows that the source selects, without blank ones and skipped labels.

    bad_row: is called for a row that is left out if the source says so; by default it is an error. report: is told what
    the labels were taken to mean, unless the source itself says it. Raises DataError for what is wrong with a row.
    """
    blank: Counter[bool] = Counter()
    candidates = list(_candidates(rows, name, source, bad_row, blank))
    counts: Counter[str] = Counter(candidate.label[0] for candidate in candidates)
    meaning = _given(source)
    if _is_usual(source):
        meaning = dict(understood(counts))
        if report is not None and counts.keys() <= meaning.keys() and counts:
            report(f"{source.name}: labels read as {_shown(meaning, counts)}")
    if report is not None and blank[True]:
        report(f"{source.name}: {blank[True]:,} without a text left out")
    for line, text, label, group in candidates:
        found = next((meaning[word] for word in label if word in meaning), None)
        if found is None:
            raise _unknown(candidates, meaning, name, source)
        yield LabelledText(text, found, group, line)


def _candidates(
    rows: Iterable[Row], name: str, source: Source, bad_row: BadRow | None, blank: Counter[bool]
) -> Iterator[_Candidate]:
    """The selected rows with a text; those without one are counted in `blank`."""
    skip = {spelling(label) for label in source.skip}
    given = _given(source)
    for line, row in rows:
        if any(str(row[column]) != value for column, value in source.where.items()):
            continue
        label = spellings(row[source.label])
        if skip.intersection(label):
            continue
        if is_missing(label[0]) and label[0] not in given:
            _refuse(bad_row, DataError(_no_label(label[0]), name, line, source.label), "without a label", line)
            continue
        text = row[source.text]
        if not isinstance(text, str | None):
            _refuse(bad_row, DataError("not a text", name, line, source.text), "without a text", line)
            continue
        group = _group(row, source, name, line)
        if text is None or not text.strip():
            blank[True] += 1
        else:
            yield _Candidate(line, text, label, group)


def _refuse(bad_row: BadRow | None, error: DataError, kind: str, line: int) -> None:
    """Leave a row out if the source allows it, else raise the error."""
    if bad_row is None:
        raise error
    bad_row(kind, error.what, line, error.column or "")


def _group(row: Mapping[str, object], source: Source, name: str, line: int) -> str | None:
    """The row's value in the group column. Raises DataError when it is empty."""
    if source.group is None:
        return None
    value = row[source.group]
    if not (group := str("" if value is None else value).strip()):
        raise DataError("the group is empty", name, line, source.group)
    return group


def _given(source: Source) -> dict[str, ReviewLabel]:
    """What the source itself says of its labels."""
    words = ((POSITIVE, source.positive), (NEGATIVE, source.negative), (NEUTRAL, source.neutral))
    return {spelling(word): label for label, each in words for word in each}


def _is_usual(source: Source) -> bool:
    """Whether the source leaves it to us what its labels mean."""
    return (
        source.positive == POSITIVE_SPELLINGS
        and source.negative == NEGATIVE_SPELLINGS
        and source.neutral in ((), NEUTRAL_SPELLINGS)
    )


def _shown(meaning: Mapping[str, ReviewLabel], counts: Counter[str]) -> str:
    """`positive: '1' (60); negative: '-1' (60)`."""
    parts = []
    for label in REVIEW_LABELS:
        words = [word for word in counts if meaning[word] == label]
        if words:
            parts.append(f"{label}: " + ", ".join(f"'{printable(word)}' ({counts[word]:,})" for word in words))
    return "; ".join(parts)


def _no_label(label: str) -> str:
    what = f"no label ('{label}')" if label else "no label"
    return f"{what}; {hint([label])} or --skip-bad-rows leaves such rows out"


def _unknown(
    candidates: Sequence[_Candidate], meaning: Mapping[str, ReviewLabel], name: str, source: Source
) -> DataError:
    """The error for the first label without a meaning; rather for one that no source understands by itself."""
    given = _given(source)
    unknown = [candidate for candidate in candidates if not meaning.keys() & set(candidate.label)]
    first = next((candidate for candidate in unknown if candidate.label[0] not in given), unknown[0])
    label = printable(first.label[0], _SHOWN_CHARACTERS)
    labels = {candidate.label[0] for candidate in candidates}
    return DataError(
        f"unknown label '{label}'; the labels are {listed(labels)}: {hint(labels)} says what they "
        "mean, as do positive, negative, neutral and skip of a source in a recipe",
        name,
        first.line,
        source.label,
    )
