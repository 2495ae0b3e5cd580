"""The standing checkers of every end-to-end test: what went in, what came out, and what must hold between the two.

Pure functions over records. A result says which source record it belongs to in its `ce_id` header,
`<topic>/<partition>/<offset>`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

_SHOWN = 5  # Of each kind of failure; a broken pipeline breaks thousands.


class Position(NamedTuple):
    """Where a record is. Positions of a partition sort by offset."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `<topic>/<partition>/<offset>`. Raises ValueError for anything else."""
        topic, partition, offset = text.split("/")
        return cls(topic, int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was read."""

    position: Position
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int = -1

    def header(self, name: str) -> bytes | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def source(self) -> Position | None:
        """The record that this is the result of, None when the `ce_id` header does not say."""
        try:
            return Position.parse((self.header("ce_id") or b"").decode())
        except ValueError:
            return None


class Ownership(NamedTuple):
    """A time during which a worker owned a partition: from `start`, up to but not including `end`."""

    owner: str
    topic: str
    partition: int
    start: float
    end: float = float("inf")


class EarlyCommit(NamedTuple):
    """A commit that a crash would have turned into a loss."""

    partition: int
    committed: int
    end: int
    incomplete: tuple[int, ...]  # The offsets below the commit that have no result.

    def __str__(self) -> str:
        past = f"past {_some(self.incomplete)}" if self.incomplete else f"past the end, {self.end}"
        return f"partition {self.partition} committed at {self.committed}, {past}"


@dataclass(frozen=True, slots=True)
class Report:
    """What is wrong with an output topic; all empty when nothing is.

    Order can only be seen within a partition of the output, and is judged on each result's first appearance: with
    at-least-once delivery 1 2 3 2 3 4 is in order, with two duplicates.
    """

    produced: int
    lost: tuple[Position, ...]  # Sources without a result.
    duplicated: Mapping[Position, int]  # Sources with several results, and how many.
    reordered: tuple[tuple[Position, Position], ...]  # A source, and one from after it whose result came before.
    reordered_in_key: tuple[tuple[Position, Position], ...]  # The same, between sources of equal key.
    scattered_keys: Mapping[bytes, frozenset[int]]  # Keys whose results are in several partitions, so in no order.
    changed_keys: tuple[tuple[Position, bytes | None, bytes | None], ...]  # Source, its key, its result's key.
    unknown: tuple[Record, ...]  # Results of nothing that was produced.

    def failures(self, *, allow_duplicates: bool = False) -> list[str]:
        """What is wrong, a line for each kind."""
        duplicated = {} if allow_duplicates else self.duplicated
        found = {
            f"lost {len(self.lost)} of {self.produced}": [str(source) for source in self.lost],
            f"duplicated {len(duplicated)}": [f"{source} x{times}" for source, times in duplicated.items()],
            f"reordered {len(self.reordered)} in a partition": _pairs(self.reordered),
            f"reordered {len(self.reordered_in_key)} in a key": _pairs(self.reordered_in_key),
            f"scattered {len(self.scattered_keys)} keys": [
                f"{key!r} in partitions {sorted(partitions)}" for key, partitions in self.scattered_keys.items()
            ],
            f"changed {len(self.changed_keys)} keys": [
                f"{source} {before!r} to {after!r}" for source, before, after in self.changed_keys
            ],
            f"unknown {len(self.unknown)}": [
                f"{record.position} with ce_id {record.header('ce_id')!r}" for record in self.unknown
            ],
        }
        return [f"{kind}: {_some(examples)}" for kind, examples in found.items() if examples]

    def assert_clean(self, *, allow_duplicates: bool = False) -> None:
        """Raises AssertionError that names each kind of failure with some examples."""
        if failures := self.failures(allow_duplicates=allow_duplicates):
            raise AssertionError("\n".join(failures))


def check(produced: Mapping[Position, bytes | None], results: Iterable[Record]) -> Report:
    """Hold the results against what was produced (source and key), in whatever order either comes."""
    seen: Counter[Position] = Counter()
    unknown: list[Record] = []
    changed: list[tuple[Position, bytes | None, bytes | None]] = []
    homes: dict[bytes, set[int]] = {}
    in_partition, in_key = _Order(), _Order()
    for record in sorted(results, key=lambda record: record.position):
        source = record.source
        if source is None or source not in produced:
            unknown.append(record)
            continue
        seen[source] += 1
        key = produced[source]
        if record.key != key:
            changed.append((source, key, record.key))
        if key is not None:
            homes.setdefault(key, set()).add(record.position.partition)
        if seen[source] == 1:
            stream = (record.position.topic, record.position.partition, source.topic, source.partition)
            in_partition.add(stream, source)
            if key is not None:
                in_key.add((*stream, key), source)
    return Report(
        produced=len(produced),
        lost=tuple(source for source in produced if source not in seen),
        duplicated={source: times for source, times in seen.items() if times > 1},
        reordered=tuple(in_partition.wrong),
        reordered_in_key=tuple(in_key.wrong),
        scattered_keys={key: frozenset(home) for key, home in homes.items() if len(home) > 1},
        changed_keys=tuple(changed),
        unknown=tuple(unknown),
    )


def committed_past_incomplete(
    topic: str,
    committed: Mapping[int, int],
    ends: Mapping[int, int],
    produced: Iterable[Position],
    done: Collection[Position],
) -> list[EarlyCommit]:
    """The partitions of `topic` whose committed offset is past a record that is not done, or past the end.

    `committed` maps partitions to the next offset to read, `ends` to the end offsets; `done` are the sources that
    have a result or a dead letter. Offsets at which nothing was produced (gaps) do not count.
    """
    incomplete: dict[int, list[int]] = {}
    for source in produced:
        if source.topic == topic and source.offset < committed.get(source.partition, 0) and source not in done:
            incomplete.setdefault(source.partition, []).append(source.offset)
    return [
        EarlyCommit(partition, offset, ends[partition], tuple(sorted(incomplete.get(partition, ()))))
        for partition, offset in committed.items()
        if partition in incomplete or offset > ends[partition]
    ]


def owned_twice(intervals: Iterable[Ownership]) -> list[tuple[Ownership, Ownership]]:
    """Pairs of ownerships of one partition at one time, be it by two workers or twice by one."""
    by_start = sorted(intervals, key=lambda owned: (owned.topic, owned.partition, owned.start))
    wrong: list[tuple[Ownership, Ownership]] = []
    last: Ownership | None = None
    for owned in by_start:
        same = last is not None and (last.topic, last.partition) == (owned.topic, owned.partition)
        if same and last is not None and owned.start < last.end:
            wrong.append((last, owned))
        if not same or last is None or owned.end > last.end:
            last = owned
    return wrong


class _Order:
    """The highest source seen of each stream, and the sources that came after one that is higher."""

    def __init__(self) -> None:
        self._highest: dict[tuple[str | int | bytes, ...], Position] = {}
        self.wrong: list[tuple[Position, Position]] = []

    def add(self, stream: tuple[str | int | bytes, ...], source: Position) -> None:
        highest = self._highest.setdefault(stream, source)
        if source < highest:
            self.wrong.append((source, highest))
        else:
            self._highest[stream] = source


def _pairs(wrong: Sequence[tuple[Position, Position]]) -> list[str]:
    return [f"{source} after {higher}" for source, higher in wrong]


def _some(examples: Sequence[object]) -> str:
    shown = ", ".join(str(example) for example in examples[:_SHOWN])
    return f"{shown}, ... ({len(examples)} in all)" if len(examples) > _SHOWN else shown
