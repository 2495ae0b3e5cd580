"""Maps errors to exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine, Iterator
from enum import IntEnum
from typing import Any, NoReturn

from streamer.printable import printable_lines, without_credentials
from streamer.settings import SettingsError


class Exit(IntEnum):
    """The exit codes of the process."""

    DONE = 0
    BUG = 1
    SETTINGS = 2
    MODEL = 3
    BROKER = 4
    DEAD_LETTERS = 5


def run_command(command: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run a command on a new event loop. Its errors end the process."""
    with errors_as_exit_codes(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(command())


@contextlib.contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """End the process with a message and an exit code if an error is not a bug."""
    try:
        yield
    except Exception as error:
        first: BaseException = error
        while isinstance(first, BaseExceptionGroup):  # Task groups wrap errors.
            first = first.exceptions[0]
        code = next((code for kind, code in _exit_codes() if isinstance(first, kind)), None)
        if code is None:
            raise
        _end(code, str(first))


def _exit_codes() -> Iterator[tuple[type[Exception], Exit]]:
    """Each error with its exit code. Errors whose modules import quickly come first."""
    yield SettingsError, Exit.SETTINGS
    from streamer.planning.plan import PlanError

    yield PlanError, Exit.SETTINGS
    from streamer.planning.profiles import ProfileError

    yield ProfileError, Exit.SETTINGS
    from streamer.files.errors import FileError

    yield FileError, Exit.SETTINGS
    from streamer.observe.pages import AddressInUse

    yield AddressInUse, Exit.SETTINGS
    from streamer.demo.embedded_broker import BrokerError

    yield BrokerError, Exit.BROKER
    from streamer.kafka import KafkaFault, TopicMissing

    yield TopicMissing, Exit.SETTINGS
    yield KafkaFault, Exit.BROKER
    from streamer.pipeline.reading import TooManyDeadLetters
    from streamer.pipeline.sequencer import OffsetRegression

    yield OffsetRegression, Exit.BROKER
    yield TooManyDeadLetters, Exit.DEAD_LETTERS
    from streamer.models.artefact import ModelError

    yield ModelError, Exit.MODEL


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Not on this platform.
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _end(code: Exit, message: str) -> NoReturn:
    for line in printable_lines(without_credentials(message)).split("\n"):
        print(f"streamer: {line}", file=sys.stderr)
    sys.exit(int(code))
