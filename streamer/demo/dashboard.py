"""`make demo-dashboard`: an embedded broker, a worker with trends and moderation, and the dashboard on top.

The samples come over and over: first half an hour of the past in some seconds, by their event times, then as they would
come. Every now and then a release goes wrong, for the alert; new authors are looked at by people; a few records are
broken, for the dead letters.
"""

from __future__ import annotations

import asyncio
import math
import random
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from streamer.dashboard.serving import running
from streamer.demo.embedded_broker import EmbeddedBroker
from streamer.demo.reviews import SAMPLES
from streamer.events import Message
from streamer.kafka import Publisher
from streamer.observe.metrics import Metrics
from streamer.pipeline.pipeline import Pipeline
from streamer.service import load_model, work
from streamer.settings import Settings, load

# One partition for what comes in: the past is told in order, so nothing of it is late.
_TOPICS = {
    "reviews": 1,
    "reviews.dlq": 1,
    "reviews.labelled": 4,
    "reviews.labelled.trends": 1,
    "reviews.labelled.review": 1,
    "reviews.labelled.verdicts": 1,
}
_RULES = [
    {"name": "abuse", "action": "block", "pattern": "(?i)骗|rude|awful|worst|退货", "field": "new_author"},
    {"name": "new-author", "action": "review", "label": ["negative", "uncertain"], "field": "new_author"},
]
_PAST_SECONDS = 1200
_RATE = 15.0  # Reviews a second, on average.
_INCIDENT = "app-stridelog"
_INCIDENT_EVERY, _INCIDENT_LASTS = 840, 150  # Seconds.
_AHEAD = 2000  # Rows published and not yet labelled: the embedded broker keeps no more than 5 MB a partition.
_NEW_AUTHORS = 0.006
_BROKEN = 0.002
_TURN_SECONDS = 0.25
_CHUNK = 200


async def demonstrate(on_ready: Callable[[str], None], port: int | None = None) -> None:
    """Show it all until Ctrl-C; `told` is given the address. `port`: of the dashboard, unset that of the settings.

    Raises BrokerError, ModelError, AddressInUse, and what `run` raises.
    """
    with EmbeddedBroker(_TOPICS) as broker:
        settings = _settings(broker.bootstrap, port)
        model, metrics = load_model(settings), Metrics()
        metrics.model(model.manifest.name, model.manifest.version)
        started: asyncio.Future[Pipeline] = asyncio.get_running_loop().create_future()
        async with running(settings) as address, asyncio.TaskGroup() as group:
            service = group.create_task(work(settings, model, metrics, started.set_result))
            await asyncio.wait((service, started), return_when=asyncio.FIRST_COMPLETED)
            if service.done():
                return
            feeding = group.create_task(_feed(settings, metrics))
            on_ready(address)
            await asyncio.wait((service,))
            feeding.cancel()


def _settings(bootstrap: str, port: int | None) -> Settings:
    given = load()
    with socket.create_server(("127.0.0.1", 0)) as free:
        pages = free.getsockname()[1]
    shown = given.dashboard.model_dump() | {"workers": (f"http://127.0.0.1:{pages}",)}
    return load(
        {
            "kafka": {"bootstrap_servers": bootstrap, "group_id": "demo"},
            "pipeline": {"commit_interval_ms": 500},
            "input": {"topic": "reviews"},
            "output": {"topic": "reviews.labelled", "include_input": True},
            "dead_letters": {"topic": "reviews.dlq", "max_ratio": 1.0},
            "trends": {"enabled": True, "topic": "reviews.labelled.trends"},
            "moderation": {
                "rules": _RULES,
                "review_topic": "reviews.labelled.review",
                "verdict_topic": "reviews.labelled.verdicts",
                "verdict_text": True,
            },
            "model": {"cache_entries": 0},
            "http": {"port": pages},
            "dashboard": shown if port is None else shown | {"port": port},
        }
    )


async def _feed(settings: Settings, metrics: Metrics) -> None:
    """Publish the past as fast as it is labelled, then go on with the present."""
    publisher = Publisher(settings.kafka, "none")
    await publisher.start(settings.input.topic)
    fed, waiting = 0, list[bytes]()
    try:
        # Which reviews come is a show, the same each time.
        for second, values in _stream(random.Random(7), time.time() - _PAST_SECONDS):  # noqa: S311
            waiting += values
            if second < time.time() - 1 and len(waiting) < _CHUNK:
                continue
            while fed - _done(metrics) > _AHEAD:  # noqa: ASYNC110  # Metrics tell nobody when they change.
                await asyncio.sleep(0.01)
            await asyncio.sleep(max(0.0, second - time.time()))
            now = time.time_ns() // 1_000_000
            await (await publisher.send([Message(settings.input.topic, None, v, (), now, 0) for v in waiting]))
            fed += len(waiting)
            waiting = []
    finally:
        await publisher.stop()


def _done(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("streamer_latency_seconds_count") or 0.0


def _stream(chance: random.Random, begin: float) -> Iterator[tuple[float, list[bytes]]]:
    """What is written in each turn from a time on, without an end."""
    samples = [orjson.loads(line) for line in SAMPLES.read_bytes().splitlines()]
    bad = [sample for sample in samples if sample["group"] == _INCIDENT and sample["expected"] == "negative"]
    at, due, number = begin, 0.0, 0
    while True:
        # A slow swell, and noise.
        due += _TURN_SECONDS * _RATE * (1 + 0.35 * math.sin(at / 240) + 0.15 * math.sin(at / 37))
        broken = (at - begin + _INCIDENT_LASTS) % _INCIDENT_EVERY < _INCIDENT_LASTS and at - begin > _INCIDENT_EVERY / 2
        values = []
        while due >= 1:
            due -= 1
            number += 1
            chosen = chance.choice(bad) if broken and chance.random() < 0.45 else chance.choice(samples)
            values.append(_value(chosen, number, at, chance))
        yield at, values
        at += _TURN_SECONDS


def _value(sample: dict[str, Any], number: int, at: float, chance: random.Random) -> bytes:
    if chance.random() < _BROKEN:
        return chance.choice([b'{"id": 7', b'{"id": "a review without its text"}', b"\xff\xfe", b'"a string"'])
    made = {"id": f"c{number:06d}", "text": sample["text"], "group": sample["group"], "event_time": int(at * 1000)}
    return orjson.dumps(made | ({"new_author": True} if chance.random() < _NEW_AUTHORS else {}))
