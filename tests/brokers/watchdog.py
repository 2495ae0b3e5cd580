"""A small process that outlives a test run which was killed, ends the brokers it left and removes their folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast


class Watchdog:
    """A temporary folder, and processes that use it: none of them is left when the block or this process ends.

    It works however this process ends, kill -9 included. It starts no process; `guard` those that were started
    and `release` those that have been waited for, since another process may get their id.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="streamer-kafka-"))
        # A session of its own, so that it is not ended together with the test run. -I -S start it quickly.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(self.folder)],
            stdin=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._pipe = cast(IO[bytes], self._process.stdin)

    def guard(self, pid: int) -> None:
        self._pipe.write(b"%d\n" % pid)

    def release(self, pid: int) -> None:
        self._pipe.write(b"-%d\n" % pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.wait(30)


def _watch(folder: str) -> None:
    left: set[int] = set()
    for line in sys.stdin:  # Ends when the parent closes the pipe, or is no more.
        pid = int(line)
        if pid > 0:
            left.add(pid)
        else:
            left.discard(-pid)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for _ in range(50):  # A broker may still be writing while it dies.
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            break
        time.sleep(0.1)


if __name__ == "__main__":
    _watch(sys.argv[1])
