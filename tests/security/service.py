"""The service as `streamer run` puts it together, in the test's own process, and with settings for a secured broker.

`tests.workers` runs it as a process of its own: nearer to the truth, and some four seconds slower.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from streamer.commands.exit_codes import run_command
from streamer.models.torchscript import Model
from streamer.observe.metrics import Metrics
from streamer.pipeline.pipeline import Pipeline
from streamer.service.worker import work
from streamer.settings import (
    BatchingSettings,
    DeadLetterSettings,
    HttpSettings,
    InputSettings,
    KafkaSettings,
    OutputSettings,
    SecuritySettings,
    Settings,
)
from tests.jobs import Job
from tests.reading import Item

# A service that neither works nor says why it does not by then hangs.
LONGEST_S = 30.0
REQUEST_TIMEOUT_MS = 5_000
GOOD = b'{"text": "great value, arrived early"}'
BAD = b"not JSON"


Command = Callable[[], Coroutine[Any, Any, object]]


def settings(job: Job, address: str, security: SecuritySettings) -> Settings:
    """The job's topics and group, on a listener at `address`."""
    return Settings(
        kafka=KafkaSettings(
            bootstrap_servers=address, group_id=job.group, security=security, request_timeout_ms=REQUEST_TIMEOUT_MS
        ),
        input=InputSettings(topic=job.input),
        output=OutputSettings(topic=job.output),
        dead_letters=DeadLetterSettings(topic=job.dead),
        # Few shapes of batches to measure the cost of.
        batching=BatchingSettings(max_reviews=8, max_padded_tokens=256),
        http=HttpSettings(enabled=False),
    )


def environment(address: str, security: SecuritySettings) -> dict[str, str]:
    """The same for a process, beside the job's own."""
    given = {name: getattr(security, name) for name in sorted(security.model_fields_set)}
    plain = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in given.items()
        if value is not None
    }
    variables = {f"STREAMER_KAFKA__SECURITY__{name.upper()}": value for name, value in plain.items()}
    return {"STREAMER_KAFKA__BOOTSTRAP_SERVERS": address} | variables


def put(job: Job, good: int = 1, bad: int = 1) -> int:
    """So many records that become results and dead letters; returns how many in all."""
    return len(job.put([Item(GOOD, partition=0)] * good + [Item(BAD, partition=0)] * bad))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, what it wrote to standard error, and how long it took."""

    code: int
    said: str
    seconds: float


def ends(command: Command, capsys: pytest.CaptureFixture[str], longest_s: float = LONGEST_S) -> Ended:
    """Run a command of the command line as `streamer` runs it. Raises TimeoutError where it hangs."""

    async def bounded() -> None:
        async with asyncio.timeout(longest_s):
            await command()

    capsys.readouterr()
    begin, code = time.monotonic(), 0
    try:
        run_command(bounded)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return Ended(code, capsys.readouterr().err, time.monotonic() - begin)


def serve(settings: Settings, model: Model, until: int, working: Callable[[], object] = lambda: None) -> Command:
    """A command: one worker, drained once it has done so many records. `working` is called when it has done one."""

    async def serving() -> None:
        metrics = Metrics()
        pipelines: list[Pipeline] = []
        worker = asyncio.create_task(work(settings, model, metrics, pipelines.append))
        told = False
        try:
            while not worker.done():
                if not told and _done(metrics):
                    told = True
                    await asyncio.to_thread(working)
                if _done(metrics) >= until:
                    pipelines[0].stop()
                await asyncio.wait([worker], timeout=0.05)
            await worker
        finally:
            worker.cancel()
            await asyncio.wait([worker])

    return serving


def _done(metrics: Metrics) -> float:
    samples = [s for family in text_string_to_metric_families(metrics.render().decode()) for s in family.samples]
    return sum(sample.value for sample in samples if sample.name == "streamer_records_total")
