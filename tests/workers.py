"""`streamer run` as its users run it: a process of its own, set up by environment, stopped by signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.brokers.ports import ReservedPorts

_START_SECONDS = 180.0  # Seven on an idle machine, seventy on one with a load of thirty.


class Worker:
    """One `streamer run` process and its pages."""

    def __init__(self, environment: Mapping[str, str], log: Path, *arguments: str) -> None:
        with ReservedPorts(1) as reserved:
            (self.port,) = reserved.ports
        self._log = log
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamer", "run", *arguments],
                env=inherited | {"STREAMER_HTTP__PORT": str(self.port)} | dict(environment),
                stdout=output,
                stderr=output,
            )

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self._log.read_text()

    def page(self, path: str) -> tuple[int, str]:
        """Status and body of one of its pages; status 0 while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> dict[str, float]:
        """Its metrics by name; labels add up."""
        values: dict[str, float] = {}
        for family in text_string_to_metric_families(self.page("/metrics")[1]):
            for sample in family.samples:
                values[sample.name] = values.get(sample.name, 0.0) + sample.value
        return values

    def metric(self, name: str, **labels: str) -> float:
        """One metric, those of its labels that are given; 0 where there is none."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.page("/metrics")[1])
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def wait_ready(self, timeout_s: float = _START_SECONDS) -> None:
        """Until `/health/ready` says so. Raises AssertionError with the log when it ends first or takes too long."""
        deadline = time.monotonic() + timeout_s
        while self.page("/health/ready")[0] != 200:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < deadline, f"not ready after {timeout_s:g} s:\n{self.log}"
            time.sleep(0.05)

    def wait_for(self, records: float, timeout_s: float = 120.0) -> None:
        """Until it has published the results of so many records."""
        deadline = time.monotonic() + timeout_s
        while self.metrics().get("streamer_records_total", 0.0) < records:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < deadline, f"{self.metrics()} after {timeout_s:g} s:\n{self.log}"
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait for the end; returns the exit code."""
        return self.process.wait(timeout_s)


@contextmanager
def running(environment: Mapping[str, str], log: Path, *arguments: str) -> Iterator[Worker]:
    """A worker that is gone after the block, by kill if need be."""
    worker = Worker(environment, log, *arguments)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.process.kill()
        worker.process.wait()
