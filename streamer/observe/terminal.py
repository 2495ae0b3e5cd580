"""Shared by commands with terminal output: label colours and signal handling."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Sequence

from streamer.labels import UNCERTAIN


def label_colours(columns: Sequence[str]) -> dict[str, str]:
    """A colour for each label, by its index in the order of `LabelSet.columns`: green at one end, red at the other."""
    classes = [label for label in columns if label != UNCERTAIN]
    colours = {label: "cyan" for label in classes}
    if classes:
        colours[classes[0]] = "green"
        colours[classes[-1]] = "red"
    return colours | {UNCERTAIN: "yellow"}


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
