"""`streamer demo`: the service on an embedded broker: reviews in, labels out, a summary at the end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from streamer.demo.embedded_broker import EmbeddedBroker
from streamer.demo.samples import SAMPLES
from streamer.events import Message, Record
from streamer.files.errors import FileError
from streamer.files.options import TableOptions
from streamer.files.read_ahead import in_thread
from streamer.files.tables import TableReader
from streamer.formats.result import Result, read_result
from streamer.kafka import Publisher, TopicReader
from streamer.labels import UNCERTAIN, LabelSet
from streamer.models.torchscript import Model
from streamer.observe.metrics import Metrics
from streamer.observe.quantile import histogram_quantile
from streamer.observe.terminal import label_colours
from streamer.pipeline.pipeline import Pipeline
from streamer.printable import spaced
from streamer.service.build import load_model
from streamer.service.worker import work
from streamer.settings import Settings, load

_TOPICS = {"reviews": 4, "reviews.labelled": 4, "reviews.dlq": 1, "reviews.held": 4}
_CHUNK = 200
# Rows published but not yet labelled: the embedded broker keeps at most 5 MB a partition.
_MAX_AHEAD = 2000
_SHOWN_CHARACTERS = 120  # Of a review: more than fits on a line.


async def demo(path: str | None, *, options: TableOptions, text_column: str, rows: int, keep: bool) -> None:
    """Label a file's reviews through Kafka; by default the bundled samples.

    rows: how many results to show. keep: keep running until Ctrl-C, and label reviews that others produce.
    Raises FileError, also if there are rows but none could be labelled, BrokerError, ModelError, and what
    `service.worker.work` raises.
    """
    console = Console()
    table = TableReader(path or str(SAMPLES), options if path else None, required=(text_column,))
    with table, contextlib.ExitStack() as closing:
        values = table.values()
        # A wrong file is reported before the model is loaded.
        first = await in_thread(lambda: next(values, None), table.stopped)
        values = itertools.chain([] if first is None else [first], values)
        broker = closing.enter_context(EmbeddedBroker(_TOPICS))
        closing.callback(table.stopped.set)
        settings = _settings(broker.bootstrap, text_column)
        console.print(f"An embedded Kafka broker runs on {broker.bootstrap}.")
        model, metrics = load_model(settings), Metrics()
        manifest = model.manifest
        console.print(f"The model is {manifest.name} {manifest.version}, in {model.precision} on {model.device}.")
        screen = _Screen(console, rows, model.labels)
        await _label(settings, model, metrics, values, screen, keep=keep)
        console.print(_summary(metrics, screen, with_agreement=path is None))
        if not screen.labels and (screen.produced or table.bad_rows.counts):
            raise FileError("no row could be labelled", table.path)


def _settings(bootstrap: str, text_column: str) -> Settings:
    return load(
        {
            "kafka": {"bootstrap_servers": bootstrap, "group_id": "demo"},
            "pipeline": {"commit_interval_ms": 200},
            "input": {"text_field": text_column, "topic": "reviews"},
            "output": {"include_input": True, "topic": "reviews.labelled"},
            "dead_letters": {"max_ratio": 1.0, "topic": "reviews.dlq"},
            "moderation": {"review_topic": "reviews.held"},
            "http": {"enabled": False},
        }
    )


async def _label(
    settings: Settings, model: Model, metrics: Metrics, values: Iterator[bytes], screen: _Screen, *, keep: bool
) -> None:
    """Run the service as `streamer run` does, fill its input topic, show its output topic.

    Ends when the last row is labelled and shown, or at a signal, on which the service drains.
    """
    started: asyncio.Future[Pipeline] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        service = group.create_task(work(settings, model, metrics, started.set_result))
        pipeline = await started
        show = group.create_task(_show(settings, metrics, values, screen, keep=keep))
        await asyncio.wait((service, show), return_when=asyncio.FIRST_COMPLETED)
        pipeline.stop()
        await asyncio.wait((service,))
        show.cancel()


async def _show(settings: Settings, metrics: Metrics, values: Iterator[bytes], screen: _Screen, *, keep: bool) -> None:
    async with TopicReader(settings.kafka, settings.output.topic, start="beginning") as reader:
        producing = asyncio.create_task(_produce(settings, metrics, values, screen))
        try:
            while (
                not producing.done()
                or _done(metrics) < screen.produced
                or await reader.positions() != await reader.ends()
            ):
                screen.show(await reader.poll(0.05))
            await producing
            screen.seconds = time.perf_counter() - screen.started
            if keep:
                screen.rows = 1 << 62
                screen.console.print(_hint(settings))
            while keep:
                screen.show(await reader.poll(0.5))
        finally:
            producing.cancel()
            await asyncio.wait((producing,))


async def _produce(settings: Settings, metrics: Metrics, values: Iterator[bytes], screen: _Screen) -> None:
    """Publish the rows to the input topic, with a limit on how far ahead of the service."""
    publisher = Publisher(settings.kafka, "none")
    await publisher.start(settings.input.topic)
    screen.started = time.perf_counter()
    try:
        while chunk := await asyncio.to_thread(lambda: list(itertools.islice(values, _CHUNK))):
            while screen.produced - _done(metrics) > _MAX_AHEAD:  # noqa: ASYNC110  # Metrics have no event to wait for.
                await asyncio.sleep(0.01)
            now = time.time_ns() // 1_000_000
            messages = [Message("reviews", None, value, (), now, screen.produced + i) for i, value in enumerate(chunk)]
            await (await publisher.send(messages))
            screen.produced += len(chunk)
    finally:
        await publisher.stop()


@dataclass
class _Screen:
    """Shows and counts results. Texts are escaped, and control characters are removed."""

    console: Console
    rows: int
    label_set: LabelSet
    produced: int = 0
    started: float = 0.0
    seconds: float = 0.0
    labels: Counter[str] = field(default_factory=Counter)
    agreed: Counter[bool] = field(default_factory=Counter)

    @property
    def colours(self) -> dict[str, str]:
        return label_colours(self.label_set.columns)

    def show(self, records: list[Record]) -> None:
        """Count all results, and show the first `rows` of them."""
        for record in records:
            if (result := read_result(record.value)) is None:
                continue
            row = result.input if isinstance(result.input, dict) else {}
            if not self.labels:
                self.console.print()
            self.labels[result.label] += 1
            if row.get("expected") in self.label_set.classes and result.label != UNCERTAIN:
                self.agreed[result.label == row["expected"]] += 1
            if self.labels.total() <= self.rows:
                text = str(row.get("text") or next(iter(row.values()), ""))
                self.console.print(_line(result, text, self.colours[result.label]))


def _line(result: Result, text: str, colour: str) -> Table:
    """One result: label, score, the beginning of the text, and the tokens with the largest weights."""
    tokens = [
        f"[{'green' if weight > 0 else 'red'}]{escape(spaced(token))}[/] {weight:+.1f}"
        for token, weight in result.evidence[:3]
    ]
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=9, no_wrap=True)
    table.add_column(width=5, no_wrap=True)
    for share in (3, 2):
        table.add_column(ratio=share, no_wrap=True, overflow="ellipsis")
    label = f"[{colour}]{result.label}[/]"
    table.add_row(label, f"{result.score:.3f}", Text(spaced(text[:_SHOWN_CHARACTERS])), "  ".join(tokens))
    return table


def _hint(settings: Settings) -> str:
    return (
        "\nThe service keeps running until Ctrl-C. From another terminal:\n"
        f"  STREAMER_KAFKA__BOOTSTRAP_SERVERS={settings.kafka.bootstrap_servers} streamer produce FILE\n"
    )


def _summary(metrics: Metrics, screen: _Screen, *, with_agreement: bool) -> Group:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    labelled = screen.labels.total()
    if labelled > screen.rows:
        table.add_row("not shown", f"{labelled - screen.rows} more")
    colours = screen.colours
    shares = ", ".join(f"{count} [{colours[label]}]{label}[/]" for label, count in screen.labels.most_common())
    table.add_row("labelled", f"{labelled}: {shares}" if shares else "0")
    if dead := int(_value(metrics, "streamer_records_total", outcome="dead_letter")):
        table.add_row("dead letters", f"{dead}, in topic reviews.dlq")
    counted = metrics.outcomes()
    if skipped := counted.get("skipped"):
        table.add_row("skipped", f"{skipped}, no text")
    if replaced := [f"{count} with {what}" for what, count in counted.items() if " " in what]:
        table.add_row("stand-ins", ", ".join(replaced))
    if screen.seconds:
        rate = screen.produced / screen.seconds
        table.add_row("throughput", f"{rate:,.0f} reviews/s, from the first produced to the last shown")
    if labelled:
        median, p95 = (1000 * _latency(metrics, share) for share in (0.5, 0.95))
        table.add_row("latency", f"{median:.0f} ms median, {p95:.0f} ms at 95 %, from read to acknowledged")
        tokens, padded = _value(metrics, "streamer_tokens_total"), _value(metrics, "streamer_padded_tokens_total")
        if padded:
            table.add_row("padding efficiency", f"{tokens / padded:.1%} of the tokens computed were real")
    if with_agreement and (certain := screen.agreed.total()):
        table.add_row("agreement", f"{screen.agreed[True]} of {certain} labels are what the samples' authors say")
    return Group("", table)


def _done(metrics: Metrics) -> int:
    return int(_value(metrics, "streamer_latency_seconds_count"))


def _value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def _latency(metrics: Metrics, share: float) -> float:
    """The quantile of the latency in seconds."""
    samples = [s for family in metrics.latency.collect() for s in family.samples if s.name.endswith("_bucket")]
    return histogram_quantile({float(sample.labels["le"]): sample.value for sample in samples}, share) or 0.0
