"""Each checker finds what it is for, and nothing in an output that is right."""

from __future__ import annotations

import pytest

from tests.checkers import (
    EarlyCommit,
    Ownership,
    Position,
    Record,
    check,
    committed_past_incomplete,
    owned_twice,
)


def source(offset: int, partition: int = 0) -> Position:
    return Position("in", partition, offset)


def results(*sources: Position, partition: int = 0, key: bytes | None = b"k") -> list[Record]:
    """The sources' results, in this order in a partition of the output."""
    return [
        Record(Position("out", partition, offset), key, b"{}", (("ce_id", str(of).encode()),))
        for offset, of in enumerate(sources)
    ]


PRODUCED: dict[Position, bytes | None] = {source(offset): b"k" for offset in (3, 4, 6)}


def test_each_result_once_and_in_order_is_clean() -> None:
    """Gaps in the offsets, and the order in which the records are handed in, do not matter."""
    read = results(source(3), source(4), source(6))
    report = check(PRODUCED, reversed(read))
    assert report.failures() == []
    report.assert_clean()


def test_partitions_are_independent() -> None:
    """Two source partitions may mix in one partition of the output."""
    produced: dict[Position, bytes | None] = {source(offset, part): None for part in (0, 1) for offset in (0, 1)}
    read = results(source(0, 1), source(0), source(1, 1), source(1), key=None)
    check(produced, read).assert_clean()


def test_a_missing_result_is_lost() -> None:
    """And is named."""
    report = check(PRODUCED, results(source(3), source(6)))
    assert report.lost == (source(4),)
    with pytest.raises(AssertionError, match="lost 1 of 3: in/0/4"):
        report.assert_clean(allow_duplicates=True)


def test_a_second_result_is_a_duplicate_unless_allowed() -> None:
    """A replay of several in their order is duplicates, and not a reordering."""
    report = check(PRODUCED, results(source(3), source(4), source(3), source(4), source(6)))
    assert report.duplicated == {source(3): 2, source(4): 2}
    assert report.reordered == ()
    report.assert_clean(allow_duplicates=True)
    with pytest.raises(AssertionError, match="duplicated 2: in/0/3 x2, in/0/4 x2"):
        report.assert_clean()


def test_a_result_before_an_earlier_source_s_is_a_reordering() -> None:
    """Within the partition, and within the key when it is the same key."""
    report = check(PRODUCED, results(source(4), source(3), source(6)))
    assert report.reordered == ((source(3), source(4)),)
    assert report.reordered_in_key == ((source(3), source(4)),)
    with pytest.raises(AssertionError, match="in/0/3 after in/0/4"):
        report.assert_clean(allow_duplicates=True)


def test_order_across_keys_is_told_from_order_within_a_key() -> None:
    """Two keys that overtake each other break the partition's order only."""
    produced = {source(0): b"a", source(1): b"b"}
    read = [*results(source(1), key=b"b"), *(Record(Position("out", 0, 9), b"a", b"", (("ce_id", b"in/0/0"),)),)]
    report = check(produced, read)
    assert report.reordered == ((source(0), source(1)),)
    assert report.reordered_in_key == ()


def test_a_key_in_two_partitions_is_scattered() -> None:
    """Its results have no order any more."""
    report = check(PRODUCED, results(source(3), source(4)) + results(source(6), partition=1))
    assert report.scattered_keys == {b"k": frozenset({0, 1})}
    with pytest.raises(AssertionError, match=r"scattered 1 keys: b'k' in partitions \[0, 1\]"):
        report.assert_clean()


def test_a_changed_key_is_found() -> None:
    """Also when it went missing."""
    report = check(PRODUCED, results(source(3), source(4)) + results(source(6), partition=1, key=None))
    assert report.changed_keys == ((source(6), b"k", None),)


@pytest.mark.parametrize("ce_id", [None, b"", b"in/0", b"in/0/x", b"in/0/5", b"\xff/0/3"])
def test_a_result_of_nothing_that_was_produced_is_unknown(ce_id: bytes | None) -> None:
    """Be it that the header is missing, is no position, or is one that nothing was produced at."""
    stray = Record(Position("out", 0, 9), b"k", b"{}", (("ce_id", ce_id),))
    report = check(PRODUCED, [*results(*PRODUCED), stray])
    assert report.unknown == (stray,)
    assert len(report.failures()) == 1


def test_a_report_of_many_failures_stays_short() -> None:
    """Five examples and the number."""
    (line,) = check({source(offset): None for offset in range(1000)}, []).failures()
    assert line == "lost 1000 of 1000: in/0/0, in/0/1, in/0/2, in/0/3, in/0/4, ... (1000 in all)"


def test_a_commit_past_a_record_without_a_result_is_early() -> None:
    """The committed offset is the next to read, so its own record may be incomplete; gaps are no records."""
    produced = [source(3), source(4), source(6), source(0, 1), source(0, 2)]
    early = committed_past_incomplete("in", {0: 7, 1: 0}, {0: 7, 1: 1, 2: 1}, produced, {source(3), source(6)})
    assert early == [EarlyCommit(0, 7, 7, (4,))]
    assert str(early[0]) == "partition 0 committed at 7, past 4"
    assert committed_past_incomplete("in", {0: 4, 1: 0}, {0: 7, 1: 1}, produced, {source(3)}) == []


def test_a_commit_past_the_end_is_early() -> None:
    """Records that come later would never be read."""
    early = committed_past_incomplete("in", {0: 8}, {0: 7}, [source(3)], {source(3)})
    assert early == [EarlyCommit(0, 8, 7, ())]
    assert str(early[0]) == "partition 0 committed at 8, past the end, 7"


def test_a_partition_is_owned_twice_where_ownerships_overlap() -> None:
    """A hand-over at the very moment is none; a worker that never gave up overlaps all that follow."""
    a, b, c = Ownership("a", "in", 0, 0.0, 2.0), Ownership("b", "in", 0, 2.0, 3.0), Ownership("c", "in", 0, 2.5)
    other = Ownership("a", "in", 1, 0.0)
    assert owned_twice([b, other, a]) == []
    assert owned_twice([c, other, b, a]) == [(b, c)]
    stuck = Ownership("a", "in", 0, 0.0)
    assert owned_twice([c, b, stuck]) == [(stuck, b), (stuck, c)]
