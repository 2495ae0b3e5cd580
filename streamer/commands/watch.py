"""`streamer watch`: shows results on the terminal as they are published."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from streamer.events import Record
from streamer.formats.result import read_result
from streamer.kafka import TopicReader
from streamer.labels import joined, watched
from streamer.models.artefact import known_labels
from streamer.observe.terminal import label_colours, until_signal
from streamer.printable import spaced
from streamer.settings import Settings

_POLL_SECONDS = 0.25
_WINDOW_SECONDS = 60
_RATE_SECONDS = 10


async def watch(
    settings: Settings, *, since_minutes: float | None = None, limit: int | None = None, console: Console | None = None
) -> int:
    """Follow the output topic until SIGINT or SIGTERM, or until `limit` results were shown; returns their number.

    Starts with the results of the last `since_minutes`, or by default with the next one. Shows a table on a terminal,
    otherwise a line for each result. Raises BrokerUnreachable and TopicMissing.
    """
    console = console or Console()
    since_ms = None if since_minutes is None else max(0, int((time.time() - since_minutes * 60) * 1000))
    shown = 0
    async with TopicReader(settings.kafka, settings.output.topic, since_ms=since_ms) as reader:
        labels = known_labels(settings.model.path)
        with until_signal() as stopping, _screen(console, labels) as show:
            while not stopping.is_set() and shown != limit:
                records = await reader.poll(_POLL_SECONDS)
                # Sorted by time: a poll returns one partition after the other.
                lines = (result_line(record) for record in sorted(records, key=_at))
                results = [line for line in lines if line is not None]
                results = results if limit is None else results[: limit - shown]
                shown += len(results)
                show(results)
    return shown


@dataclass(frozen=True, slots=True)
class ResultLine:
    """The part of an output event that is shown. `at`: when it was labelled, in seconds since the epoch."""

    label: str
    score: float
    group: str
    about: str
    at: float


def result_line(record: Record) -> ResultLine | None:
    """Read an output event; None for a tombstone or any other value. Control characters become spaces."""
    event = read_result(record.value)
    if event is None:
        return None
    about = " ".join(token for token, _ in event.evidence) or event.id or record.identity
    return ResultLine(spaced(event.label), event.score, spaced(event.group or ""), spaced(about), _at(record))


def _at(record: Record) -> float:
    return record.timestamp / 1000


class RecentLabels:
    """Counts the labels of the last minute, by second. Pure: all times are in seconds since the epoch."""

    def __init__(self) -> None:
        self._seconds: dict[int, Counter[str]] = {}

    def add(self, label: str, at: float, now: float) -> None:
        """Count a result that was labelled at `at`. A time in the future, by another host's clock, counts as now."""
        second = int(min(at, now))
        if second > now - _WINDOW_SECONDS:
            self._seconds.setdefault(second, Counter())[label] += 1

    def counts(self, now: float) -> Counter[str]:
        """The number of results for each label in the last minute."""
        self._seconds = {second: labels for second, labels in self._seconds.items() if second > now - _WINDOW_SECONDS}
        return sum(self._seconds.values(), Counter())

    def share(self, label: str, now: float) -> float:
        """The share of results with a label in the last minute; 0 if there are no results."""
        counts = self.counts(now)
        return counts[label] / max(1, counts.total())

    def rate(self, now: float) -> float:
        """Results a second, over the last ten whole seconds."""
        latest = range(int(now) - _RATE_SECONDS, int(now))
        return sum(labels.total() for second, labels in self._seconds.items() if second in latest) / _RATE_SECONDS


@contextlib.contextmanager
def _screen(console: Console, labels: Sequence[str]) -> Iterator[Callable[[Sequence[ResultLine]], None]]:
    """A function that shows new results; without any, it only updates the ages. labels: `LabelSet.columns`."""
    colours = label_colours(labels)
    if not console.is_terminal:

        def lines(results: Sequence[ResultLine]) -> None:
            if results:
                console.print(Text("\n").join(_line(result, colours) for result in results), soft_wrap=True)

        yield lines
        return
    board = _Board(max(1, console.height - 4), labels)
    with Live(console=console, auto_refresh=False) as live:

        def table(results: Sequence[ResultLine]) -> None:
            live.update(board.render(results, time.time()), refresh=True)

        yield table


def _line(result: ResultLine, colours: Mapping[str, str]) -> Text:
    label = (f"{result.label:<9}", colours.get(result.label, ""))
    return Text.assemble(label, f" {result.score:.3f} ", f"{result.group} " if result.group else "", result.about)


class _Board:
    """The latest results above the counts of the last minute."""

    def __init__(self, rows: int, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self._colours = label_colours(labels)
        self._latest: deque[ResultLine] = deque(maxlen=rows)
        self._recent = RecentLabels()

    def render(self, results: Sequence[ResultLine], now: float) -> Group:
        """Add these results and draw the board."""
        self._latest.extend(results)
        for result in results:
            self._recent.add(result.label, result.at, now)
        columns = [Column(name, no_wrap=True, overflow="ellipsis") for name in ("label", "score", "age", "group")]
        table = Table(
            *columns, Column("evidence or id", no_wrap=True, overflow="ellipsis", ratio=1), box=None, expand=True
        )
        for result in self._latest:
            label = Text(result.label, self._colours.get(result.label, ""))
            table.add_row(label, f"{result.score:.3f}", _age(now - result.at), Text(result.group), Text(result.about))
        return Group(table, self._summary(now))

    def _summary(self, now: float) -> Text:
        counts = self._recent.counts(now)
        labels = joined(self._labels, tuple(counts))
        shown = [(f"{counts[label]} {label}  ", self._colours.get(label, "")) for label in labels]
        last = watched(labels)
        share = f"{self._recent.share(last, now):.0%} {last} in the last minute  "
        return Text.assemble("\n", *shown, share, f"{self._recent.rate(now):.1f} reviews/s")


def _age(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.1f} s"
