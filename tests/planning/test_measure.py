"""What `streamer plan --measure` takes from the service."""

from __future__ import annotations

import random

from streamer.planning.measure import compression_ratio


def test_compression_is_measured_in_batches_of_the_producers_size() -> None:
    """Records that repeat every 64 KiB compress well in its batches of 512 KiB, and not at all in 16 KiB."""
    chance = random.Random(0)
    records = [chance.randbytes(1024) for _ in range(64)] * 8
    assert compression_ratio(records) < 0.2
