"""What commands share that show things on a terminal: text that is safe to print, and a clean end at a signal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator


def printable(text: str) -> str:
    """The text with control and format characters, which a terminal would act upon, replaced by spaces."""
    return "".join(character if character.isprintable() else " " for character in text)


@contextlib.contextmanager
def until_signal() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set, instead of ending the process."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        yield stopping
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
