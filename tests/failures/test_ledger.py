"""The ledger says what `tests.checkers.check` says, without holding the records."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from tests.checkers import Position, Record, Report, check
from tests.failures.ledger import Ledger

KEYS = st.sampled_from([None, b"a", b"b", b"c"])
SOURCES = st.builds(Position, st.just("in"), st.integers(0, 2), st.integers(0, 6))
# Source, key, partition of the output; a source that is no position at all counts as well.
RESULTS = st.lists(st.tuples(st.one_of(SOURCES, st.none()), KEYS, st.integers(0, 1)), max_size=40)


def numbered(results: list[tuple[Position | None, bytes | None, int]]) -> list[Record]:
    """As read, each partition of the output in order."""
    counts = [0, 0]
    records = []
    for source, key, home in results:
        headers = (("ce_id", str(source).encode()),)
        records.append(Record(Position("out", home, counts[home]), key, b"{}", headers))
        counts[home] += 1
    return records


def comparable(report: Report) -> tuple[object, ...]:
    """Without what the ledger has as a hash only, and without an order of its own.

    Where keys have changed the two may tell order and place by another key.
    """
    return (
        report.produced,
        sorted(report.lost),
        report.duplicated,
        sorted(report.reordered),
        {source for source, _, _ in report.changed_keys},
        sorted({str(record.source) for record in report.unknown}),
        bool(report.changed_keys) or (sorted(report.reordered_in_key), report.scattered_keys),
    )


@given(st.dictionaries(SOURCES, KEYS, max_size=15), RESULTS)
def test_the_ledger_reports_what_the_checker_reports(
    produced: dict[Position, bytes | None], results: list[tuple[Position | None, bytes | None, int]]
) -> None:
    """Of whatever went in and came out, in sources that went in."""
    known = [result for result in results if result[0] is None or result[0] in produced]
    ledger = Ledger("in")
    records = sorted(numbered(known), key=lambda record: record.position)
    for record in records[: len(records) // 2]:
        ledger.got(record)
    for source, key in produced.items():
        ledger.put(source, key)
    for record in records[len(records) // 2 :]:
        ledger.got(record)
    assert comparable(ledger.report()) == comparable(check(produced, records))


def test_results_of_nothing_are_unknown() -> None:
    """Whether their offset lies behind the last that was written, or in a gap, or in another topic."""
    ledger = Ledger("in")
    for offset in (0, 2):
        ledger.put(Position("in", 0, offset), b"a")
    sources = [Position("in", 0, offset) for offset in (0, 1, 2, 3)] + [Position("other", 0, 0)]
    for record in numbered([(source, b"a", 0) for source in sources]):
        ledger.got(record)
    report = ledger.report()
    assert {record.source for record in report.unknown} == {sources[1], sources[3], sources[4]}
    assert dataclasses.replace(report, unknown=()).failures() == []
