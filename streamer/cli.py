"""The command line: parses options and calls the command; maps its errors to exit codes.

Commands are imported when they are called: `--help` and commands without a model must not wait for torch.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from streamer import __version__
from streamer.commands.exit_codes import Exit, errors_as_exit_codes, run_command
from streamer.commands.table_options import with_table_options
from streamer.events import Reason
from streamer.files.options import TableOptions
from streamer.observe import logs
from streamer.printable import printable_lines, why_not_a_path, without_credentials
from streamer.settings import CONFIG_VARIABLE, Settings, load, warn_of_old_names

app = typer.Typer(
    name="streamer",
    help="Labels reviews from Kafka with sentiment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
dlq = typer.Typer(help="Work with dead letters.", no_args_is_help=True)
app.add_typer(dlq, name="dlq")
rules = typer.Typer(help="Work with moderation rules.", no_args_is_help=True)
app.add_typer(rules, name="rules")


def _path(value: Any) -> Any:
    """Refuse what cannot be a path, without quoting it: it may be a key."""
    if value is not None and (reason := why_not_a_path(value)) is not None and not os.path.exists(value):
        raise typer.BadParameter(reason)
    return value


TableFile = Annotated[
    str,
    typer.Argument(
        callback=_path, metavar="INPUT", help="csv, tsv, JSON or Parquet, also compressed; - is standard input."
    ),
]
TextColumn = Annotated[str, typer.Option(help="Column of the text: its name, or a dotted path.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Since = Annotated[float | None, typer.Option(min=0, help="Start this many minutes ago instead of now.")]

Device = StrEnum("Device", {"AUTO": "auto", "CPU": "cpu", "CUDA": "cuda"})
WindowSize = StrEnum("WindowSize", {"SECOND": "second", "MINUTE": "minute", "HOUR": "hour"})


def main() -> None:
    """Run the command line. This is the console script."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # A bug. Its message may quote a name from outside.
        lines = "".join(traceback.format_exception(error))
        print(printable_lines(without_credentials(lines)), end="", file=sys.stderr)
        sys.exit(int(Exit.BUG))


def _version(shown: bool) -> None:
    if shown:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[
        Path | None, typer.Option(callback=_path, help="TOML file of settings.", envvar=CONFIG_VARIABLE)
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_version)] = False,
) -> None:
    """Labels reviews from Kafka with sentiment."""
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config)


@app.command()
@with_table_options
def demo(
    table: TableOptions,
    input: Annotated[str | None, typer.Option(callback=_path, help="Your own table instead of the samples.")] = None,
    text_column: TextColumn = "text",
    rows: Annotated[int, typer.Option(min=0, help="How many results to show.")] = 40,
    keep: Annotated[bool, typer.Option("--keep", help="Keep running until Ctrl-C.")] = False,
) -> None:
    """Label sample reviews, or a file's, through an embedded Kafka broker."""
    from streamer.commands import demo as command

    _run(lambda _: command.demo(input, options=table, text_column=text_column, rows=rows, keep=keep))


@app.command()
def run(
    workers: Annotated[int, typer.Option(min=1, help="Worker processes on this host.")] = 1,
    slot: Annotated[int, typer.Option(hidden=True, help="Number of this worker, from 0.")] = -1,
) -> None:
    """Read reviews from Kafka, publish labels, until SIGTERM or SIGINT."""
    from streamer.commands import run as command

    settings = _settings(None, warn=slot < 0)  # The supervisor has warned for its workers.
    if workers > 1 and slot < 0:
        raise typer.Exit(command.supervise(workers))
    command.exit_on_early_signals()
    run_command(lambda: command.run(settings, workers, slot))


@app.command()
@with_table_options
def label(
    table: TableOptions,
    file: TableFile,
    text_column: TextColumn = "text",
    output: Annotated[
        str, typer.Option(callback=_path, help="JSON lines, compressed as .gz, .bz2 or .zst; - is standard output.")
    ] = "-",
) -> None:
    """Label a file without Kafka: one JSON line per row, in order."""
    from streamer.commands import label as command

    _run(lambda _: command.label(file, options=table, text_column=text_column, output=output), None)


@app.command()
def check(
    create_topics: Annotated[bool, typer.Option("--create-topics", help="Create the topics that are missing.")] = False,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of the input topic, if created.")] = 6,
    replication: Annotated[int, typer.Option(help="Replicas of created topics; -1: the cluster's default.")] = -1,
) -> None:
    """Check that settings, model, brokers, topics and permissions are right for the service."""
    from streamer.commands import check as command

    new = {"partitions": partitions, "replication": replication}
    _run(lambda settings: command.check(settings, create_topics=create_topics, **new))


@app.command()
@with_table_options
def produce(
    table: TableOptions,
    file: TableFile,
    rate: Annotated[float, typer.Option(min=0, help="Rows a second; 0 is as fast as possible.")] = 0.0,
    key_column: Annotated[str | None, typer.Option(help="Column whose value becomes the key.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the text; by default input.text_field.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Maximum number of rows.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="How many times to send the file.")] = 1,
) -> None:
    """Publish a file's rows to the input topic."""
    from streamer.commands import produce as command

    rows: dict[str, Any] = {"key_column": key_column, "text_column": text_column, "limit": limit, "repeat": repeat}
    _run(lambda settings: command.produce(settings, file, options=table, rate=rate, **rows))


@app.command()
def watch(
    since: Since = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many results.")] = None,
) -> None:
    """Follow the output topic: the latest labels, their counts and shares in the last minute, reviews a second."""
    from streamer.commands import watch as command

    _run(lambda settings: command.watch(settings, since_minutes=since, limit=limit))


@app.command()
def dashboard(
    demo: Annotated[bool, typer.Option("--demo", help="With an embedded broker and a replayed stream.")] = False,
) -> None:
    """Show trends, reviews, the moderators' queue and the workers in a browser, until SIGTERM or SIGINT."""
    from streamer.commands import dashboard as command

    if demo:
        _run(lambda _: command.serve_demo())
    else:
        _run(command.serve, None)


@app.command()
def trends(
    since: Since = None,
    window: Annotated[WindowSize, typer.Option(help="Size of the windows.")] = WindowSize.MINUTE,
    groups: Annotated[int, typer.Option(min=1, help="How many groups to show.")] = 10,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many windows.")] = None,
    alerts_topic: Annotated[str | None, typer.Option(help="Topic for alerts; by default trends.alert_topic.")] = None,
) -> None:
    """Follow the trends topic: counts by window, the groups that change most, alerts."""
    from streamer.commands import trends as command

    size = {WindowSize.SECOND: 1, WindowSize.MINUTE: 60, WindowSize.HOUR: 3600}[window]
    shown: dict[str, Any] = {"since_minutes": since, "size": size, "groups": groups, "limit": limit}
    _run(lambda settings: command.follow(settings, alert_topic=alerts_topic, **shown))


@app.command()
def plan(
    rate: Annotated[float, typer.Option(help="Reviews a second.")],
    mean_tokens: Annotated[float, typer.Option(help="Average length in tokens of the model.")] = 45.0,
    device: Annotated[Device, typer.Option(help="auto: CPU or, with --measure, the best of this host.")] = Device.AUTO,
    cores_per_host: Annotated[int, typer.Option(help="Cores of a host.")] = 16,
    utilisation: Annotated[float, typer.Option(help="Largest utilisation of a worker, up to 1.")] = 0.7,
    headroom: Annotated[float, typer.Option(help="Partitions for this many times the workers.")] = 2.0,
    replication: Annotated[int, typer.Option(help="Replicas of the topics.")] = 3,
    profile: Annotated[
        Path | None, typer.Option(callback=_path, help="Profile file that was measured elsewhere.")
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure this host, without Kafka.")] = False,
    save: Annotated[Path | None, typer.Option(callback=_path, help="File to save the profile of --measure to.")] = None,
    json: AsJson = False,
) -> None:
    """Compute the workers, cores, partitions and bytes for a rate of reviews, and the expected latency."""
    from streamer.commands import plan as command

    request = command.Request(rate, mean_tokens, utilisation, cores_per_host, headroom, replication)
    source = command.ProfileSource(device.value, profile, measure, save)
    with errors_as_exit_codes():
        command.print_plan(request, source, _settings, json=json)


@dlq.command("replay")
def replay(
    reason: Annotated[list[Reason] | None, typer.Option(help="Only this reason; repeat the option for more.")] = None,
    since: Annotated[float | None, typer.Option(min=0, help="Only dead letters at most this many minutes old.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them without publishing any.")] = False,
) -> None:
    """Publish dead letters to the input topic again, once each."""
    from streamer.commands import replay as command

    chosen: dict[str, Any] = {"reasons": tuple(reason or ()), "limit": limit, "dry_run": dry_run}
    _run(lambda settings: command.replay(settings, since_minutes=since, **chosen))


@rules.command("test")
@with_table_options
def test_rules(
    table: TableOptions,
    file: TableFile,
    rules: Annotated[
        Path | None, typer.Option(callback=_path, help="TOML file of rules; by default those of the settings.")
    ] = None,
    text_column: TextColumn = "text",
    show: Annotated[int, typer.Option(min=0, help="Number of examples of each rule.")] = 0,
    json: AsJson = False,
) -> None:
    """Label a file and show what moderation rules would do with it, without Kafka."""
    from streamer.commands import rules as command

    shown: dict[str, Any] = {"examples": show, "as_json": json}
    _run(lambda _: command.dry_run_rules(file, options=table, text_column=text_column, rules=rules, **shown))


def _run(command: Callable[[Settings], Coroutine[Any, Any, object]], log_level: str | None = "WARNING") -> None:
    """Run a command with the settings; errors end the process with an exit code."""
    settings = _settings(log_level)
    run_command(lambda: command(settings))


def _settings(log_level: str | None = "WARNING", *, warn: bool = True) -> Settings:
    """The settings, with logging set up; None means the level `log.level`. Invalid settings end the process.

    warn: of settings under an old name.
    """
    with errors_as_exit_codes():
        settings = load()
    logs.set_up(log_level or settings.log.level, settings.log.format)
    if warn:
        warn_of_old_names()
    return settings


if __name__ == "__main__":
    main()
