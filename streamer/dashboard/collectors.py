"""Collect the dashboard's data from the topics and the workers. Each collector is a task that never ends.

If a broker is unreachable, the pages show it and the collector tries again. Reading a topic again counts nothing twice,
so a collector can start over at any time.
"""

from __future__ import annotations

import asyncio
import logging
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from streamer.dashboard.queue import Queue, read_decision
from streamer.dashboard.reviews import ReviewView
from streamer.dashboard.state import DashboardState
from streamer.dashboard.workers import Worker, snapshot
from streamer.events import Record, TopicPartition
from streamer.kafka import KafkaFault, TopicReader
from streamer.observe.metrics import parse
from streamer.settings import KafkaSettings

ReadReview = Callable[[Record], ReviewView | None]

log = logging.getLogger(__name__)

# The output topic is read five times a second, at most 300 records each time: above 1,500 a second it is sampled.
_SAMPLE_SECONDS = 0.2
_SAMPLE_RECORDS = 300
_SAMPLE_FETCH_BYTES = 64 * 1024
_FETCH_WAIT_MS = 100
_FIRST_RESULTS = 60  # The number of latest results to start with.
_POLL_SECONDS = 0.25
_REPLAY_RECORDS = 200  # At a time, while old records are read.
_ANSWER_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_BUSY_SECONDS = 0.01  # The event loop also serves pages.
_SCRAPE_SECONDS = 2.0
_SCRAPE_BYTES = 4 << 20

Handle = Callable[[Record], None]


async def retry_forever(state: DashboardState, name: str, collect: Callable[[], Awaitable[None]]) -> None:
    """Run a collector again whenever Kafka fails, and show the failure on the pages meanwhile."""
    while True:
        try:
            await collect()
        except (KafkaFault, TimeoutError) as error:
            why = str(error) or "Kafka does not answer"
            if name not in state.faults:
                log.warning("%s: %s", name, why)
            state.faults[name] = why
        await asyncio.sleep(_RETRY_SECONDS)


async def latest(state: DashboardState, kafka: KafkaSettings, topic: str, read: ReadReview) -> None:
    """Sample the results as they arrive: all of them at low rates, the newest at high rates."""
    async with TopicReader(kafka, topic, fetch_bytes=_SAMPLE_FETCH_BYTES, fetch_wait_ms=_FETCH_WAIT_MS) as reader:
        ends = await _ends(reader)
        share = -(-_FIRST_RESULTS // len(ends))
        # After a failure, continue from the last position.
        starts = {partition: state.positions.get(partition, max(0, end - share)) for partition, end in ends.items()}
        reader.seek({partition: min(start, ends[partition]) for partition, start in starts.items()})
        while True:
            began = time.monotonic()
            ends = await _ends(reader)
            state.faults.pop("results", None)
            state.rate.observe(sum(ends.values()), began)
            reader.seek(await _skips(reader, ends))
            records = await reader.poll(_SAMPLE_SECONDS, _SAMPLE_RECORDS)
            state.positions = await reader.positions()
            state.add_latest(_reviews(sorted(records, key=lambda record: record.timestamp), read))
            await asyncio.sleep(max(0.0, began + _SAMPLE_SECONDS - time.monotonic()))


def _reviews(records: Sequence[Record], read: ReadReview) -> Iterator[ReviewView]:
    for record in records:
        if (review := read(record)) is not None:
            yield review


async def _ends(reader: TopicReader) -> dict[TopicPartition, int]:
    """The topic's end offsets. Raises TimeoutError instead of waiting for an unreachable broker."""
    async with asyncio.timeout(_ANSWER_SECONDS):
        return await reader.ends()


async def _skips(reader: TopicReader, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """For each partition that is too far behind to be read in full, an offset near its end to continue from."""
    async with asyncio.timeout(_ANSWER_SECONDS):
        positions = await reader.positions()
    if sum(ends[partition] - position for partition, position in positions.items()) <= _SAMPLE_RECORDS:
        return {}
    share = max(1, _SAMPLE_RECORDS // len(ends))
    return {partition: end - share for partition, end in ends.items() if end - positions[partition] > share}


async def trends(state: DashboardState, kafka: KafkaSettings, topic: str, history_minutes: int) -> None:
    """Merge the counts that workers publish: first the old ones, then new ones as they arrive."""
    since = int((time.time() - history_minutes * 60) * 1000)
    async with TopicReader(kafka, topic, since_ms=since) as reader:
        await _replay(state, "trends", reader, lambda record: _merge(state, record))
        while True:
            state.detect_anomalies()
            await _handle_all(await reader.poll(_POLL_SECONDS), lambda record: _merge(state, record))


def _merge(state: DashboardState, record: Record) -> None:
    if record.value is not None:
        state.trends.merge(record.value, time.time())


async def queue(
    state: DashboardState, kafka: KafkaSettings, topics: tuple[str, str], room: int, read: ReadReview
) -> None:
    """Read the newest reviews of the review topic, then the decisions on them, then both as they arrive."""
    review_topic, decision_topic = topics
    known = state.queue
    assert known is not None, "this is a bug: there is no queue to fill"  # noqa: S101

    def add(record: Record) -> None:
        if (review := read(record)) is not None:
            known.add(review)
            state.learn((review,))

    async with TopicReader(kafka, review_topic) as reviews:
        ends = await _ends(reviews)
        reviews.seek({partition: max(0, end - room) for partition, end in ends.items()})
        await _replay(state, "queue", reviews, add)
        oldest = known.oldest()
        since = int(time.time() * 1000) if oldest is None else oldest
        async with TopicReader(kafka, decision_topic, since_ms=since) as decisions, asyncio.TaskGroup() as group:
            group.create_task(_follow(reviews, add))
            group.create_task(_follow(decisions, lambda record: _decide(known, record)))


def _decide(known: Queue, record: Record) -> None:
    if (found := read_decision(record)) is not None:
        known.decide(*found)


async def _follow(reader: TopicReader, handle: Handle) -> None:
    """Handle records as they arrive."""
    while True:
        await _handle_all(await reader.poll(_POLL_SECONDS), handle)


async def _replay(state: DashboardState, name: str, reader: TopicReader, handle: Handle) -> None:
    """Read up to the topic's end at the time of the call, and report the progress."""
    ends = await _ends(reader)
    begin = await reader.positions()
    whole = sum(ends[partition] - begin[partition] for partition in ends)
    while True:
        positions = await reader.positions()
        left = sum(max(0, end - positions[partition]) for partition, end in ends.items())
        state.faults.pop(name, None)
        if left <= 0:
            break
        state.replayed[name] = 1 - left / whole
        await _handle_all(await reader.poll(_POLL_SECONDS, _REPLAY_RECORDS), handle)
    state.replayed.pop(name, None)


async def _handle_all(records: Sequence[Record], handle: Handle) -> None:
    """Handle records. Yields to the event loop in between, so that pages are served."""
    began = time.monotonic()
    for record in records:
        handle(record)
        if time.monotonic() - began > _BUSY_SECONDS:
            await asyncio.sleep(0)
            began = time.monotonic()


async def workers(state: DashboardState) -> None:
    """Read the metrics of all workers at the same time, every two seconds."""
    while True:
        at = time.time()
        await asyncio.gather(*(_scrape(worker, at) for worker in state.workers.workers))
        state.workers.version += 1
        await asyncio.sleep(max(0.0, at + _SCRAPE_SECONDS - time.time()))


async def _scrape(worker: Worker, at: float) -> None:
    try:
        samples = await asyncio.to_thread(lambda: parse(_download(f"{worker.url}/metrics")))
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        worker.failed(getattr(reason, "strerror", None) or str(reason))
    else:
        worker.observe(snapshot(at, samples))


def _download(url: str) -> str:
    with urllib.request.urlopen(url, timeout=_SCRAPE_SECONDS) as answer:  # noqa: S310  # The settings allow http only.
        page: bytes = answer.read(_SCRAPE_BYTES)
    return page.decode()
