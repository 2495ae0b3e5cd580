"""The messages that workers publish with each commit: the counts of a range of offsets of one input partition.

    {"source": {"topic", "partition", "from", "to"},          offsets; `to` is exclusive
     "epoch": [1763712930124, 1763712930123],                 the partition owner's; each later owner's is higher
     "labels": [label, ...],                                  the model's, in the order of `LabelSet.columns`
     "cells": [[second, group | null, a count for each label ..., score_sum], ...]}

`second` is the event time in whole seconds since the epoch. `score_sum` is in millionths, to which scores are rounded,
so sums are exact. Dead letters and tombstones are in the range but in no cell. A message without `labels` is from an
older worker: its counts are those of `labels.UNNAMED_COLUMNS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import repeat
from operator import le, mul
from typing import Any, NamedTuple, cast

import orjson

from streamer.events import TopicPartition
from streamer.labels import UNNAMED_COLUMNS, is_reserved

EVENT_TYPE = b"review.sentiment.trend.v1"
LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z.
MILLION = 1_000_000  # Millionths in a score of 1.

_MAX_LABELS = 101  # In a message: a manifest has at most 100.
_MAX_LABEL_LENGTH = 100
_LIST, _INT, _GROUP = {list}, {int}, {str, type(None)}

# The epoch of a partition's owner. Compared by the first number, then by the second.
Epoch = tuple[int, int]
# second, group, a count for each label, sum of scores. A plain list, as in JSON: tens of thousands arrive a second.
Cell = Sequence[Any]


class CountDelta(NamedTuple):
    """The counts of offsets from `begin` up to `end`, exclusive, by the owner with this epoch.

    labels: what the counts of each cell stand for, in order.
    """

    source: TopicPartition
    begin: int
    end: int
    epoch: Epoch
    cells: Sequence[Cell]
    labels: tuple[str, ...]


def source_key(source: TopicPartition) -> bytes:
    """The key of a source's messages: they stay in one partition, in order."""
    return str(source).encode()


def encode(delta: CountDelta) -> bytes:
    """The message's value."""
    topic, partition = delta.source
    source = {"topic": topic, "partition": partition, "from": delta.begin, "to": delta.end}
    # Left out where it says what its absence says: readers with the first version's closed schema accept the message.
    labels = {} if delta.labels == UNNAMED_COLUMNS else {"labels": delta.labels}
    return orjson.dumps({"source": source, "epoch": delta.epoch, **labels, "cells": delta.cells})


def decode(value: bytes | None) -> CountDelta | None:
    """Read a message's value; None if any part of it is invalid."""
    try:
        body = orjson.loads(value or b"null")
        source = body["source"]
        topic, partition = source["topic"], source["partition"]
        begin, end, cells = source["from"], source["to"], body["cells"]
        named = body.get("labels")
        labels = UNNAMED_COLUMNS if named is None else tuple(named)
        first, second = body["epoch"]
        if type(named) not in (list, type(None)) or not _are_labels(labels):
            return None
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return None
    numbers = partition, begin, end, first, second
    if type(topic) is not str or any(type(number) is not int or number < 0 for number in numbers) or end <= begin:
        return None
    if not _are_cells(cells, len(labels) + 3):
        return None
    return CountDelta(TopicPartition(topic, cast(int, partition)), begin, end, (first, second), cells, labels)


@lru_cache(64)  # Nearly all messages have the same labels.
def _are_labels(labels: tuple[object, ...]) -> bool:
    return (
        0 < len(labels) <= _MAX_LABELS
        and all(
            type(label) is str and 0 < len(label) <= _MAX_LABEL_LENGTH and not is_reserved(label) for label in labels
        )
        and len(set(labels)) == len(labels)
    )


def _are_cells(cells: object, width: int) -> bool:
    """Whether all cells are valid. Checks column by column, so that the loops over thousands of cells run in C."""
    if type(cells) is not list:
        return False
    if not cells:
        return True
    if set(map(type, cells)) != _LIST or set(map(len, cells)) != {width}:
        return False
    seconds, groups, *numbers = zip(*cells, strict=True)
    if not set(map(type, groups)) <= _GROUP:
        return False
    for column in (seconds, *numbers):
        if set(map(type, column)) != _INT or min(column) < 0:
            return False
    *counts, scores = numbers
    reviews = map(sum, zip(*counts, strict=True))
    return max(seconds) <= LAST_SECOND and all(map(le, scores, map(mul, reviews, repeat(MILLION))))
