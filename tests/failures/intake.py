"""What goes into a scenario, and what has come out of it in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.checkers import Position, Report, check
from tests.failures.feeding import Feeder
from tests.failures.ledger import Ledger
from tests.failures.waiting import eventually
from tests.failures.watching import Watcher
from tests.jobs import Job
from tests.reading import Item, end_offsets


class Intake:
    """Remembers all that is written to a job's input; `bad` are those of it that are to become dead letters."""

    def __init__(self, job: Job, watcher: Watcher) -> None:
        self.bad: set[Position] = set()
        self._job = job
        self._watcher = watcher
        self._ledger: Ledger | None = None
        self._produced: dict[Position, bytes | None] = {}  # Empty where there is a ledger.
        self._feeder: Feeder | None = None

    def keep_little(self) -> None:
        """From the start: hold what comes out against what goes in as it comes, for traffic of millions."""
        self._ledger = self._watcher.ledger = Ledger(self._job.input)

    def feed(self, rate: int) -> Feeder:
        """Reviews keep coming from now on."""
        self._feeder = Feeder(self._job, rate)
        return self._feeder

    def put(self, items: Iterable[Item], bad: bool = False) -> dict[Position, bytes | None]:
        """Write these records."""
        produced = self._job.put(items)
        self.expect(produced)
        if bad:
            self.bad |= produced.keys()
        return produced

    def expect(self, produced: dict[Position, bytes | None]) -> None:
        """These have been written, be it by somebody else."""
        if self._ledger is None:
            self._produced |= produced
            return
        for source, key in produced.items():
            self._ledger.put(source, key)

    def stop(self) -> None:
        """End the stream of reviews. Raises what it raises."""
        if self._feeder is not None:
            feeder, self._feeder = self._feeder, None
            self.expect(feeder.stop())

    def report(self, leave: Callable[[], None], patience_s: float) -> Report:
        """Once all is labelled, or patience is at an end, and the workers have left: what came of it."""
        self.stop()
        if self._ledger is not None:
            return self._report_of(self._ledger, leave, patience_s)
        good = {source: key for source, key in self._produced.items() if source not in self.bad}
        self._job.results(len(good), patience_s)
        leave()
        return check(good, self._job.results(timeout_s=patience_s))

    def _report_of(self, ledger: Ledger, leave: Callable[[], None], patience_s: float) -> Report:
        """By what the watcher has told it, once that has been at the very end."""
        eventually(lambda: self._watcher.seen >= ledger.produced, "all results", patience_s)
        leave()
        ends = end_offsets(self._job.bootstrap, self._job.output)
        eventually(lambda: self._watcher.ends == ends, "the end of the output", patience_s)
        return ledger.report()
