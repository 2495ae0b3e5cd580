"""Load on a Kafka broker: reviews sent by a process of its own at times fixed in advance, and results as they arrive.

A review's key and id are `<run>/<number>/<due>`, due in nanoseconds of the machine's monotonic clock: whoever carries
either along tells when its result was due, whatever else it writes. Everything runs on one host, so there is one clock.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self, cast

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from benchmarks.schedule import Outcome, pace

_DISTINCT = 50_000
_LEAD_NS = 200_000_000  # From connected to the first review.
_FLUSH_SECONDS = 30.0
_QUEUED = 100_000
_HOPELESS_SECONDS = 4.0  # Of load, unanswered: the rest of the run would only make it worse.


def texts(count: int, seed: int = 1) -> list[str]:
    """Real shop reviews as they come, in an order of their own for each seed; again from the first after 50,000."""
    from tests.texts import reviews  # Takes pytest along, which the generator's process need not load.

    distinct = list(dict.fromkeys(reviews(_DISTINCT)))
    random.Random(seed).shuffle(distinct)
    return [distinct[i % len(distinct)] for i in range(count)]


def review(run: str, number: int, due_ns: int, text: str) -> tuple[bytes, bytes]:
    """Key and value of a record."""
    name = f"{run}/{number}/{due_ns}"
    return name.encode(), orjson.dumps({"id": name, "text": text})


def named(message: Message) -> tuple[str, int, int] | None:
    """Run, number and due time of a result, from its key or else its id; None for what is not ours."""
    key, value = message.key(), message.value()
    try:
        name = key.decode() if key else str(orjson.loads(value or b"")["id"])
        run, number, due = name.rsplit("/", 2)
        return run, int(number), int(due)
    except (ValueError, KeyError, TypeError):
        return None


def producer(bootstrap: str, **settings: str | int) -> Producer:
    """One that sends each record at once; `settings` are librdkafka's with underscores for dots."""
    given = {name.replace("_", "."): value for name, value in settings.items()}
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 0,
            "acks": "all",
            "queue.buffering.max.messages": 4 * _QUEUED,
            "queue.buffering.max.kbytes": 1 << 20,
            "log_level": 0,
        }
        | given
    )


def fill(bootstrap: str, topic: str, run: str, chosen: Iterable[str]) -> int:
    """Write a backlog; returns how many. Unlike `tests.reading.fill` it keeps no list of millions of positions."""
    filling = producer(bootstrap, linger_ms=20)
    refused: list[KafkaError] = []
    count = 0
    for number, text in enumerate(chosen):
        key, value = review(run, number, 0, text)
        filling.produce(topic, value, key, on_delivery=lambda error, _: refused.append(error) if error else None)
        while len(filling) > _QUEUED:
            filling.poll(0.05)
        count += 1
    if filling.flush(_FLUSH_SECONDS) or refused:
        raise KafkaException(refused[0] if refused else KafkaError(KafkaError._TIMED_OUT))
    return count


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: texts, and when each is due, in seconds from the start. `run` names it, without a slash."""

    bootstrap: str
    topic: str
    run: str
    texts: Sequence[str]
    due: Sequence[float]


def generate(load: Load, pipe: Connection) -> None:
    """The generator's process: tells the start (monotonic, ns) first and by how many ns each was late at the end.

    Where a record was not taken it tells that, as a string, instead of the latter.
    """
    sending = producer(load.bootstrap)
    sending.list_topics(load.topic, timeout=30)
    refused: list[KafkaError] = []
    start = time.monotonic_ns() + _LEAD_NS
    due = [start + round(seconds * 1e9) for seconds in load.due]
    pipe.send(start)

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            refused.append(error)

    def send(number: int) -> None:
        key, value = review(load.run, number, due[number], load.texts[number])
        sending.produce(load.topic, value, key, on_delivery=delivered)
        sending.poll(0)

    late = pace(due, send)
    left = sending.flush(_FLUSH_SECONDS)
    pipe.send(f"{left} records unsent, {refused[:1]} refused" if left or refused else late)


@contextmanager
def generating(load: Load) -> Iterator[Connection]:
    """The generator beside the block; what is left of it at the end is killed."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe(duplex=False)
    process = context.Process(target=generate, args=(load, its), daemon=True)
    process.start()
    its.close()  # So that reading ends, instead of waiting, should the process die.
    try:
        yield ours
    finally:
        process.kill()
        process.join()
        ours.close()


class Results:
    """All results of a topic, with the time of their arrival; reads every partition and joins no group."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        settings: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "group.id": f"benchmark-{topic}",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
        self._consumer = Consumer(settings)
        partitions = self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def read(self, timeout_s: float) -> list[tuple[str, int, int, int]]:
        """Run, number, due and arrival (monotonic, ns) of what is there, waiting for the first of them only."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(1000, timeout=0)]
        now = time.monotonic_ns()
        return [(*name, now) for message in messages if message.error() is None and (name := named(message))]


def offer(load: Load, results: Results, drain_s: float, alive: Callable[[], None] = lambda: None) -> Outcome:
    """Send a load and read its results, for at most `drain_s` after the last was due.

    Ends early where the service falls hopelessly behind. `alive` is called about once a second and may raise.
    """
    arrived: dict[int, int] = {}
    with generating(load) as pipe:
        start = cast(int, pipe.recv())
        rate = len(load.due) / load.due[-1]
        end = start + round((load.due[-1] + drain_s) * 1e9)
        look = start
        while len(arrived) < len(load.due) and (now := time.monotonic_ns()) < end:
            for run, number, _, at in results.read(0.05):
                if run == load.run:
                    arrived.setdefault(number, at)
            if now > look:
                look = now + 1_000_000_000
                alive()
                if bisect_right(load.due, (now - start) / 1e9) - len(arrived) > max(100, _HOPELESS_SECONDS * rate):
                    break
        late = pipe.recv() if len(arrived) == len(load.due) or pipe.poll() else []
    if isinstance(late, str):
        raise RuntimeError(f"the load generator: {late}")
    seconds: Mapping[int, float] = {number: (at - start) / 1e9 for number, at in arrived.items()}
    return Outcome(load.due, [ns / 1e9 for ns in late], seconds)


def backlog_rate(
    results: Results, run: str, count: int, timeout_s: float, alive: Callable[[], None] = lambda: None
) -> float:
    """Reviews a second with which a backlog of `count` is worked off, without its first fifth, which warms up.

    Raises TimeoutError where it takes longer than `timeout_s`, and what `alive` raises.
    """
    arrived: dict[int, int] = {}
    deadline = time.monotonic() + timeout_s
    while len(arrived) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(arrived)} of {count} results in {timeout_s:g} s")
        alive()
        for its, number, _, at in results.read(0.2):
            if its == run:
                arrived.setdefault(number, at)
    times = sorted(arrived.values())
    begin = count // 5
    return (count - begin) / ((times[-1] - times[begin]) / 1e9)


def one_by_one(
    bootstrap: str, topic: str, run: str, chosen: Sequence[str], results: Results, pause_s: float
) -> list[float]:
    """Seconds from sending a review to its result, on a service that has nothing else; the next comes after a pause.

    Raises TimeoutError where a result takes longer than 30 s.
    """
    sending = producer(bootstrap)
    sending.list_topics(topic, timeout=30)
    taken = []
    for number, text in enumerate(chosen):
        sent = time.monotonic_ns()
        key, value = review(run, number, sent, text)
        sending.produce(topic, value, key)
        sending.poll(0)
        came: list[int] = []
        while not came:
            if time.monotonic_ns() - sent > 30e9:
                raise TimeoutError(f"no result of a lone review after 30 s ({run}, number {number})")
            came = [at for its, which, _, at in results.read(0.5) if (its, which) == (run, number)]
        taken.append((came[0] - sent) / 1e9)
        time.sleep(pause_s)
    return taken
