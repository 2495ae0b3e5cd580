"""`streamer run --workers N`: N worker processes on one host, each its own member of the consumer group."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
import time

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2


def supervise(workers: int) -> int:
    """Start the workers, pass signals on to them, wait for all; returns the first exit code that is not 0.

    A worker that ends by itself takes the others down with it, drained: what restarts this process on failure
    (systemd, Kubernetes) then restarts them all.
    """
    command = [sys.executable, "-m", "streamer", "run", "--workers", str(workers), "--slot"]
    # A process group each: a Ctrl-C on the terminal reaches them once, through us. The pipe closes when we die.
    processes = [
        subprocess.Popen([*command, str(slot)], stdin=subprocess.PIPE, process_group=0)  # noqa: S603  # Ourselves.
        for slot in range(workers)
    ]

    stopping = False

    def pass_on(number: int, _: object) -> None:
        nonlocal stopping
        # From here on a worker that ends has been told to: a second signal would cut the others off.
        stopping = stopping or number != signal.SIGHUP
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    while any(process.poll() is None for process in processes):
        ended = [process for process in processes if process.returncode is not None]
        if ended and not stopping:
            log.info("worker %d has ended with %d, stopping the others", ended[0].pid, ended[0].returncode)
            pass_on(signal.SIGTERM, None)
        time.sleep(_POLL_SECONDS)
    codes = (process.returncode for process in processes)
    return next((128 - code if code < 0 else code for code in codes if code), 0)
