"""Trends against a recount of the output topic: each review once, by second of event time and group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from streamer.trends import SECOND, CountDelta, Trends, decode
from tests.checkers import Record

# By label; and the sum of scores, in millionths.
Cells = dict[tuple[int, str | None], tuple[dict[str, int], int]]


class Repeats(NamedTuple):
    """Results that came more than once, and how many of them with another label or score than the first time.

    spread: by how much their scores differ, in millionths, the highest from the lowest, in all.
    """

    reviews: int
    scores: int
    labels: int
    spread: int


def trends_of(messages: Iterable[Record]) -> Trends:
    """What a reader makes of the trends topic, as it was when each message came."""
    trends = Trends(early=600)
    for message in messages:
        assert trends.merge(message.value, message.timestamp_ms / 1000) or trends.statistics.repeated
    return trends


def cells_of(trends: Trends) -> Cells:
    """Each group's seconds, as far as there are reviews."""
    return {
        (window.start, group): (
            {label: count for label, count in zip(window.labels, window.counts, strict=True) if count},
            window.score_sum,
        )
        for group in trends.groups()
        for window in trends.series(SECOND, 0, 1 << 40, group)
        if window.reviews
    }


def recount(results: Iterable[Record], messages: Sequence[Record]) -> tuple[Cells, Repeats]:
    """The cells of the output topic with each `ce_id` once.

    Of results that differ that counts which was made by the worker that published the count: the last one labelled
    before the message that has it.
    """
    by_review: dict[bytes | None, list[Record]] = defaultdict(list)
    for result in results:
        by_review[result.header("ce_id")].append(result)
    found: Cells = {}
    repeated = scores = labels = spread = 0
    for again in by_review.values():
        events = [orjson.loads(result.value or b"") for result in again]
        repeated += len(events) > 1
        scores += len({event["score"] for event in events}) > 1
        labels += len({event["label"] for event in events}) > 1
        given = [round(event["score"] * 1_000_000) for event in events]
        spread += max(given) - min(given)
        event = events[0]
        if len({(event["score"], event["label"]) for event in events}) > 1:
            published = _published_at(again[0], messages)
            event = [event for event in events if _milliseconds(event["labelled_at"]) <= published][-1]
        cell = _milliseconds(event["event_time"]) // 1000, event["group"]
        counts, score = found.get(cell, ({}, 0))
        counts[event["label"]] = counts.get(event["label"], 0) + 1
        found[cell] = counts, score + round(event["score"] * 1_000_000)
    return found, Repeats(repeated, scores, labels, spread)


def _published_at(result: Record, messages: Iterable[Record]) -> int:
    """When the counts with a review were published, the newest owner's."""
    source = result.source
    assert source is not None
    covering: list[tuple[CountDelta, int]] = []
    for message in messages:
        counted = decode(message.value)
        assert counted is not None
        same = (source.topic, source.partition) == counted.source
        if same and counted.begin <= source.offset < counted.end:
            covering.append((counted, message.timestamp_ms))
    return max(covering, key=lambda found: found[0].epoch)[1]


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
