"""A job for the service: its topics on the test broker, its group, and the environment that a worker needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.checkers import Position, Record, committed_past_incomplete
from tests.reading import Item, committed, end_offsets, fill, read_all
from tests.texts import reviews


def item(number: int, text: str) -> Item:
    """A review with a key, one of 5000, and a trace header of its own."""
    return Item(
        orjson.dumps({"id": f"r{number}", "text": text, "group": f"g{number % 7}"}),
        key=f"user-{number % 5000}".encode(),
        headers=(("traceparent", f"00-{number:032x}-00f067aa0ba902b7-01".encode()), ("mine", b"\xff\x00")),
    )


class Job:
    """Three topics of its own; input and output have the same number of partitions."""

    def __init__(self, cluster: Cluster, make_topic: MakeTopic, partitions: int = 6, **configs: str) -> None:
        self.bootstrap = cluster.bootstrap
        self.partitions = partitions
        self.input, self.output = make_topic(partitions, **configs), make_topic(partitions)
        self.dead = make_topic(1)
        self.group = f"group-{self.input}"
        self.settings: dict[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        return {
            "STREAMER_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "STREAMER_KAFKA__GROUP_ID": self.group,
            "STREAMER_INPUT__TOPIC": self.input,
            "STREAMER_OUTPUT__TOPIC": self.output,
            "STREAMER_DEAD_LETTERS__TOPIC": self.dead,
            "STREAMER_MODEL__CACHE_ENTRIES": "0",
            # Small cost tables: workers start with a second of CPU less.
            "STREAMER_BATCHING__MAX_REVIEWS": "64",
            "STREAMER_BATCHING__MAX_PADDED_TOKENS": "4096",
        } | self.settings

    def put(self, items: Iterable[Item]) -> dict[Position, bytes | None]:
        """Write these records to the input topic."""
        return fill(self.bootstrap, self.input, items, settings={"message.max.bytes": 4_000_000})

    def fill(self, count: int) -> dict[Position, bytes | None]:
        """Real reviews with keys, spread by key, each with a trace header of its own."""
        return self.put(item(number, text) for number, text in enumerate(reviews(count)))

    def results(self, expected: int | None = None, timeout_s: float = 120.0) -> list[Record]:
        """What is in the output topic, waiting for so many."""
        return read_all(self.bootstrap, self.output, expected, timeout_s=timeout_s)

    def dead_letters(self, expected: int | None = None) -> list[Record]:
        """What is in the dead-letter topic, waiting for so many."""
        return read_all(self.bootstrap, self.dead, expected, timeout_s=60)

    def assert_offsets_at_the_end(self) -> None:
        """The group has committed everything."""
        ends = {partition: end for partition, end in end_offsets(self.bootstrap, self.input).items() if end}
        assert committed(self.bootstrap, self.group, self.input) == ends

    def assert_nothing_committed_early(self, produced: Iterable[Position], results: Sequence[Record]) -> None:
        """No offset was committed before the results below it were there."""
        ends = end_offsets(self.bootstrap, self.input)
        done = {record.source for record in results if record.source is not None}
        offsets = committed(self.bootstrap, self.group, self.input)
        assert committed_past_incomplete(self.input, offsets, ends, produced, done) == []
