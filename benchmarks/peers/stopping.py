"""SIGTERM and SIGINT for the peers that bring no signal handling of their own."""

from __future__ import annotations

import signal
import threading


def stopping() -> threading.Event:
    """An event that is set once the process is told to stop."""
    event = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: event.set())
    return event
