"""The services that are compared: a command and an environment each, fed by the same topics.

Ours is `streamer run`. A peer is a module of `benchmarks.peers` that takes
`--bootstrap --input --output --group --artefact DIR --batch N` and ends on SIGTERM.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from benchmarks.load import Results, producer, review

ROOT = Path(__file__).parents[1]
PEERS_PYTHON = Path(sys.prefix, "peers", "bin", "python")  # What `make peers` sets up.
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0
_PROBE_SECONDS = 0.25
_PROBE = "很好，下次还来"


class NotRunning(Exception):
    """A contender ended, or never gave a result; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """Where a contender reads and writes."""

    bootstrap: str
    input: str
    output: str
    dead_letters: str
    group: str
    artefact: Path


@dataclass(frozen=True, slots=True)
class Contender:
    """How to start one."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


Entry = Callable[[Wiring], Contender]


def ours(settings: Mapping[str, str], *arguments: str) -> Entry:
    """`streamer run` without the prediction cache; `settings` by name without `STREAMER_`."""

    def enter(wiring: Wiring) -> Contender:
        environment = {
            "KAFKA__BOOTSTRAP_SERVERS": wiring.bootstrap,
            "KAFKA__GROUP_ID": wiring.group,
            "INPUT__TOPIC": wiring.input,
            "OUTPUT__TOPIC": wiring.output,
            "DEAD_LETTERS__TOPIC": wiring.dead_letters,
            "MODEL__PATH": str(wiring.artefact),
            "MODEL__CACHE_ENTRIES": "0",
            "HTTP__PORT": "0",
        } | dict(settings)
        command = (sys.executable, "-m", "streamer", "run", *arguments)
        return Contender(command, {f"STREAMER_{name}": value for name, value in environment.items()})

    return enter


def peer(module: str, batch: int, python: str = sys.executable) -> Entry:
    """A peer's module with options of its own after it, the most reviews that it may put in a batch, and the
    interpreter that has its library."""
    name, *extra = shlex.split(module)

    def enter(wiring: Wiring) -> Contender:
        options = {
            "bootstrap": wiring.bootstrap,
            "input": wiring.input,
            "output": wiring.output,
            "group": wiring.group,
            "artefact": str(wiring.artefact),
            "batch": str(batch),
        }
        given = (part for option, value in options.items() for part in (f"--{option}", value))
        return Contender((python, "-m", name, *given, *extra))

    return enter


def there(module: str) -> bool:
    """Whether such a module can be found; options after its name are its own."""
    try:
        return find_spec(module.split()[0]) is not None
    except ModuleNotFoundError:  # Its package is not there either.
        return False


class Running:
    """A started contender."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self._log.read_text(errors="replace")

    def alive(self) -> None:
        """Raises NotRunning where it has ended."""
        if (code := self.process.poll()) is not None:
            raise NotRunning(f"ended with {code}:\n{self.log[-2000:]}")

    def wait_until_it_answers(self, wiring: Wiring, results: Results) -> None:
        """Send probes until one comes back, then another and wait for it: it reads, labels and writes, and has none
        left. Raises NotRunning."""
        sending = producer(wiring.bootstrap)

        def probe(number: int) -> None:
            key, value = review("probe", number, 0, _PROBE)
            sending.produce(wiring.input, value, key)
            sending.flush(10)

        deadline = time.monotonic() + _START_SECONDS
        number, last = 0, None
        while True:
            self.alive()
            if time.monotonic() > deadline:
                raise NotRunning(f"no result in {_START_SECONDS:g} s:\n{self.log[-2000:]}")
            if last is None:
                probe(number)
                number += 1
            came = [which for run, which, _, _ in results.read(_PROBE_SECONDS) if run == "probe"]
            if last is not None and last in came:
                return
            if came and last is None:
                last = number
                probe(last)

    def stop(self) -> int:
        """SIGTERM, and kill after a while; returns the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


@contextmanager
def running(contender: Contender, log: Path) -> Iterator[Running]:
    """A contender that is gone after the block."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            contender.command, env=inherited | dict(contender.environment), stdout=output, stderr=output, cwd=ROOT
        )
    started = Running(process, log)
    try:
        yield started
    finally:
        started.stop()
