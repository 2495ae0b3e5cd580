"""One scenario: workers on a job, reviews that keep coming, a fault, and the standing checkers at the end."""

from __future__ import annotations

import signal
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.checkers import Ownership, Position, Report, committed_past_incomplete, owned_twice
from tests.failures import modes
from tests.failures.feeding import Feeder
from tests.failures.intake import Intake
from tests.failures.outcomes import Recorder
from tests.failures.ownership import owned, ownerships
from tests.failures.waiting import eventually
from tests.failures.watching import Watcher
from tests.jobs import Job
from tests.reading import Item, committed, end_offsets
from tests.workers import Worker, running

_SETTINGS = {
    "STREAMER_BATCHING__MAX_REVIEWS": "64",  # Small cost tables: workers start in half the time.
    "STREAMER_KAFKA__SESSION_TIMEOUT_MS": "10000",
    "STREAMER_KAFKA__HEARTBEAT_INTERVAL_MS": "300",  # A rebalance waits for every member's next one.
}
# What a dead worker had sent may still be read from the socket by the broker. That is a thousand times what it takes.
_SETTLE_SECONDS = 2.0
_ONE_POLL = 1000  # kafka.max_poll_records


def in_flight(worker: Worker) -> int:
    """As many reviews as it may have read and not published, at the most."""
    return int(worker.metric("streamer_tokens_in_flight")) + _ONE_POLL


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: when it was, and where the input stood just after."""

    at: float
    ends: dict[int, int]


class Scenario:
    """Runs inside its `with` block; `finish` at the end holds what came out against what went in."""

    def __init__(self, job: Job, mode: str, folder: Path, recorder: Recorder) -> None:
        self.job = job
        self.mode = mode
        self.recovery_s: float | None = None
        self.notes: list[str] = []
        self.repeatable = 0  # Results that may come twice: published, and not committed when a worker crashed.
        self.patience_s = 180.0  # For all to be labelled, and to be read back.
        self.workers: list[Worker] = []
        self.watcher = Watcher(job)
        self._folder = folder
        self._recorder = recorder
        self._resources = ExitStack()
        self._intake = Intake(job, self.watcher)
        self._ended: set[Worker] = set()  # By kill, or by themselves as they should.
        self._gone: dict[int, list[float]] = {}  # When a worker was killed or paused, by its number.
        self._settled: dict[int, int] | None = None  # What was committed at the first crash: never repeated.
        job.settings |= _SETTINGS | modes.settings(mode)

    def __enter__(self) -> Scenario:
        self._resources.enter_context(self.watcher)
        return self

    def __exit__(self, *_: object) -> None:
        with self._resources:  # Even if the feeder fails.
            self._intake.stop()

    # What goes in

    def keep_little(self) -> None:
        """See Intake, here and below."""
        self._intake.keep_little()

    def feed(self, rate: int) -> Feeder:
        return self._intake.feed(rate)

    def put(self, items: Iterable[Item], bad: bool = False) -> dict[Position, bytes | None]:
        return self._intake.put(items, bad)

    def expect(self, produced: dict[Position, bytes | None]) -> None:
        self._intake.expect(produced)

    # Workers

    def start(self, count: int = 1, hook: Mapping[str, str] | None = None, /, **settings: str) -> list[Worker]:
        """Start so many workers at once; returns them when each has partitions.

        `settings` are STREAMER_ variables without the prefix, `hook` what `hooked` returns.
        """
        own = {f"STREAMER_{name}": value for name, value in settings.items()} | dict(hook or {})
        new = [self._launch(own) for _ in range(count)]
        for worker in new:
            worker.wait_ready()
        self.wait_owned(*new)
        return new

    def launch(self, **settings: str) -> Worker:
        """Start a worker, and wait for nothing."""
        return self._launch({f"STREAMER_{name}": value for name, value in settings.items()})

    def _launch(self, settings: dict[str, str]) -> Worker:
        log = self._folder / f"worker-{len(self.workers)}"
        worker = self._resources.enter_context(running(self.job.environment | settings, log))
        self.workers.append(worker)
        return worker

    def wait_owned(self, *workers: Worker) -> None:
        """Until all of these workers have partitions, and all partitions have an owner among all workers."""

        def all_owned() -> bool:
            parts = [owned(worker.log) for worker in workers]
            return all(parts) and sum(map(len, parts)) <= self.job.partitions

        eventually(all_owned, "each worker has partitions", 120)

    def wait_sole(self, worker: Worker) -> None:
        """Until this worker has all partitions."""
        eventually(lambda: len(owned(worker.log)) == self.job.partitions, "one worker has all partitions", 120)

    def crash(self, worker: Worker) -> None:
        """kill -9, and note what may therefore come twice."""
        worker.process.kill()
        worker.wait()
        self._ended.add(worker)
        self.gone(worker)
        time.sleep(_SETTLE_SECONDS)
        self.note_repeatable(owned(worker.log))

    def wait_ended(self, worker: Worker, code: int, timeout_s: float = 90.0) -> None:
        """Until it has ended by itself, with this code."""
        assert worker.wait(timeout_s) == code, worker.log[-3000:]
        self._ended.add(worker)
        self.gone(worker)
        time.sleep(_SETTLE_SECONDS)

    def gone(self, worker: Worker) -> None:
        """From now on this worker counts as no owner of what it has."""
        self._gone.setdefault(self.workers.index(worker), []).append(time.time())

    def leave(self, *workers: Worker) -> None:
        """SIGTERM, to all at once; each ends drained."""
        for worker in workers:
            worker.process.send_signal(signal.SIGTERM)
        for worker in workers:
            assert worker.wait(60) == 0, worker.log

    # Looking on

    def note_repeatable(self, partitions: Collection[int] | None = None, zombies: int = 0) -> None:
        """What is published in these partitions (all), and not committed, may be repeated from now on.

        `zombies` is how many reviews a worker has in flight that lives on beside its successor: those as well, even
        though they may be committed by now. Nothing is ever committed past what is published; this is checked here,
        in the middle of it all.
        """
        offsets = committed(self.job.bootstrap, self.job.group, self.job.input)
        done = {record.source for record in self.job.results() if record.source is not None} | self._intake.bad
        below = (Position(self.job.input, part, at) for part, end in offsets.items() for at in range(end))
        assert committed_past_incomplete(self.job.input, offsets, offsets, below, done) == []
        self.repeatable += zombies + sum(
            source.offset >= offsets.get(source.partition, 0)
            for source in done
            if partitions is None or source.partition in partitions
        )
        if not zombies:
            self._settled = self._settled or offsets

    def uncommitted(self) -> int:
        """How many of the records that are there the group has not committed."""
        offsets = committed(self.job.bootstrap, self.job.group, self.job.input)
        ends = end_offsets(self.job.bootstrap, self.job.input)
        return sum(end - offsets.get(partition, 0) for partition, end in ends.items())

    def transactional_id(self, partition: int) -> str:
        """What the owner of this partition writes under, as docs/operations.md says."""
        return f"streamer/{self.job.group}/{self.job.input}/{partition}"

    def members(self) -> int:
        """How many members the group has."""
        admin = AdminClient({"bootstrap.servers": self.job.bootstrap, "log_level": 0})
        group = admin.describe_consumer_groups([self.job.group])[self.job.group].result(10)
        return len(group.members)

    def mark(self) -> Mark:
        """Now, and where the input stands."""
        at = time.monotonic()
        ends: dict[int, int] = {}

        def found() -> bool:
            try:
                ends.update(end_offsets(self.job.bootstrap, self.job.input))
            except KafkaException:  # Leaders are still being elected.
                return False
            return True

        eventually(found, "the input's end offsets")
        return Mark(at, ends)

    def wait_recovered(self, mark: Mark, timeout_s: float = 120.0) -> None:
        """Until every partition has a result of a review that came after the mark; notes how long that took."""
        eventually(lambda: self.watcher.passed(mark.ends), f"results past {mark.ends}", timeout_s, 0.02)
        self.recovery_s = max(self.recovery_s or 0.0, time.monotonic() - mark.at)

    def wait_seen(self, results: int, timeout_s: float = 120.0) -> None:
        """Until so many results have come in all."""
        eventually(lambda: self.watcher.seen >= results, f"{results} results", timeout_s, 0.02)

    # The end

    def finish(self, *, to_the_end: bool = True) -> Report:
        """End it in peace, and hold what came out against what went in.

        1. The stream of reviews ends; all of them are labelled.
        2. The workers still running drain, and end with 0.
        3. Nothing is lost, reordered or owned twice; what came twice was allowed to. All is committed, up to the very
           end of the input unless `to_the_end` is off.
        """
        report = self._intake.report(self._leave_all, self.patience_s)
        try:
            self._hold(report, to_the_end)
        except AssertionError:
            self.notes.append("**failed**")
            raise
        finally:
            self._record(report)
        return report

    def _hold(self, report: Report, to_the_end: bool) -> None:
        """Raises AssertionError."""
        report.assert_clean(allow_duplicates=True)
        repeated, allowed = _repeated(report), self._allowed
        assert repeated <= allowed, (
            f"{repeated} repeated, {allowed} may be: {dict(list(report.duplicated.items())[:5])}"
        )
        settled = self._settled or {}
        assert not [s for s in report.duplicated if s.offset < settled.get(s.partition, 0)], (
            "repeated what was committed"
        )
        for worker in self.workers:
            code = worker.process.poll()
            assert not code or worker in self._ended, f"ended by itself with {code}:\n{worker.log[-3000:]}"
        if to_the_end:
            self.job.assert_offsets_at_the_end()
        assert not (twice := owned_twice(self._ownerships())), twice[:3]

    @property
    def _allowed(self) -> int:
        return self.repeatable if self.mode == modes.AT_LEAST_ONCE else 0

    def _record(self, report: Report) -> None:
        self._recorder.record(
            self.mode,
            report.produced + len(self._intake.bad),
            len(report.lost),
            _repeated(report),
            self._allowed,
            len(report.reordered),
            self.recovery_s,
            "; ".join(self.notes),
        )

    def _leave_all(self) -> None:
        self.leave(*(worker for worker in self.workers if worker.process.poll() is None))

    def _ownerships(self) -> list[Ownership]:
        return [
            interval
            for number, worker in enumerate(self.workers)
            for interval in ownerships(f"worker-{number}", worker.log, self._gone.get(number, ()))
        ]


def _repeated(report: Report) -> int:
    return sum(times - 1 for times in report.duplicated.values())
