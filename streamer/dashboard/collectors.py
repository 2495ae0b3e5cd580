"""Follows the topics and the workers: each a task that goes on for as long as the dashboard runs.

A broker that is away is no reason to end: the pages say so, and the task tries again. What a topic has said is taken
in again without counting twice, so each task begins anew from the past whenever it has to.
"""

from __future__ import annotations

import asyncio
import logging
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping

from streamer.dashboard.queue import Queue, said
from streamer.dashboard.reviews import item
from streamer.dashboard.state import Hub
from streamer.dashboard.workers import Worker, snapshot
from streamer.events import Record, TopicPartition
from streamer.kafka import KafkaFault, Tail
from streamer.observe.metrics import parse
from streamer.settings import KafkaSettings

log = logging.getLogger(__name__)

# The labelled topic is looked at five times a second, for at most so many records: above 1,500 a second it is sampled.
_TURN_SECONDS = 0.2
_SAMPLE = 300
_SAMPLE_FETCH_BYTES = 64 * 1024
_FETCH_WAIT_MS = 100
_BEGIN = 60  # How many of the latest results to begin with.
_ANSWER_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_BUSY_SECONDS = 0.01  # The event loop serves pages too.
_SCRAPE_SECONDS = 2.0
_SCRAPE_BYTES = 4 << 20


async def insisting(hub: Hub, name: str, follow: Callable[[], Awaitable[None]]) -> None:
    """Do it again whenever Kafka fails it, and say so on the pages meanwhile."""
    while True:
        try:
            await follow()
        except (KafkaFault, TimeoutError) as error:
            why = str(error) or "Kafka does not answer"
            if name not in hub.faults:
                log.warning("%s: %s", name, why)
            hub.faults[name] = why
        await asyncio.sleep(_RETRY_SECONDS)


async def latest(hub: Hub, kafka: KafkaSettings, topic: str, text_field: str) -> None:
    """Sample the results as they come: all of them when they are few, the newest when they are many."""
    async with Tail(kafka, topic, fetch_bytes=_SAMPLE_FETCH_BYTES, fetch_wait_ms=_FETCH_WAIT_MS) as tail:
        ends = await _ends(tail)
        share = -(-_BEGIN // len(ends))
        # After a break it goes on where it was.
        tail.seek(
            {partition: min(hub.places.get(partition, max(0, end - share)), end) for partition, end in ends.items()}
        )
        while True:
            turn = time.monotonic()
            ends = await _ends(tail)
            hub.faults.pop("results", None)
            hub.rate.observe(sum(ends.values()), turn)
            tail.seek(await _skipped(tail, ends))
            records = await tail.poll(_TURN_SECONDS, _SAMPLE)
            hub.places = await tail.positions()
            found = (item(record, text_field) for record in sorted(records, key=lambda record: record.timestamp))
            hub.latest.add(made for made in found if made is not None)
            await asyncio.sleep(max(0.0, turn + _TURN_SECONDS - time.monotonic()))


async def _ends(tail: Tail) -> dict[TopicPartition, int]:
    """Where the topic ends; raises TimeoutError instead of waiting for a broker that is away."""
    async with asyncio.timeout(_ANSWER_SECONDS):
        return await tail.ends()


async def _skipped(tail: Tail, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """Where to go on: near the end in each partition that is too far behind to be read in whole."""
    async with asyncio.timeout(_ANSWER_SECONDS):
        positions = await tail.positions()
    if sum(ends[partition] - position for partition, position in positions.items()) <= _SAMPLE:
        return {}
    share = max(1, _SAMPLE // len(ends))
    return {partition: end - share for partition, end in ends.items() if end - positions[partition] > share}


async def trends(hub: Hub, kafka: KafkaSettings, topic: str, history_minutes: int) -> None:
    """Merge the counts that workers publish: first those of the past, then as they come."""
    since = int((time.time() - history_minutes * 60) * 1000)
    async with Tail(kafka, topic, since_ms=since) as tail:
        await _catch_up(hub, "trends", tail, lambda record: _merge(hub, record))
        while True:
            hub.judge()
            await _take(await tail.poll(0.25), lambda record: _merge(hub, record))


def _merge(hub: Hub, record: Record) -> None:
    if record.value is not None:
        hub.trends.merge(record.value, time.time())


async def queue(hub: Hub, kafka: KafkaSettings, topics: tuple[str, str], room: int, text_field: str) -> None:
    """Read the newest reviews of the review topic, then the verdicts on them, then both as they come."""
    review, verdicts = topics
    known = hub.queue
    assert known is not None, "this is a bug: there is no queue to follow"  # noqa: S101

    def add(record: Record) -> None:
        if (found := item(record, text_field)) is not None:
            known.add(found)

    async with Tail(kafka, review) as reviews:
        ends = await _ends(reviews)
        reviews.seek({partition: max(0, end - room) for partition, end in ends.items()})
        await _catch_up(hub, "queue", reviews, add)
        oldest = known.oldest()
        since = int(time.time() * 1000) if oldest is None else oldest
        async with Tail(kafka, verdicts, since_ms=since) as spoken, asyncio.TaskGroup() as group:
            group.create_task(_on_and_on(reviews, add))
            group.create_task(_on_and_on(spoken, lambda record: _say(known, record)))


def _say(known: Queue, record: Record) -> None:
    if (found := said(record)) is not None:
        known.say(*found)


async def _on_and_on(tail: Tail, take: Callable[[Record], None]) -> None:
    while True:
        await _take(await tail.poll(0.25), take)


async def _catch_up(hub: Hub, name: str, tail: Tail, take: Callable[[Record], None]) -> None:
    """Read up to where the topic ended when this began, and tell how far it is."""
    ends = await _ends(tail)
    begin = await tail.positions()
    whole = sum(ends[p] - begin[p] for p in ends)
    while True:
        positions = await tail.positions()
        left = sum(max(0, end - positions[partition]) for partition, end in ends.items())
        hub.faults.pop(name, None)
        if left <= 0:
            break
        hub.replayed[name] = 1 - left / whole
        await _take(await tail.poll(0.25, 200), take)
    hub.replayed.pop(name, None)


async def _take(records: list[Record], take: Callable[[Record], None]) -> None:
    """Take records in, and let the pages have their turn in between."""
    busy = time.monotonic()
    for record in records:
        take(record)
        if time.monotonic() - busy > _BUSY_SECONDS:
            await asyncio.sleep(0)
            busy = time.monotonic()


async def workers(hub: Hub) -> None:
    """Ask all workers for their metrics, all at the same time, every two seconds."""
    while True:
        at = time.time()
        await asyncio.gather(*(_ask(worker, at) for worker in hub.fleet.workers))
        hub.fleet.version += 1
        await asyncio.sleep(max(0.0, at + _SCRAPE_SECONDS - time.time()))


async def _ask(worker: Worker, at: float) -> None:
    try:
        samples = await asyncio.to_thread(lambda: parse(_page(f"{worker.url}/metrics")))
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        worker.failed(getattr(reason, "strerror", None) or str(reason))
    else:
        worker.observe(snapshot(at, samples))


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=_SCRAPE_SECONDS) as answer:  # noqa: S310  # The settings allow http only.
        page: bytes = answer.read(_SCRAPE_BYTES)
    return page.decode()
