"""Text that is safe to print, and a clean end at a signal."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from streamer.observe.terminal import printable, until_signal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("好看 emoji 😀 é", "好看 emoji 😀 é"),
        ("\x1b[31mred\x1b[0m\r\n", " [31mred [0m  "),
        ("\x9b1m \x7f \u202eabc\u2028", " 1m    abc "),
    ],
)
def test_what_a_terminal_acts_upon_becomes_a_space(text: str, shown: str) -> None:
    """C0, C1, and what turns the direction of writing."""
    assert printable(text) == shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_sets_the_event(number: signal.Signals) -> None:
    """Instead of ending the process; after the block, signals are handled as before."""
    before = signal.getsignal(signal.SIGINT)
    with until_signal() as stopping:
        assert not stopping.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stopping.wait(), 5)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) in (before, signal.default_int_handler)
