"""The command line: what it imports, and how errors end it."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from streamer import cli
from streamer.commands.exit_codes import Exit, run_command
from streamer.demo.embedded_broker import BrokerError
from streamer.files.errors import FileError
from streamer.kafka import BrokerUnreachable, TopicMissing
from streamer.models.artefact import ModelError
from streamer.observe.pages import AddressInUse
from streamer.pipeline.reading import TooManyDeadLetters
from streamer.pipeline.sequencer import OffsetRegression
from streamer.planning.plan import PlanError
from streamer.planning.profiles import ProfileError
from streamer.settings import SettingsError


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["plan", "--rate", "9"],
        ["plan", "--rate", "0"],
        ["produce", "/a.csv"],
    ],
)
def test_what_needs_no_model_does_not_wait_for_torch(arguments: list[str]) -> None:
    """It takes a second to import."""
    script = (
        f"import sys; from streamer.cli import app\ntry: app({arguments!r})\nfinally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "AssertionError" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("why"), Exit.SETTINGS),
        (FileError("why"), Exit.SETTINGS),
        (PlanError("why"), Exit.SETTINGS),
        (ProfileError("why"), Exit.SETTINGS),
        (TopicMissing("why"), Exit.SETTINGS),
        (AddressInUse("why"), Exit.SETTINGS),
        (ModelError("why"), Exit.MODEL),
        (BrokerUnreachable("why"), Exit.BROKER),
        (BrokerError("why"), Exit.BROKER),
        (OffsetRegression("why"), Exit.BROKER),
        (TooManyDeadLetters("why"), Exit.DEAD_LETTERS),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.name,
)
def test_an_error_ends_a_command_with_its_code(
    capsys: pytest.CaptureFixture[str], error: Exception, code: Exit
) -> None:
    """And its message, out of the groups that task groups make too."""

    async def command() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    async def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_command(command)
    assert ended.value.code == code
    written = capsys.readouterr().err
    assert written.startswith("streamer: ") and "why" in written


def test_a_bug_is_raised() -> None:
    """With its traceback, and exit code 1."""

    async def command() -> None:
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        run_command(command)


def test_the_traceback_of_a_bug_is_printable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1; a name in its message cannot steer the terminal."""

    def fail() -> None:
        raise LookupError("a bug with a\x1b[2J name\u202e of https://ann:s3cret@host/")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == Exit.BUG
    written = capsys.readouterr().err
    assert "LookupError: a bug with a\\x1b[2J name\\u202e of https://host/" in written
    assert all(line.isprintable() for line in written.split("\n"))


def test_the_message_of_an_error_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of its lines begins with the program's name; nothing in it makes another line."""

    async def command() -> None:
        raise FileError("first\x1b[2J\x85\u2028\udce9\nsecond")

    with pytest.raises(SystemExit):
        run_command(command)
    written = capsys.readouterr().err
    assert written == "streamer: first\\x1b[2J\\x85\\u2028\\xe9\nstreamer: second\n"
