"""What went in and what came out, of millions of reviews, in less than twenty bytes each.

Holds to the same rules as `tests.checkers.check`, and makes the same report; only what is wrong is kept whole.
"""

from __future__ import annotations

from array import array
from zlib import crc32

from tests.checkers import Position, Record, Report

_NO_KEY = -1


class Ledger:
    """Of one input topic. Results may be noted before what they are the results of."""

    def __init__(self, topic: str) -> None:
        self.produced = 0
        self._topic = topic
        self._keys: dict[int, array[int]] = {}  # By partition and offset: the key's hash and 1; 0, nothing is there.
        self._seen: dict[int, bytearray] = {}  # By partition and offset: results, up to 255.
        self._result_keys: dict[int, array[int]] = {}  # By partition and offset: as in _keys, of the first result.
        self._highest: dict[tuple[int, int], int] = {}  # Offset, by partition of the output and of the input.
        self._highest_of_key: dict[tuple[int, int, int], int] = {}  # The same, and the key's hash.
        self._homes: dict[bytes, set[int]] = {}
        self._changed: list[tuple[Position, bytes | None, bytes | None]] = []
        self._reordered: list[tuple[Position, Position]] = []
        self._reordered_in_key: list[tuple[Position, Position]] = []
        self._unknown: list[Record] = []

    def put(self, source: Position, key: bytes | None) -> None:
        """This has been written."""
        keys = self._keys.setdefault(source.partition, array("q"))
        _reach(keys, source.offset)
        keys[source.offset] = _hash(key)
        self.produced += 1

    def got(self, record: Record) -> None:
        """This result has come, in the order of its partition."""
        source, home, key = record.source, record.position.partition, record.key
        if source is None or source.topic != self._topic:
            self._unknown.append(record)
            return
        seen = self._seen.setdefault(source.partition, bytearray())
        keys = self._result_keys.setdefault(source.partition, array("q"))
        _reach(seen, source.offset)
        _reach(keys, source.offset)
        hashed = _hash(key)
        if seen[source.offset]:
            if hashed != keys[source.offset]:
                self._changed.append((source, None, key))
        else:
            keys[source.offset] = hashed
            self._order(source, home, None if key is None else hashed)
        seen[source.offset] = min(255, seen[source.offset] + 1)
        if key is not None:
            self._homes.setdefault(key, set()).add(home)

    def report(self) -> Report:
        """What is wrong. A key that differs is None where it was kept as a hash only."""
        lost: list[Position] = []
        duplicated: dict[Position, int] = {}
        changed, unknown = list(self._changed), list(self._unknown)
        for partition in self._keys.keys() | self._seen.keys():
            keys, seen = self._keys.get(partition, array("q")), self._seen.get(partition, bytearray())
            results = self._result_keys.get(partition, array("q"))
            for offset in range(max(len(keys), len(seen))):
                key, times = _at(keys, offset), _at(seen, offset)
                source = Position(self._topic, partition, offset) if key or times else None
                if source is None:
                    continue
                if not key:
                    unknown.append(Record(source, None, None, (("ce_id", str(source).encode()),)))
                elif not times:
                    lost.append(source)
                elif key != results[offset]:
                    changed.append((source, None, None))
                if key and times > 1:
                    duplicated[source] = times
        scattered = {key: frozenset(homes) for key, homes in self._homes.items() if len(homes) > 1}
        return Report(
            self.produced,
            tuple(lost),
            duplicated,
            tuple(self._reordered),
            tuple(self._reordered_in_key),
            scattered,
            tuple(changed),
            tuple(unknown),
        )

    def _order(self, source: Position, home: int, hashed: int | None) -> None:
        highest = self._highest.setdefault((home, source.partition), source.offset)
        if source.offset < highest:
            self._reordered.append((source, source._replace(offset=highest)))
        self._highest[home, source.partition] = max(highest, source.offset)
        if hashed is None:
            return
        highest = self._highest_of_key.setdefault((home, source.partition, hashed), source.offset)
        if source.offset < highest:
            self._reordered_in_key.append((source, source._replace(offset=highest)))
        self._highest_of_key[home, source.partition, hashed] = max(highest, source.offset)


def _hash(key: bytes | None) -> int:
    return _NO_KEY if key is None else crc32(key) + 1


def _reach(values: array[int] | bytearray, offset: int) -> None:
    """Make room for this offset."""
    if (missing := offset + 1 - len(values)) > 0:
        values.extend([0] * missing)


def _at(values: array[int] | bytearray, offset: int) -> int:
    return values[offset] if offset < len(values) else 0
