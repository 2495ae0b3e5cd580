"""Rows that are read ahead and passed on at a rate."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.files.errors import FileError
from streamer.files.read_ahead import ReadAhead, TokenBucket


@given(
    st.floats(0.1, 1e5),
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 5000)), min_size=1, max_size=50),
)
def test_the_bucket_never_gives_more_than_its_rate(rate: float, requests: list[tuple[float, int]]) -> None:
    """Over any time, by more than two bursts of a tenth of a second; and it says how long to wait for the next."""
    bucket, now, taken = TokenBucket(rate, 0.0), 0.0, 0
    for pause, wanted in requests:
        now += pause
        granted = bucket.take(wanted, now)
        taken += granted
        assert granted <= wanted
        assert taken <= 1 + rate * now + 2 * max(1.0, rate * 0.1)
        now += bucket.wait(wanted) + 1e-6
        assert bucket.take(1, now) == 1
        taken += 1


def test_a_rate_of_nought_is_no_limit() -> None:
    """All may go at once."""
    bucket = TokenBucket(0, 0.0)
    assert (bucket.take(10**9, 0.0), bucket.wait(5)) == (10**9, 0.0)


async def test_a_bounded_number_of_rows_is_read_ahead() -> None:
    """However slowly the rows are taken; stopped, it reads no more."""
    read = 0

    def source() -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"row"

    stopped = threading.Event()
    rows = ReadAhead(source(), 0, stopped)
    reading = asyncio.create_task(rows.read())
    batches = rows.batches()
    taken = len(await anext(batches))
    await asyncio.sleep(0.3)
    assert taken <= 500
    assert read <= taken + 2000 + 1
    stopped.set()
    await asyncio.wait_for(reading, 2)
    await batches.aclose()  # type: ignore[attr-defined]  # It is an asynchronous generator.


async def test_an_error_of_the_rows_is_raised() -> None:
    """And its batches end."""

    def source() -> Iterator[bytes]:
        yield b"row"
        raise FileError("broken")

    rows = ReadAhead(source(), 0, threading.Event())
    reading = asyncio.create_task(rows.read())
    assert [batch async for batch in rows.batches()] == [[b"row"]]
    with pytest.raises(FileError, match="broken"):
        await reading
