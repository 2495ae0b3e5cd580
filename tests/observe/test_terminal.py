"""A clean end at a signal."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from streamer.observe.terminal import until_signal


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
