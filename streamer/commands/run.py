"""`streamer run`: one worker, or N processes on one host with `--workers N`, each a member of the group."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from streamer.settings import Settings

if TYPE_CHECKING:
    from streamer.pipeline.pipeline import Pipeline

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2


def supervise(workers: int) -> int:
    """Start the workers, forward signals to them, wait for all; returns the first exit code that is not 0.

    When a worker ends by itself, the others are drained and end too: the supervisor of this process (systemd,
    Kubernetes) then restarts them all.
    """
    command = [sys.executable, "-m", "streamer", "run", "--workers", str(workers), "--slot"]
    # Each has its own process group: a Ctrl-C reaches it once, through this process. The pipe closes when we end.
    processes = [
        subprocess.Popen([*command, str(slot)], stdin=subprocess.PIPE, process_group=0)  # noqa: S603  # Ourselves.
        for slot in range(workers)
    ]

    stopping = False

    def forward(number: int, _: object) -> None:
        nonlocal stopping
        # A worker that ends from here on does so because of the signal. A second signal would end the others at once.
        stopping = stopping or number != signal.SIGHUP
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, forward)
    while any(process.poll() is None for process in processes):
        ended = [process for process in processes if process.returncode is not None]
        if ended and not stopping:
            log.info("worker %d has ended with %d, stopping the others", ended[0].pid, ended[0].returncode)
            forward(signal.SIGTERM, None)
        time.sleep(_POLL_SECONDS)
    codes = (process.returncode for process in processes)
    return next((128 - code if code < 0 else code for code in codes if code), 0)


def exit_on_early_signals() -> None:
    """Let SIGTERM end the process with 0 and ignore SIGHUP until the worker has handlers of its own.

    Nothing is in flight before that, and process 1 of a container ignores signals without a handler.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


async def run(settings: Settings, workers: int, slot: int) -> None:
    """Run one worker: number `slot` of `workers` under a supervisor, or the only one if `slot` is -1.

    Raises SettingsError, ModelError, and what `service.worker.work` raises.
    """
    from streamer.observe.metrics import Metrics  # Late: they import torch, which the supervisor does not need.
    from streamer.service.build import load_model
    from streamer.service.worker import can_trace, work

    can_trace(settings)
    if slot >= 0:
        settings = _for_worker(settings, slot)
    load = partial(load_model, settings, workers)
    await work(settings, load(), Metrics(), _end_with_parent if slot >= 0 else lambda _: None, load)


def _for_worker(settings: Settings, slot: int) -> Settings:
    """The settings of one worker. Workers on a host cannot share the HTTP port and the name of a static member."""
    port, member = settings.http.port, settings.kafka.group_instance_id
    http = settings.http.model_copy(update={"port": port + slot if port else 0})
    kafka = settings.kafka.model_copy(update={"group_instance_id": f"{member}-{slot}" if member else None})
    return settings.model_copy(update={"http": http, "kafka": kafka})


def _end_with_parent(pipeline: Pipeline) -> None:
    """Drain when standard input closes: the supervisor has ended, possibly by kill -9."""
    loop = asyncio.get_running_loop()

    def on_closed() -> None:
        loop.remove_reader(0)
        log.info("the supervising process has gone: draining")
        pipeline.stop()

    loop.add_reader(0, on_closed)
