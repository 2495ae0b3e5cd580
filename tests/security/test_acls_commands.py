"""The ACLs of the other commands, and the page that lists all of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.commands.produce import produce
from streamer.commands.replay import replay
from streamer.commands.watch import watch
from streamer.models.torchscript import Model
from streamer.settings import Settings
from tests.jobs import Job
from tests.security.least import (
    Least,
    Names,
    dashboard_needs,
    moderator_needs,
    produce_needs,
    replay_needs,
    run_needs,
    transaction_needs,
    trend_needs,
    watch_needs,
    without,
)
from tests.security.secured import Grant
from tests.security.service import GOOD, Command, ends, put, serve, settings

Capture = pytest.CaptureFixture[str]
on_kafka = pytest.mark.requires("faults", "properties")


def command(name: str, wanted: Settings, folder: Path) -> Command:
    file = folder / "reviews.jsonl"
    file.write_bytes(GOOD + b"\n")
    commands: dict[str, Command] = {
        "replay": lambda: replay(wanted),
        "produce": lambda: produce(wanted, str(file)),
        "watch": lambda: watch(wanted, since_minutes=60, limit=1),
    }
    return commands[name]


NOT_IDEMPOTENT = "not allowed to write without duplicates (ClusterAuthorizationFailed): grant this client WRITE on the"

# Command, what it needs, and without each: its exit code and what it says.
OTHERS: dict[str, tuple[Callable[[Job | Names], dict[str, Grant]], dict[str, tuple[int, str]]]] = {
    "replay": (
        replay_needs,
        {
            "read dead letters": (4, "topic '{dead}' may not be seen"),
            "read group": (4, "topic '{dead}' at"),
            "write input": (4, NOT_IDEMPOTENT),  # Whoever may write nowhere may not be idempotent.
        },
    ),
    "produce": (
        produce_needs,
        {"write input": (4, NOT_IDEMPOTENT)},
    ),
    "watch": (
        watch_needs,
        {"read output": (4, "topic '{output}' may not be seen")},
    ),
}


@on_kafka
@pytest.mark.parametrize("name", OTHERS)
def test_other_commands_work_with_these(
    least: Least, job: Job, model: Model, name: str, tmp_path: Path, capsys: Capture
) -> None:
    """Each with its own, which the service does not have."""
    put(job)
    everything = settings(
        job, job.bootstrap, least.settings.kafka.security.model_copy(update={"protocol": "PLAINTEXT"})
    )
    assert ends(serve(everything, model, 2), capsys).code == 0
    needs, _ = OTHERS[name]
    wanted = least.granted(*needs(job).values())
    ended = ends(command(name, wanted, tmp_path), capsys)
    assert ended.code == 0, ended


@on_kafka
@pytest.mark.parametrize(
    ("name", "missing"), [(name, missing) for name, (_, without_each) in OTHERS.items() for missing in without_each]
)
def test_other_commands_say_what_is_missing(
    least: Least, job: Job, name: str, missing: str, tmp_path: Path, capsys: Capture
) -> None:
    """With an exit code, and without waiting."""
    needs, said = OTHERS[name]
    wanted = least.granted(*without(needs(job), missing))
    ended = ends(command(name, wanted, tmp_path), capsys)
    code, message = said[missing]
    assert ended.code == code, ended
    assert message.format(input=job.input, output=job.output, dead=job.dead) in ended.said


def listed() -> dict[str, set[Grant]]:
    """The grants of docs/operations.md, by the comment over their commands."""
    grants: dict[str, set[Grant]] = {}
    title = ""
    for line in (Path(__file__).parents[2] / "docs" / "operations.md").read_text().splitlines():
        if found := re.fullmatch(r"    # streamer (.+)", line):
            title = found[1]
        elif found := re.search(r"--operation (\w+) +--(topic|group|transactional-id) (\S+)", line):
            operation, resource, name = found.groups()
            pattern = "prefixed" if "--resource-pattern-type prefixed" in line else "literal"
            grants.setdefault(title, set()).add(Grant(operation.lower(), resource.replace("-", "_"), name, pattern))
    return grants


def test_the_page_lists_these_and_no_others() -> None:
    """The commands of docs/operations.md, for the default names."""
    given = Settings.model_construct()
    names = Names(given.input.topic, given.output.topic, given.dead_letter_topic, given.kafka.group_id)
    assert listed() == {
        "run and streamer check": set(run_needs(names).values()),
        "run with delivery = exactly_once, besides": set(transaction_needs().values()),
        "run with trends.enabled, besides; streamer trends takes READ alone": set(
            trend_needs(given.trend_topic).values()
        ),
        "dlq replay": set(replay_needs(names).values()),
        "produce": set(produce_needs(names).values()),
        "watch": set(watch_needs(names).values()),
        "dashboard": set(dashboard_needs(names.output).values()),
        "dashboard with moderation, besides": set(moderator_needs(names.output).values()),
    }
