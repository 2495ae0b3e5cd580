"""What workers publish with each commit: counts of a range of one source partition's offsets.

    {"source": {"topic", "partition", "from", "to"},          offsets; `to` is exclusive
     "epoch": [1763712930124, 1763712930123],                 of the partition's owner; each later owner's is higher
     "cells": [[second, group | null, positive, negative, uncertain, score_sum], ...]}

`second` is the event time, in whole seconds since the epoch; `score_sum` is in millionths, which is what scores are
rounded to: sums are exact. Dead letters and tombstones are in the range and in no cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import orjson

from streamer.events import TopicPartition

EVENT_TYPE = b"review.sentiment.trend.v1"
LAST_SECOND = 253_402_300_799  # Of 9999-12-31.
MILLION = 1_000_000  # Millionths in a score of 1.

# Of a partition's owner: compared first by the first number, then by the second, as lists are.
Epoch = tuple[int, int]
# second, group, positive, negative, uncertain, sum of scores. As JSON has it: tens of thousands come a second.
Cell = Sequence[Any]


class CountDelta(NamedTuple):
    """The counts of offsets from `begin` up to `end`, exclusive, by the owner of this epoch."""

    source: TopicPartition
    begin: int
    end: int
    epoch: Epoch
    cells: Sequence[Cell]


def source_key(source: TopicPartition) -> bytes:
    """The key of a source's messages: they stay in one partition, in order."""
    return f"{source.topic}/{source.partition}".encode()


def encode(counted: CountDelta) -> bytes:
    """The message's value."""
    topic, partition = counted.source
    source = {"topic": topic, "partition": partition, "from": counted.begin, "to": counted.end}
    return orjson.dumps({"source": source, "epoch": counted.epoch, "cells": counted.cells})


def decode(value: bytes | None) -> CountDelta | None:
    """Read a message's value; None for whatever is no such message, down to its last cell."""
    try:
        body = orjson.loads(value or b"null")
        source = body["source"]
        topic, partition = source["topic"], source["partition"]
        begin, end, cells = source["from"], source["to"], body["cells"]
        first, second = body["epoch"]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    numbers = partition, begin, end, first, second
    if type(topic) is not str or any(type(number) is not int or number < 0 for number in numbers) or end <= begin:
        return None
    if type(cells) is not list or not all(map(_is_sound, cells)):
        return None
    return CountDelta(TopicPartition(topic, cast(int, partition)), begin, end, (first, second), cells)


def _is_sound(cell: object) -> bool:
    if type(cell) is not list or len(cell) != 6:
        return False
    second, group, positive, negative, uncertain, score = cell
    return (
        type(second) is type(positive) is type(negative) is type(uncertain) is type(score) is int
        and (group is None or type(group) is str)
        and 0 <= second <= LAST_SECOND
        and positive >= 0
        and negative >= 0
        and uncertain >= 0
        and 0 <= score <= (positive + negative + uncertain) * MILLION
    )
