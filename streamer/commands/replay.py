"""`streamer dlq replay`: dead letters back on the input topic, as they once were."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from rich.console import Console

from streamer.events import Message, Reason, Record, TopicPartition
from streamer.formats.dead_letters import original
from streamer.kafka import Publisher, TopicReader
from streamer.observe.progress_bar import progress_bar
from streamer.settings import Settings

GROUP_SUFFIX = ".dlq-replay"
_POLL_SECONDS = 0.5


async def replay(
    settings: Settings,
    *,
    reasons: Collection[Reason] = (),
    since_minutes: float | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    console: Console | None = None,
) -> Counter[str]:
    """Put dead letters back on the input topic; prints how many by reason, and returns it.

    1. Go on from where the last replay committed, in the group `<kafka.group_id>.dlq-replay`, to where the topic ends
       now: what fails again is not replayed again.
    2. Choose those of the reasons (of all, without any) that died in the last so many minutes, up to `limit`.
    3. Publish them and wait until all are acknowledged.
    4. Commit past what was read. What was not chosen counts as seen: a later replay does not come back to it.

    A dry run only counts. A replay that is cut off between 3 and 4 publishes twice rather than never. Run one at a
    time. Raises BrokerUnreachable, TopicMissing, PublishRefused and KafkaFault.
    """
    since_ms = 0 if since_minutes is None else int((time.time() - since_minutes * 60) * 1000)
    replay_filter = ReplayFilter(settings.input.topic, frozenset(reasons), since_ms)
    kafka = settings.kafka
    async with contextlib.AsyncExitStack() as stack:
        group = kafka.group_id + GROUP_SUFFIX
        reader = await stack.enter_async_context(TopicReader(kafka, settings.dead_letter_topic, group_id=group))
        publisher = None
        if not dry_run:
            publisher = Publisher(kafka, settings.output.compression)
            await publisher.start(settings.input.topic)
            stack.push_async_callback(publisher.stop)
        advance = stack.enter_context(progress_bar(f"dead letters {'to replay' if dry_run else 'replayed'}", limit))
        replayed, passed_over = await _replay(reader, publisher, replay_filter, limit, advance)
    _print(console or Console(), replayed, passed_over)
    return replayed


@dataclass(frozen=True, slots=True)
class ReplayFilter:
    """Which dead letters to take. Pure."""

    topic: str
    reasons: frozenset[Reason]
    since_ms: int

    def takes(self, record: Record) -> bool:
        """Whether it is a dead letter of our input topic, of these reasons (or any), and not too old."""
        headers = dict(record.headers)
        reason = _text(headers.get("dlq.reason"))
        return (
            reason != ""
            and (not self.reasons or reason in self.reasons)
            and _text(headers.get("dlq.topic")) == self.topic
            and record.timestamp >= self.since_ms
        )

    def message(self, record: Record) -> Message:
        """The record as it once was on the input topic; its time, too, may mean something.

        It goes to the partition where it was, whatever partitioner put it there: in order among those of its key.
        """
        headers = dict(record.headers)
        partition = _number(headers.get("dlq.partition"), record.partition)
        timestamp = _number(headers.get("dlq.timestamp"), record.timestamp)
        headers_then, time_then = original(record.headers), max(timestamp, 0)
        return Message(self.topic, record.key, record.value, headers_then, time_then, partition, partition)


async def _replay(
    reader: TopicReader,
    publisher: Publisher | None,
    replay_filter: ReplayFilter,
    limit: int | None,
    advance: Callable[[int], None],
) -> tuple[Counter[str], int]:
    """How many were replayed, by reason, and how many were read but not chosen."""
    replayed: Counter[str] = Counter()
    passed_over = 0
    ends = await reader.ends()
    while replayed.total() != limit and any(at < ends[p] for p, at in (await reader.positions()).items()):
        chosen: list[Record] = []
        positions: dict[TopicPartition, int] = {}
        for record in await reader.poll(_POLL_SECONDS):
            if replayed.total() + len(chosen) == limit:
                break
            if record.offset >= ends[record.source]:
                continue
            positions[record.source] = record.offset + 1
            if replay_filter.takes(record):
                chosen.append(record)
            else:
                passed_over += 1
        if publisher is not None and positions:
            await (await publisher.send([replay_filter.message(record) for record in chosen]))
            await reader.commit(positions)
        replayed.update(_text(dict(record.headers)["dlq.reason"]) for record in chosen)
        advance(len(chosen))
    return replayed, passed_over


def _print(console: Console, replayed: Counter[str], passed_over: int) -> None:
    for reason, count in replayed.most_common():
        console.out(f"{count:8} {reason}", highlight=False)
    if passed_over:
        console.out(f"{passed_over:8} passed over", highlight=False)


def _text(content: bytes | None) -> str:
    return (content or b"").decode(errors="replace")


def _number(content: bytes | None, otherwise: int) -> int:
    try:
        return int(content or b"")
    except ValueError:
        return otherwise
