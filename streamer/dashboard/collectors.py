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

from streamer.dashboard.queue import Queue, read_decision
from streamer.dashboard.reviews import item
from streamer.dashboard.state import DashboardState
from streamer.dashboard.workers import Worker, snapshot
from streamer.events import Record, TopicPartition
from streamer.kafka import KafkaFault, TopicReader
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


async def retry_forever(state: DashboardState, name: str, follow: Callable[[], Awaitable[None]]) -> None:
    """Do it again whenever Kafka fails it, and say so on the pages meanwhile."""
    while True:
        try:
            await follow()
        except (KafkaFault, TimeoutError) as error:
            why = str(error) or "Kafka does not answer"
            if name not in state.faults:
                log.warning("%s: %s", name, why)
            state.faults[name] = why
        await asyncio.sleep(_RETRY_SECONDS)


async def latest(state: DashboardState, kafka: KafkaSettings, topic: str, text_field: str) -> None:
    """Sample the results as they come: all of them when they are few, the newest when they are many."""
    async with TopicReader(kafka, topic, fetch_bytes=_SAMPLE_FETCH_BYTES, fetch_wait_ms=_FETCH_WAIT_MS) as reader:
        ends = await _ends(reader)
        share = -(-_BEGIN // len(ends))
        # After a break it goes on where it was.
        reader.seek(
            {
                partition: min(state.positions.get(partition, max(0, end - share)), end)
                for partition, end in ends.items()
            }
        )
        while True:
            turn = time.monotonic()
            ends = await _ends(reader)
            state.faults.pop("results", None)
            state.rate.observe(sum(ends.values()), turn)
            reader.seek(await _skipped(reader, ends))
            records = await reader.poll(_TURN_SECONDS, _SAMPLE)
            state.positions = await reader.positions()
            found = (item(record, text_field) for record in sorted(records, key=lambda record: record.timestamp))
            state.latest.add(made for made in found if made is not None)
            await asyncio.sleep(max(0.0, turn + _TURN_SECONDS - time.monotonic()))


async def _ends(reader: TopicReader) -> dict[TopicPartition, int]:
    """Where the topic ends; raises TimeoutError instead of waiting for a broker that is away."""
    async with asyncio.timeout(_ANSWER_SECONDS):
        return await reader.ends()


async def _skipped(reader: TopicReader, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """Where to go on: near the end in each partition that is too far behind to be read in whole."""
    async with asyncio.timeout(_ANSWER_SECONDS):
        positions = await reader.positions()
    if sum(ends[partition] - position for partition, position in positions.items()) <= _SAMPLE:
        return {}
    share = max(1, _SAMPLE // len(ends))
    return {partition: end - share for partition, end in ends.items() if end - positions[partition] > share}


async def trends(state: DashboardState, kafka: KafkaSettings, topic: str, history_minutes: int) -> None:
    """Merge the counts that workers publish: first those of the past, then as they come."""
    since = int((time.time() - history_minutes * 60) * 1000)
    async with TopicReader(kafka, topic, since_ms=since) as reader:
        await _catch_up(state, "trends", reader, lambda record: _merge(state, record))
        while True:
            state.detect_anomalies()
            await _take(await reader.poll(0.25), lambda record: _merge(state, record))


def _merge(state: DashboardState, record: Record) -> None:
    if record.value is not None:
        state.trends.merge(record.value, time.time())


async def queue(
    state: DashboardState, kafka: KafkaSettings, topics: tuple[str, str], room: int, text_field: str
) -> None:
    """Read the newest reviews of the review topic, then the verdicts on them, then both as they come."""
    review, decisions = topics
    known = state.queue
    assert known is not None, "this is a bug: there is no queue to follow"  # noqa: S101

    def add(record: Record) -> None:
        if (found := item(record, text_field)) is not None:
            known.add(found)

    async with TopicReader(kafka, review) as reviews:
        ends = await _ends(reviews)
        reviews.seek({partition: max(0, end - room) for partition, end in ends.items()})
        await _catch_up(state, "queue", reviews, add)
        oldest = known.oldest()
        since = int(time.time() * 1000) if oldest is None else oldest
        async with TopicReader(kafka, decisions, since_ms=since) as spoken, asyncio.TaskGroup() as group:
            group.create_task(_on_and_on(reviews, add))
            group.create_task(_on_and_on(spoken, lambda record: _decide(known, record)))


def _decide(known: Queue, record: Record) -> None:
    if (found := read_decision(record)) is not None:
        known.decide(*found)


async def _on_and_on(reader: TopicReader, take: Callable[[Record], None]) -> None:
    while True:
        await _take(await reader.poll(0.25), take)


async def _catch_up(state: DashboardState, name: str, reader: TopicReader, take: Callable[[Record], None]) -> None:
    """Read up to where the topic ended when this began, and tell how far it is."""
    ends = await _ends(reader)
    begin = await reader.positions()
    whole = sum(ends[p] - begin[p] for p in ends)
    while True:
        positions = await reader.positions()
        left = sum(max(0, end - positions[partition]) for partition, end in ends.items())
        state.faults.pop(name, None)
        if left <= 0:
            break
        state.replayed[name] = 1 - left / whole
        await _take(await reader.poll(0.25, 200), take)
    state.replayed.pop(name, None)


async def _take(records: list[Record], take: Callable[[Record], None]) -> None:
    """Take records in, and let the pages have their turn in between."""
    busy = time.monotonic()
    for record in records:
        take(record)
        if time.monotonic() - busy > _BUSY_SECONDS:
            await asyncio.sleep(0)
            busy = time.monotonic()


async def workers(state: DashboardState) -> None:
    """Ask all workers for their metrics, all at the same time, every two seconds."""
    while True:
        at = time.time()
        await asyncio.gather(*(_ask(worker, at) for worker in state.workers.workers))
        state.workers.version += 1
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
