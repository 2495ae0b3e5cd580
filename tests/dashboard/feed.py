"""What workers would publish, made up: results, held reviews and counts, straight into the topics."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

import streamer
from streamer.events import TopicPartition, record_identity
from streamer.formats.times import rfc3339
from streamer.labels import UNNAMED_COLUMNS
from streamer.trends import CountDelta, encode, source_key
from tests.reading import Item

SAMPLES = Path(streamer.__file__).parent / "demo" / "samples.jsonl"
_WORDS = {"positive": ("great", 1.8), "negative": ("差", -1.6), "uncertain": ("ok", 0.1)}
_SCORES = {"positive": 0.93, "negative": 0.07, "uncertain": 0.5}


def samples() -> list[dict[str, Any]]:
    """The reviews that come along, without the very long ones first."""
    return [orjson.loads(line) for line in SAMPLES.read_bytes().splitlines()]


def event(number: int, label: str = "negative", text: str | None = None, **changes: Any) -> dict[str, Any]:
    """A result, as a worker would publish it."""
    now = int(time.time() * 1000)
    made: dict[str, Any] = {
        "id": f"r{number}",
        "label": label,
        "score": _SCORES[label],
        "confidence": max(_SCORES[label], 1 - _SCORES[label]),
        "tokens": 12,
        "truncated": False,
        "event_time": rfc3339(now),
        "labelled_at": rfc3339(now),
        "group": f"group-{number % 7}",
        "model": {"name": "bilstm-zh-en", "version": "1.0.0"},
        "source": {"topic": "reviews", "partition": 0, "offset": number},
        "evidence": [{"token": _WORDS[label][0], "weight": _WORDS[label][1]}],
    }
    if text is not None:
        made["input"] = {"id": f"r{number}", "text": text}
    return made | changes


def result(made: Mapping[str, Any], partition: int | None = None) -> Item:
    """The record of a result or of a held review."""
    identity = record_identity(**made["source"]).encode()
    return Item(orjson.dumps(made), key=identity, partition=partition, headers=(("ce_id", identity),))


def counts(
    made: Iterable[Mapping[str, Any]],
    begin: int,
    source: TopicPartition,
    epoch: tuple[int, int] = (1, 0),
    second: int | None = None,
    labels: Sequence[str] = UNNAMED_COLUMNS,
) -> Item:
    """The message of the trends topic for these results, from this offset of their source on."""
    cells: Counter[tuple[int, str | None, str]] = Counter()
    scores: Counter[tuple[int, str | None]] = Counter()
    end = begin
    at = int(time.time()) if second is None else second
    for found in made:
        cells[at, found["group"], found["label"]] += 1
        scores[at, found["group"]] += round(found["score"] * 1_000_000)
        end += 1
    keys = sorted(scores, key=str)
    rows = [[key[0], key[1], *(cells[*key, label] for label in labels), scores[key]] for key in keys]
    value = encode(CountDelta(source, begin, end, epoch, rows, tuple(labels)))
    return Item(value, key=source_key(source), partition=source.partition)


def busy(source: TopicPartition, groups: int, per_second: int, second: int, begin: int, seed: int) -> Item:
    """The counts of one second of one partition, as many reviews over so many groups, without making the reviews."""
    chance = random.Random(seed)
    share, left = divmod(per_second, groups)
    rows = []
    for group in range(groups):
        total = share + (group < left)
        if total:
            negative = min(total, int(total * chance.uniform(0.1, 0.5)))
            uncertain = min(total - negative, int(total * 0.15))
            positive = total - negative - uncertain
            rows.append([second, f"product-{group:04d}", positive, negative, uncertain, positive * 900_000])
    return Item(
        encode(CountDelta(source, begin, begin + per_second, (1, 0), rows, UNNAMED_COLUMNS)),
        key=source_key(source),
        partition=source.partition,
    )


def stream(seed: int = 1) -> Iterator[dict[str, Any]]:
    """Sample reviews as results, over and over, labelled as their authors say."""
    chance = random.Random(seed)
    found = samples()
    for number in itertools.count():
        sample = found[chance.randrange(len(found))]
        label = sample["expected"] if sample["expected"] in _SCORES else "uncertain"
        text = sample["text"]
        words = [word for word in text.replace("，", " ").replace("。", " ").split() if 1 < len(word) < 8]
        sign = -1 if label == "negative" else 1
        evidence = [
            {"token": word.strip(".,!?").lower(), "weight": round(sign * chance.uniform(0.2, 2.5), 4)}
            for word in chance.sample(words, min(3, len(words)))
        ]
        score = min(0.999, max(0.001, chance.gauss(_SCORES[label], 0.05)))
        yield event(number, label, text, group=sample["group"], evidence=evidence, score=round(score, 6))
