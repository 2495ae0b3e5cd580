"""The command line. Every command turns its own errors into a message and an exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from enum import IntEnum, StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import typer

from streamer import __version__
from streamer.events import Reason
from streamer.observe import logs
from streamer.settings import CONFIG_VARIABLE, Settings, SettingsError, load

if TYPE_CHECKING:
    from streamer.pipeline.pipeline import Pipeline
    from streamer.planning.plan import Profile

app = typer.Typer(
    name="streamer",
    help="Labels reviews from Kafka with sentiment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Exit(IntEnum):
    """How the process ends."""

    DONE = 0
    BUG = 1
    SETTINGS = 2
    MODEL = 3
    BROKER = 4
    DEAD_LETTERS = 5


class Device(StrEnum):
    """What to plan for."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Size(StrEnum):
    """Of a window."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"


def main() -> None:
    """Run the command line; the console script."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[Path | None, typer.Option(help="TOML file of settings.", envvar=CONFIG_VARIABLE)] = None,
    version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_version)] = False,
) -> None:
    """Labels reviews from Kafka with sentiment."""
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config)


@app.command()
def demo(
    input: Annotated[str | None, typer.Option(help="Your own csv or jsonl instead of the samples.")] = None,
    text_column: Annotated[str, typer.Option(help="Column, or dotted path, of the text.")] = "text",
    rows: Annotated[int, typer.Option(min=0, help="How many results to show.")] = 40,
    keep: Annotated[bool, typer.Option("--keep", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Label sample reviews, or a file's, through an embedded Kafka broker."""
    from streamer.demo import reviews as demonstration

    _settings("WARNING")
    _run_command(lambda: demonstration.demo(input, text_column, rows, keep))


@app.command()
def run(
    workers: Annotated[int, typer.Option(min=1, help="Worker processes on this host.")] = 1,
    slot: Annotated[int, typer.Option(hidden=True, help="Which of the workers this process is.")] = -1,
) -> None:
    """Read reviews from Kafka, publish labels, until SIGTERM or SIGINT."""
    settings = _settings()
    if workers > 1 and slot < 0:
        from streamer.commands.run import supervise

        raise typer.Exit(supervise(workers))
    # Until the worker has its own handlers: nothing is under way yet, and process 1 of a container hears no others.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(Exit.DONE))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _run_command(lambda: _work(settings, workers, slot))


@app.command()
def label(
    file: Annotated[str, typer.Argument(metavar="INPUT", help="csv or jsonl, also .gz; - is standard input.")],
    text_column: Annotated[str, typer.Option(help="Column, or dotted path, of the text.")] = "text",
    output: Annotated[str, typer.Option(help="JSON lines; - is standard output.")] = "-",
    format: Annotated[str | None, typer.Option(help="csv or jsonl, where the name does not say.")] = None,
) -> None:
    """Label a file without Kafka: one JSON line per row, in order."""
    from streamer.commands.label import label_file

    _settings()
    _run_command(lambda: label_file(file, format, text_column, output))


@app.command()
def check(
    create_topics: Annotated[bool, typer.Option("--create-topics", help="Create the topics that are missing.")] = False,
    partitions: Annotated[int, typer.Option(min=1, help="Of the input topic, if created.")] = 6,
    replication: Annotated[int, typer.Option(help="Of created topics; -1 is the cluster's default.")] = -1,
) -> None:
    """Say whether settings, model, brokers, topics and permissions are as the service needs them."""
    settings = _settings("WARNING")
    _run_command(lambda: _check(settings, create_topics, partitions, replication))


async def _check(settings: Settings, create_topics: bool, partitions: int, replication: int) -> None:
    from streamer.kafka import KafkaFault, check_cluster
    from streamer.models.artefact import ModelError
    from streamer.service import can_trace, load_model

    can_trace(settings)
    typer.echo("ok       settings: as they should be")
    if rules := settings.moderation.rules:
        names = ", ".join(rule.name for rule in rules)
        typer.echo(f"ok       moderation: {names}; what none of them matches: {settings.moderation.default}")
    refused: ModelError | None = None
    try:
        manifest = load_model(settings).manifest
        typer.echo(f"ok       model: {manifest.name} {manifest.version} gives its golden scores")
    except ModelError as error:  # Told at the end: the cluster is worth a look all the same.
        typer.echo(f"error    model: {error}")
        refused = error
    findings = await check_cluster(settings, create_topics, partitions, replication)
    for finding in findings:
        typer.echo(f"{finding.severity:8} {finding.subject}: {finding.detail}")
    if refused is not None:
        raise refused
    if wrong := sum(not finding.ok for finding in findings):
        raise KafkaFault(f"the service cannot run on this cluster: {wrong} of {len(findings)} findings are errors")


@app.command()
def produce(
    file: Annotated[str, typer.Argument(help="csv or jsonl, also .gz; - is standard input.")],
    rate: Annotated[float, typer.Option(min=0, help="Rows a second; 0 is as fast as it goes.")] = 0.0,
    key_column: Annotated[str | None, typer.Option(help="Column whose value becomes the key.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the text; unset, input.text_field.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="At most so many rows.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="How often to send the file.")] = 1,
    format: Annotated[str | None, typer.Option(help="csv or jsonl, where the name does not say.")] = None,
) -> None:
    """Load a file's rows into the input topic."""
    from streamer.commands import produce as producing

    settings = _settings("WARNING")
    options: dict[str, Any] = {"key_column": key_column, "text_column": text_column, "limit": limit, "repeat": repeat}
    _run_command(lambda: producing.produce(settings, file, kind=format, rate=rate, **options))


@app.command()
def watch(
    since: Annotated[float | None, typer.Option(min=0, help="Begin so many minutes ago, instead of now.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many results.")] = None,
) -> None:
    """Follow the output topic: latest labels, counts and share of negative over the last minute, reviews a second."""
    from streamer.commands import watch as watching

    settings = _settings("WARNING")
    _run_command(lambda: watching.watch(settings, since_minutes=since, limit=limit))


@app.command()
def dashboard(
    demo: Annotated[bool, typer.Option("--demo", help="With an embedded broker and a replayed stream.")] = False,
) -> None:
    """Show trends, reviews, the moderators' queue and the workers in a browser, until SIGTERM or SIGINT."""

    def on_ready(address: str) -> None:
        typer.echo(f"The dashboard is on {address}")

    if demo:
        from streamer.demo import dashboard as demonstration

        _settings("WARNING")
        _run_command(lambda: demonstration.demonstrate(on_ready))
    else:
        from streamer.dashboard import serving

        settings = _settings()
        _run_command(lambda: serving.dashboard(settings, on_ready))


@app.command()
def trends(
    since: Annotated[float | None, typer.Option(min=0, help="Begin so many minutes ago, instead of now.")] = None,
    window: Annotated[Size, typer.Option(help="Size of the windows.")] = Size.MINUTE,
    groups: Annotated[int, typer.Option(min=1, help="How many groups to show.")] = 10,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many windows.")] = None,
    alerts_topic: Annotated[str | None, typer.Option(help="Publish alerts there; unset, trends.alert_topic.")] = None,
) -> None:
    """Follow the trends topic: counts by window, the groups that move, alerts."""
    from streamer.commands import trends as follow

    settings = _settings("WARNING")
    size = {Size.SECOND: 1, Size.MINUTE: 60, Size.HOUR: 3600}[window]
    options: dict[str, Any] = {"since_minutes": since, "size": size, "groups": groups, "limit": limit}
    _run_command(lambda: follow.follow(settings, alert_topic=alerts_topic, **options))


@app.command()
def plan(
    rate: Annotated[float, typer.Option(help="Reviews a second.")],
    mean_tokens: Annotated[float, typer.Option(help="Average length, in tokens as the model reads them.")] = 45.0,
    device: Annotated[Device, typer.Option(help="auto: CPU, or with --measure what there is.")] = Device.AUTO,
    cores_per_host: Annotated[int, typer.Option(help="Cores of a host.")] = 16,
    utilisation: Annotated[float, typer.Option(help="How busy a worker may be, of 1.")] = 0.7,
    headroom: Annotated[float, typer.Option(help="Partitions for so many times the workers.")] = 2.0,
    replication: Annotated[int, typer.Option(help="Replicas of the topics.")] = 3,
    profile: Annotated[Path | None, typer.Option(help="A profile measured elsewhere.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure this host, without Kafka.")] = False,
    save: Annotated[Path | None, typer.Option(help="Keep what --measure found in this file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say how many workers, cores, partitions and bytes a rate of reviews takes, and what latency to expect."""
    from streamer.planning import plan as planning
    from streamer.planning.profiles import ProfileError
    from streamer.planning.table import as_json, show

    try:
        chosen = _profile(device, profile, measure, save, mean_tokens)
        planned = planning.plan(chosen, rate, mean_tokens, utilisation, cores_per_host, headroom, replication)
    except (planning.PlanError, ProfileError) as error:
        _end(Exit.SETTINGS, str(error))
    if json:
        typer.echo(orjson.dumps(as_json(planned, chosen), option=orjson.OPT_INDENT_2).decode())
    else:
        show(planned, chosen)


def _profile(device: Device, file: Path | None, measured: bool, save: Path | None, mean_tokens: float) -> Profile:
    from streamer.planning import profiles

    if file is not None and measured:
        raise profiles.ProfileError("--profile and --measure exclude each other")
    if save is not None and not measured:
        raise profiles.ProfileError("--save keeps what --measure found: it needs --measure")
    if measured:
        found = _measured(device, mean_tokens)
        if save is not None:
            profiles.write(found, save)
        return found
    if file is None:
        return profiles.stored("cuda" if device is Device.CUDA else "cpu")
    found = profiles.read(file)
    if device not in (Device.AUTO, found.device):
        raise profiles.ProfileError(f"{file}: measured on {found.device}, not on {device.value}")
    return found


def _measured(device: Device, mean_tokens: float) -> Profile:
    settings = _settings("WARNING")
    if device is not Device.AUTO:
        settings = settings.model_copy(update={"model": settings.model.model_copy(update={"device": device.value})})
    # Late: it takes torch, which a plan from a stored profile need not wait for.
    from streamer.models.artefact import ModelError
    from streamer.planning.measure import measure

    try:
        return measure(settings, mean_tokens)
    except ModelError as error:
        _end(Exit.MODEL, str(error))


dlq = typer.Typer(help="Work with dead letters.", no_args_is_help=True)
app.add_typer(dlq, name="dlq")


@dlq.command("replay")
def replay(
    reason: Annotated[list[Reason] | None, typer.Option(help="Only these; may be given again.")] = None,
    since: Annotated[float | None, typer.Option(min=0, help="Only those of the last so many minutes.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them, move nothing.")] = False,
) -> None:
    """Put dead letters back on the input topic, once each."""
    from streamer.commands import replay as replaying

    settings = _settings("WARNING")
    chosen: dict[str, Any] = {
        "reasons": tuple(reason or ()),
        "since_minutes": since,
        "limit": limit,
        "dry_run": dry_run,
    }
    _run_command(lambda: replaying.replay(settings, **chosen))


rules = typer.Typer(help="Work with moderation rules.", no_args_is_help=True)
app.add_typer(rules, name="rules")


@rules.command("test")
def test_rules(
    file: Annotated[str, typer.Argument(metavar="INPUT", help="csv or jsonl, also .gz; - is standard input.")],
    rules: Annotated[Path | None, typer.Option(help="TOML file of rules; unset, those of the settings.")] = None,
    text_column: Annotated[str, typer.Option(help="Column, or dotted path, of the text.")] = "text",
    show: Annotated[int, typer.Option(min=0, help="So many examples of each rule.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    format: Annotated[str | None, typer.Option(help="csv or jsonl, where the name does not say.")] = None,
) -> None:
    """Label a file and say what moderation rules would have done to it; Kafka is not touched."""
    from streamer.commands.rules import try_rules

    _settings("WARNING")
    _run_command(lambda: try_rules(file, format, text_column, rules, show, json))


async def _work(settings: Settings, workers: int, slot: int) -> None:
    from streamer.observe.metrics import Metrics
    from streamer.service import can_trace, load_model, work

    can_trace(settings)
    if slot >= 0:
        settings = _for_worker(settings, slot)
    load = partial(load_model, settings, workers)
    await work(settings, load(), Metrics(), _end_with_parent if slot >= 0 else lambda _: None, load)


def _for_worker(settings: Settings, slot: int) -> Settings:
    """What the workers of a host cannot share: the port of the pages, and the name of a static member."""
    port, member = settings.http.port, settings.kafka.group_instance_id
    http = settings.http.model_copy(update={"port": port + slot if port else 0})
    kafka = settings.kafka.model_copy(update={"group_instance_id": f"{member}-{slot}" if member else None})
    return settings.model_copy(update={"http": http, "kafka": kafka})


def _end_with_parent(pipeline: Pipeline) -> None:
    """Drain when standard input closes: the supervising process has gone, even by kill -9."""
    loop = asyncio.get_running_loop()

    def closed() -> None:
        loop.remove_reader(0)
        logging.getLogger(__name__).info("the supervising process has gone: draining")
        pipeline.stop()

    loop.add_reader(0, closed)


def _settings(log_level: str | None = None) -> Settings:
    try:
        settings = load()
    except SettingsError as error:
        _end(Exit.SETTINGS, str(error))
    logs.set_up(log_level or settings.log.level, settings.log.format)
    return settings


def _run_command(command: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run a command on a fresh loop, and end the process as its error says."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(command())
    except Exception as error:
        first = _first(error)
        code = next((code for kinds, code in _codes().items() if isinstance(first, kinds)), None)
        if code is None:
            raise
        _end(code, str(first))


def _codes() -> dict[tuple[type[Exception], ...], Exit]:
    # Late: these take a second, for torch, which a command that goes well and needs no model need not load.
    from streamer.demo.embedded_broker import BrokerError
    from streamer.files.source import FileError
    from streamer.kafka import KafkaFault, TopicMissing
    from streamer.models.artefact import ModelError
    from streamer.observe.pages import AddressInUse
    from streamer.pipeline.reading import TooManyDeadLetters
    from streamer.pipeline.sequencer import OffsetRegression

    return {
        (FileError, AddressInUse, TopicMissing, SettingsError): Exit.SETTINGS,
        (ModelError,): Exit.MODEL,
        (KafkaFault, BrokerError, OffsetRegression): Exit.BROKER,
        (TooManyDeadLetters,): Exit.DEAD_LETTERS,
    }


def _first(error: BaseException) -> BaseException:
    """The error itself, out of the groups that task groups wrap it in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Not on this platform.
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _end(code: Exit, message: str) -> NoReturn:
    for line in message.splitlines():
        typer.echo(f"streamer: {line}", err=True)
    sys.exit(int(code))


if __name__ == "__main__":
    main()
