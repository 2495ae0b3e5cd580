"""`streamer dlq replay`: publishes dead letters to the input topic again, unchanged."""

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
from streamer.printable import printable
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
    """Publish dead letters to the input topic again; prints and returns their numbers by reason.

    1. Read from the offsets that the last replay committed, in the group `<kafka.group_id>.dlq-replay`, to the current
       end of the topic: dead letters of replayed records are not replayed in the same run.
    2. Select those with one of `reasons` (any, if there are none) from the last `since_minutes`, up to `limit`.
    3. Publish them and wait until all are acknowledged.
    4. Commit past all records that were read, selected or not: a later replay does not read them again.

    A dry run only counts. A replay that is killed between 3 and 4 publishes records twice rather than losing them. Run
    one at a time. Raises BrokerUnreachable, TopicMissing, PublishRefused and KafkaFault.
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
        replayed, skipped = await _replay(reader, publisher, replay_filter, limit, advance)
    _print(console or Console(), replayed, skipped)
    return replayed


@dataclass(frozen=True, slots=True)
class ReplayFilter:
    """Selects dead letters and restores their records. Pure."""

    topic: str
    reasons: frozenset[Reason]
    since_ms: int

    def matches(self, record: Record) -> bool:
        """Whether it is a dead letter of our input topic, with one of the given reasons, if any, and recent enough."""
        headers = dict(record.headers)
        reason = _text(headers.get("dlq.reason"))
        return (
            reason != ""
            and (not self.reasons or reason in self.reasons)
            and _text(headers.get("dlq.topic")) == self.topic
            and record.timestamp >= self.since_ms
        )

    def message(self, record: Record) -> Message:
        """The record as it was on the input topic, with its timestamp, which may matter.

        It returns to its old partition, whichever partitioner chose that, so it stays in order with others of its key.
        """
        headers = dict(record.headers)
        partition = _number(headers.get("dlq.partition"), record.partition)
        timestamp = max(0, _number(headers.get("dlq.timestamp"), record.timestamp))
        key, value = record.key, record.value
        return Message(
            topic=self.topic,
            key=key,
            value=value,
            headers=original(record.headers),
            timestamp=timestamp,
            source_partition=partition,
            partition=partition,
        )


async def _replay(
    reader: TopicReader,
    publisher: Publisher | None,
    replay_filter: ReplayFilter,
    limit: int | None,
    advance: Callable[[int], None],
) -> tuple[Counter[str], int]:
    """The numbers of replayed dead letters, by reason, and of those that were read but not selected."""
    replayed: Counter[str] = Counter()
    skipped = 0
    ends = await reader.ends()
    while replayed.total() != limit and any(at < ends[p] for p, at in (await reader.positions()).items()):
        selected: list[Record] = []
        positions: dict[TopicPartition, int] = {}
        for record in await reader.poll(_POLL_SECONDS):
            if replayed.total() + len(selected) == limit:
                break
            if record.offset >= ends[record.source]:
                continue
            positions[record.source] = record.offset + 1
            if replay_filter.matches(record):
                selected.append(record)
            else:
                skipped += 1
        if publisher is not None and positions:
            await (await publisher.send([replay_filter.message(record) for record in selected]))
            await reader.commit(positions)
        replayed.update(_text(dict(record.headers)["dlq.reason"]) for record in selected)
        advance(len(selected))
    return replayed, skipped


def _print(console: Console, replayed: Counter[str], skipped: int) -> None:
    for reason, count in replayed.most_common():
        console.out(f"{count:8} {printable(reason, 80)}", highlight=False)
    if skipped:
        console.out(f"{skipped:8} skipped", highlight=False)


def _text(content: bytes | None) -> str:
    return (content or b"").decode(errors="replace")


def _number(content: bytes | None, default: int) -> int:
    try:
        return int(content or b"")
    except ValueError:
        return default
