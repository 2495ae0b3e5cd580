"""The pipeline with hand-written ends: what it admits, publishes and commits when things happen in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest

from streamer.events import CommitOutcome, Message, Prediction, Record, TopicPartition
from streamer.formats.decode import Decoder
from streamer.formats.encode import Encoder
from streamer.labels import UNNAMED_COLUMNS
from streamer.observe.metrics import Metrics
from streamer.pipeline.batching import CostTable
from streamer.pipeline.inference import Predictor, ServingModel
from streamer.pipeline.limits import Limits
from streamer.pipeline.pipeline import Pipeline
from streamer.pipeline.reading import TooManyDeadLetters
from streamer.ports import Predict, Tracer
from streamer.text import PAD, UNKNOWN, Encoded, Vocabulary

FIRST, SECOND = TopicPartition("reviews", 0), TopicPartition("reviews", 1)
VOCABULARY = Vocabulary([PAD, UNKNOWN, "good", "bad"])


class Source:
    """Hands out what the test puts in; ends when told to."""

    def __init__(self) -> None:
        self._ready: deque[dict[TopicPartition, list[Record]]] = deque()
        self._next: dict[TopicPartition, int] = {}
        self.ended = False
        self.paused = False
        self.pauses = 0
        self.sought: dict[TopicPartition, int] = {}

    def put(self, partition: TopicPartition, *values: bytes | None, first: int | None = None) -> None:
        at = self._next.get(partition, 0) if first is None else first
        records = [Record(*partition, at + i, 1_700_000_000_000, b"k", value) for i, value in enumerate(values)]
        self._next[partition] = at + len(values)
        self._ready.append({partition: records})

    async def poll(self, wait: float) -> Mapping[TopicPartition, Sequence[Record]] | None:
        await asyncio.sleep(0)
        if self._ready and not self.paused:
            return self._ready.popleft()
        if self.ended:
            return None
        await asyncio.sleep(min(wait, 0.002))
        return {}

    def pause(self) -> int:
        self.pauses += not self.paused
        self.paused = True
        return 1

    def resume(self) -> None:
        self.paused = False

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        self.sought.update(positions)

    def positions(self) -> Mapping[TopicPartition, int]:
        return {}

    def watermarks(self) -> Mapping[TopicPartition, int]:
        return dict(self._next)


class Delivery:
    """Keeps what was sent; acknowledges at once, or when the test says so: `open` for all, `held` for a partition."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.commits: list[dict[TopicPartition, int]] = []
        self.outcome = CommitOutcome.DONE
        self.held: dict[TopicPartition, asyncio.Event] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.fault: Exception | None = None
        self.stored: dict[TopicPartition, int] = {}
        self.next_offsets: dict[TopicPartition, int] = {}
        self.revocations: list[tuple[list[TopicPartition], int]] = []  # Partitions, and how many commits before.

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {partition: at for partition, at in self.stored.items() if partition in partitions}

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self.revocations.append((sorted(partitions), len(self.commits)))

    async def send(self, partition: TopicPartition, next_offset: int, messages: Sequence[Message]) -> Awaitable[None]:
        self.sent.extend(messages)
        self.next_offsets[partition] = next_offset
        return self._acknowledged(partition)

    async def _acknowledged(self, partition: TopicPartition) -> None:
        await self.open.wait()
        if partition in self.held:
            await self.held[partition].wait()
        if self.fault is not None:
            raise self.fault

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        self.commits.append(dict(positions))
        return self.outcome

    def offsets(self, partition: int = 0) -> list[int]:
        """Source offsets of what was sent, in the order of sending."""
        identities = [dict(message.headers)["ce_id"] or b"" for message in self.sent]
        parts = [identity.decode().split("/") for identity in identities]
        return [int(offset) for _, number, offset in parts if int(number) == partition]


def predict(reviews: Sequence[Encoded]) -> list[Prediction]:
    return [Prediction("positive", 0.9, 0.9, len(review), review.truncated) for review in reviews]


class Bench:
    """A pipeline, its ends, and its metrics."""

    def __init__(self, limits: Limits, predict: Predict = predict, tracer: Tracer | None = None) -> None:
        self._predict_all = predict
        self.source, self.delivery, self.metrics = Source(), Delivery(), Metrics()
        self.predicted: list[int] = []
        costs = CostTable((1, 100), (1, 64), ((1e-6, 1e-5), (1e-5, 1e-4)))
        self.pipeline = Pipeline(
            self.source,
            self.delivery,
            model=ServingModel(
                Predictor(VOCABULARY, 16, self._predict_batch, costs, UNNAMED_COLUMNS),
                Encoder(
                    topic="labelled", dead_letter_topic="dead", group_id="group", model_name="model", model_version="1"
                ),
            ),
            decoder=Decoder(),
            limits=limits,
            observer=self.metrics,
            tracer=tracer,
        )

    def _predict_batch(self, reviews: Sequence[Encoded]) -> list[Prediction]:
        self.predicted.append(len(reviews))
        return self._predict_all(reviews)

    async def until(self, sent: int) -> None:
        async with asyncio.timeout(5):
            while len(self.delivery.sent) < sent:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def running(
    limits: Limits | None = None, predict: Predict = predict, tracer: Tracer | None = None
) -> AsyncIterator[Bench]:
    """A pipeline at work with both partitions, told to stop at the end of the block."""
    bench = Bench(limits or Limits(cache_entries=0, dead_letter_ratio=1.0), predict, tracer)
    await bench.pipeline.on_assigned([FIRST, SECOND])
    task = asyncio.create_task(bench.pipeline.run())
    try:
        yield bench
        bench.pipeline.stop()
        async with asyncio.timeout(10):
            await task
    finally:
        task.cancel()


def review(text: str) -> bytes:
    return orjson.dumps({"text": text})


async def test_results_leave_in_the_order_of_their_records() -> None:
    """Long and short reviews, tombstones and invalid ones in between: the order is the input's, the commit the end."""
    values = [review("good " * (1 + i * 7 % 13)) if i % 5 else None for i in range(300)]
    async with running() as bench:
        bench.source.put(FIRST, *values)
        await bench.until(300)
    assert bench.delivery.offsets() == list(range(300))
    assert bench.delivery.commits[-1] == {FIRST: 300}


async def test_dead_letters_keep_their_place_in_the_commit() -> None:
    """An invalid record goes to its topic, and the offset moves past it once that is acknowledged."""
    async with running() as bench:
        bench.source.put(FIRST, review("good"), b"nonsense", review("bad"))
        await bench.until(3)
    assert [message.topic for message in bench.delivery.sent] == ["labelled", "dead", "labelled"]
    assert bench.delivery.commits[-1] == {FIRST: 3}


async def test_nothing_is_committed_before_it_is_acknowledged() -> None:
    """A commit leaves out a record that was sent and whose acknowledgement the broker holds back."""
    limits = Limits(cache_entries=0, commit_interval=60.0)
    async with running(limits) as bench:
        bench.delivery.held[FIRST] = asyncio.Event()
        bench.source.put(SECOND, review("bad"))
        await bench.until(1)
        bench.source.put(FIRST, review("good"))
        await bench.until(2)
        await bench.pipeline.on_revoked([SECOND])  # Commits.
        assert bench.delivery.commits == [{SECOND: 1}]
        bench.delivery.held[FIRST].set()
    assert bench.delivery.commits == [{SECOND: 1}, {FIRST: 1}]


async def test_a_revoked_partition_is_finished_and_committed_first() -> None:
    """Revoking waits for what is in flight, commits it, and admits nothing more of that partition."""
    async with running() as bench:
        bench.source.put(FIRST, *[review("good")] * 10)
        bench.source.put(SECOND, *[review("bad")] * 10)
        await bench.until(20)
        await bench.pipeline.on_revoked([FIRST])
        assert bench.delivery.commits[-1][FIRST] == 10
        bench.source.put(FIRST, review("good"))
        bench.source.put(SECOND, review("bad"))
        await bench.until(21)
    assert bench.delivery.offsets(0) == list(range(10))
    assert bench.delivery.offsets(1) == list(range(11))


async def test_a_partition_that_comes_back_is_read_again_from_its_commit() -> None:
    """Unacknowledged when it was taken away, the records come again in a new generation, and are published."""
    limits = Limits(cache_entries=0, revoke_timeout=0.01)
    async with running(limits) as bench:
        bench.delivery.open.clear()
        bench.source.put(FIRST, review("good"), review("bad"))
        await bench.until(2)
        await bench.pipeline.on_revoked([FIRST])
        await bench.pipeline.on_assigned([FIRST])
        bench.delivery.open.set()
        bench.source.put(FIRST, review("good"), review("bad"), review("good"), first=0)
        await bench.until(5)
    assert bench.delivery.offsets() == [0, 1, 0, 1, 2]
    assert bench.delivery.commits == [{FIRST: 3}]


async def test_too_much_in_flight_pauses_the_source() -> None:
    """Above the cap the source is paused, and goes on when there is room; nothing is lost by it."""
    limits = Limits(cache_entries=0, max_tokens_in_flight=20)
    async with running(limits) as bench:
        bench.delivery.open.clear()
        for _ in range(10):
            bench.source.put(FIRST, *[review("good good")] * 5)
        async with asyncio.timeout(5):
            while not bench.source.paused:
                await asyncio.sleep(0)
        assert len(bench.delivery.sent) <= 15
        bench.delivery.open.set()
        await bench.until(50)
    assert bench.delivery.offsets() == list(range(50))


async def test_a_skipped_commit_is_counted_and_not_fatal() -> None:
    """The group has moved on: the worker goes on, and the position is tried again."""
    async with running(Limits(cache_entries=0, commit_interval=0.005)) as bench:
        bench.delivery.outcome = CommitOutcome.SKIPPED
        bench.source.put(FIRST, review("good"))
        await bench.until(1)
        async with asyncio.timeout(5):
            while len(bench.delivery.commits) < 3:
                await asyncio.sleep(0.001)
        bench.delivery.outcome = CommitOutcome.DONE
    skipped = bench.metrics.registry.get_sample_value("streamer_commits_total", {"outcome": "skipped"})
    assert skipped is not None and skipped >= 2
    assert bench.delivery.commits[-1] == {FIRST: 1}


async def test_too_many_dead_letters_stop_after_what_is_done_is_committed() -> None:
    """The record that passes the limit is not admitted; all before it are published and committed."""
    limits = Limits(cache_entries=0, dead_letter_ratio=0.5, dead_letter_window=10)
    bench = Bench(limits)
    await bench.pipeline.on_assigned([FIRST])
    bench.source.put(FIRST, *[review("good")] * 10, *[b"nonsense"] * 20)
    with pytest.raises(TooManyDeadLetters, match="more than 50% of the last 10 records of reviews were invalid"):
        async with asyncio.timeout(10):
            await bench.pipeline.run()
    assert len(bench.delivery.sent) == 15
    assert bench.delivery.commits[-1] == {FIRST: 15}


async def test_a_refused_message_ends_the_run_uncommitted() -> None:
    """The delivery's fault is the run's, and the offset stays where it was."""
    bench = Bench(Limits(cache_entries=0))
    await bench.pipeline.on_assigned([FIRST])
    bench.delivery.fault = ConnectionError("refused for good")
    bench.source.put(FIRST, review("good"))
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(10):
            await bench.pipeline.run()
    assert caught.group_contains(ConnectionError, match="refused for good")
    assert bench.delivery.commits == []


async def test_a_text_that_comes_again_is_not_judged_again() -> None:
    """With the cache on, the second of two equal texts is labelled from the first, in its place."""
    async with running(Limits(cache_entries=8)) as bench:
        bench.source.put(FIRST, review("good good"))
        await bench.until(1)
        bench.source.put(FIRST, review("good good"), review("bad"))
        await bench.until(3)
    assert sum(bench.predicted) == 2
    assert bench.delivery.offsets() == [0, 1, 2]
    hits = bench.metrics.registry.get_sample_value("streamer_cache_lookups_total", {"result": "hit"})
    assert hits == 1


async def test_a_source_that_ends_ends_the_run() -> None:
    """All that it had is published before the run returns."""
    bench = Bench(Limits(cache_entries=0))
    await bench.pipeline.on_assigned([FIRST])
    bench.source.put(FIRST, *[review("good")] * 700)
    bench.source.ended = True
    async with asyncio.timeout(10):
        await bench.pipeline.run()
    assert bench.delivery.offsets() == list(range(700))


async def test_ready_once_assigned_and_not_when_stopping() -> None:
    """Not ready before the first assignment; ready with it; not ready once told to stop."""
    bench = Bench(Limits())
    assert bench.pipeline.not_ready_reason(60.0) == "no assignment yet"
    await bench.pipeline.on_assigned([])
    assert bench.pipeline.not_ready_reason(60.0) is None
    bench.pipeline.stop()
    assert bench.pipeline.not_ready_reason(60.0) == "stopping"


async def test_a_text_that_the_model_fails_on_goes_to_the_dead_letters_in_its_place() -> None:
    """The rest of its batch is labelled, and all of it is committed."""

    def fail_on_bad(reviews: Sequence[Encoded]) -> list[Prediction]:
        if any("bad" in review.tokens for review in reviews):
            raise RuntimeError("a text that is not to be quoted")
        return predict(reviews)

    async with running(predict=fail_on_bad) as bench:
        bench.source.put(FIRST, *(review(text) for text in ("good", "good", "bad", "good")))
        await bench.until(sent=4)
    assert [message.topic for message in bench.delivery.sent] == ["labelled", "labelled", "dead", "labelled"]
    headers = dict(bench.delivery.sent[2].headers)
    assert headers["dlq.reason"] == b"model_failed"
    assert headers["dlq.detail"] == b"the model raised RuntimeError"
    assert bench.delivery.commits[-1] == {FIRST: 4}


async def test_a_partition_is_read_on_from_where_the_delivery_says() -> None:
    """Exactly-once delivery knows better than the consumer, which looked before the former owner was fenced."""
    bench = Bench(Limits(cache_entries=0))
    bench.delivery.stored = {SECOND: 41}
    await bench.pipeline.on_assigned([FIRST, SECOND])
    assert bench.source.sought == {SECOND: 41}


async def test_a_release_says_which_offset_comes_after_it() -> None:
    """Also past a gap: what goes into the transaction with the results."""
    async with running() as bench:
        bench.source.put(FIRST, review("good"), review("bad"), first=3)
        bench.source.put(FIRST, review("good"), first=9)
        await bench.until(sent=3)
    assert bench.delivery.next_offsets == {FIRST: 10}


async def test_partitions_are_given_back_after_their_last_commit() -> None:
    """What was sent and not committed may be taken back then."""
    async with running(Limits(cache_entries=0, commit_interval=60.0)) as bench:
        bench.source.put(FIRST, review("good"))
        await bench.until(sent=1)
        await bench.pipeline.on_revoked([FIRST])
        assert bench.delivery.commits == [{FIRST: 1}]
        assert bench.delivery.revocations == [([FIRST], 1)]


async def test_many_results_are_committed_before_the_interval_is_over() -> None:
    """A transaction stays small."""
    async with running(Limits(cache_entries=0, commit_interval=60.0, commit_records=10)) as bench:
        bench.source.put(FIRST, *(review("good") for _ in range(30)))
        async with asyncio.timeout(5):
            while not bench.delivery.commits:
                await asyncio.sleep(0.001)
