"""`streamer dashboard --demo`: an embedded broker, a worker with trends and moderation, and the dashboard.

The samples are published repeatedly: first twenty minutes of past event time within seconds, then one by one in real
time. From time to time a bad release causes an alert, reviews of new authors are held for moderation, and a few
records are invalid and become dead letters.
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
from streamer.demo.samples import samples
from streamer.events import Message
from streamer.kafka import Publisher
from streamer.labels import UNCERTAIN, watched
from streamer.models.artefact import BUNDLED, known_labels
from streamer.observe.metrics import Metrics
from streamer.pipeline.pipeline import Pipeline
from streamer.service.build import load_model
from streamer.service.worker import work
from streamer.settings import Settings, load

# One input partition, so that past reviews are published in order and none of them is late.
_TOPICS = {
    "reviews": 1,
    "reviews.dlq": 1,
    "reviews.labelled": 4,
    "reviews.labelled.trends": 1,
    "reviews.labelled.review": 1,
    "reviews.labelled.verdicts": 1,
}
_WORST = watched(known_labels(BUNDLED))
_RULES = [
    {"name": "abuse", "action": "block", "pattern": "(?i)骗|rude|awful|worst|退货", "field": "new_author"},
    {"name": "new-author", "action": "review", "label": [_WORST, UNCERTAIN], "field": "new_author"},
]
_PAST_SECONDS = 1200
_RATE = 15.0  # Reviews a second, on average.
_INCIDENT_GROUP = "app-stridelog"
_INCIDENT_INTERVAL, _INCIDENT_SECONDS = 840, 150
_INCIDENT_SHARE = 0.45  # The share of the group's least favourable reviews during an incident.
_MAX_AHEAD = 2000  # Rows published but not yet labelled: the embedded broker keeps at most 5 MB a partition.
_NEW_AUTHOR_SHARE = 0.006
_BROKEN_SHARE = 0.002
_BROKEN = [b'{"id": 7', b'{"id": "a review without its text"}', b"\xff\xfe", b'"a string"']
_STEP_SECONDS = 0.25
_CHUNK = 200


async def demonstrate(on_ready: Callable[[str], None], port: int | None = None) -> None:
    """Run until Ctrl-C; `on_ready` is called with the address. port: of the dashboard; by default the settings'.

    Raises BrokerError, ModelError, AddressInUse, and what `service.worker.work` raises.
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
            producing = group.create_task(_produce(settings, metrics))
            on_ready(address)
            await asyncio.wait((service,))
            producing.cancel()


def _settings(bootstrap: str, port: int | None) -> Settings:
    with socket.create_server(("127.0.0.1", 0)) as free:
        worker_port = free.getsockname()[1]
    dashboard = load().dashboard.model_dump() | {"workers": (f"http://127.0.0.1:{worker_port}",)}
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
            "http": {"port": worker_port},
            "dashboard": dashboard if port is None else dashboard | {"port": port},
        }
    )


async def _produce(settings: Settings, metrics: Metrics) -> None:
    """Publish past reviews as fast as they are labelled, then continue in real time."""
    publisher = Publisher(settings.kafka, "none")
    await publisher.start(settings.input.topic)
    produced, pending = 0, list[bytes]()
    try:
        # A fixed seed: the demo chooses the same reviews each time.
        for at, values in _stream(random.Random(7), time.time() - _PAST_SECONDS):  # noqa: S311
            pending += values
            if at < time.time() - 1 and len(pending) < _CHUNK:
                continue
            while produced - _done(metrics) > _MAX_AHEAD:  # noqa: ASYNC110  # Metrics have no event to wait for.
                await asyncio.sleep(0.01)
            await asyncio.sleep(max(0.0, at - time.time()))
            now = time.time_ns() // 1_000_000
            await (await publisher.send([Message(settings.input.topic, None, v, (), now, 0) for v in pending]))
            produced += len(pending)
            pending = []
    finally:
        await publisher.stop()


def _done(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("streamer_latency_seconds_count") or 0.0


def _stream(rng: random.Random, start: float) -> Iterator[tuple[float, list[bytes]]]:
    """An endless stream: the time of each step from `start` on, and the values that are written in it."""
    all_samples = samples()
    bad = [sample for sample in all_samples if sample["group"] == _INCIDENT_GROUP and sample["expected"] == _WORST]
    at, due, number = start, 0.0, 0
    while True:
        # The rate rises and falls slowly, with some noise.
        due += _STEP_SECONDS * _RATE * (1 + 0.35 * math.sin(at / 240) + 0.15 * math.sin(at / 37))
        values = []
        while due >= 1:
            due -= 1
            number += 1
            incident = _is_incident(at - start) and rng.random() < _INCIDENT_SHARE
            values.append(_value(rng.choice(bad if incident else all_samples), number, at, rng))
        yield at, values
        at += _STEP_SECONDS


def _is_incident(elapsed: float) -> bool:
    """Whether there is an incident `elapsed` seconds after the start; the first one ends after one interval."""
    in_window = (elapsed + _INCIDENT_SECONDS) % _INCIDENT_INTERVAL < _INCIDENT_SECONDS
    return in_window and elapsed > _INCIDENT_INTERVAL / 2


def _value(sample: dict[str, Any], number: int, at: float, rng: random.Random) -> bytes:
    if rng.random() < _BROKEN_SHARE:
        return rng.choice(_BROKEN)
    review = {"id": f"c{number:06d}", "text": sample["text"], "group": sample["group"], "event_time": int(at * 1000)}
    return orjson.dumps(review | ({"new_author": True} if rng.random() < _NEW_AUTHOR_SHARE else {}))
