"""What is in flight, how far behind it is, and whether it moves."""

from __future__ import annotations

import pytest

from streamer.events import TopicPartition
from streamer.pipeline.lag import Lag, LagTracker

ONE, OTHER = TopicPartition("reviews", 0), TopicPartition("reviews", 1)
GENERATION = 4
WALL = 1_700_000_000.0


@pytest.fixture
def lag() -> LagTracker:
    """With two partitions, assigned at second 100."""
    lag = LagTracker()
    lag.assign([ONE, OTHER], GENERATION, now=100.0)
    return lag


def publish(lag: LagTracker, next_offset: int, tokens: int, generation: int = GENERATION, now: float = 101.0) -> None:
    lag.published(ONE, generation, next_offset, tokens, created_at=WALL - 30, now=now)


def test_tokens_are_in_flight_until_they_are_published(lag: LagTracker) -> None:
    """Summed over the partitions."""
    lag.admitted(ONE, 5, tokens=10, now=0.0)
    lag.admitted(ONE, 6, tokens=3, now=0.0)
    lag.admitted(OTHER, 0, tokens=7, now=0.0)
    assert lag.tokens_in_flight == 20
    publish(lag, next_offset=6, tokens=10)
    assert lag.tokens_in_flight == 10


def test_what_was_in_flight_of_a_lost_partition_is_forgotten(lag: LagTracker) -> None:
    """And its completions, which may still come, count for nothing."""
    lag.admitted(ONE, 5, tokens=10, now=0.0)
    lag.revoke([ONE])
    assert lag.tokens_in_flight == 0
    publish(lag, next_offset=6, tokens=10)
    lag.assign([ONE], GENERATION + 1, now=102.0)
    lag.admitted(ONE, 5, tokens=10, now=0.0)
    publish(lag, next_offset=6, tokens=10)
    assert lag.tokens_in_flight == 10


def test_lag_is_from_what_is_published_to_the_end(lag: LagTracker) -> None:
    """In records, and in seconds since the last one published was created."""
    lag.admitted(ONE, 5, tokens=1, now=0.0)
    lag.admitted(ONE, 6, tokens=1, now=0.0)
    assert lag.lags({ONE: 10}, WALL) == {ONE: Lag(5, 0.0)}
    publish(lag, next_offset=6, tokens=1)
    assert lag.lags({ONE: 10}, WALL) == {ONE: Lag(4, 30.0)}


def test_there_is_no_lag_at_the_end(lag: LagTracker) -> None:
    """However old the last record is."""
    lag.admitted(ONE, 5, tokens=1, now=0.0)
    publish(lag, next_offset=6, tokens=1)
    assert lag.lags({ONE: 6}, WALL) == {ONE: Lag(0, 0.0)}


def test_a_transaction_marker_at_the_end_is_no_lag(lag: LagTracker) -> None:
    """The source reads on from behind it; while something is in flight, what is published counts."""
    lag.positions({ONE: 9, TopicPartition("other", 0): 3})
    assert lag.lags({ONE: 9}, WALL) == {}
    lag.admitted(ONE, 5, tokens=1, now=0.0)
    lag.positions({ONE: 7})
    assert lag.lags({ONE: 7}, WALL) == {ONE: Lag(2, 0.0)}
    publish(lag, next_offset=6, tokens=1)
    assert lag.lags({ONE: 7}, WALL) == {ONE: Lag(0, 0.0)}
    assert lag.not_ready_reason({ONE: 7}, 10_000.0, WALL, stalled_after=60) is None


def test_the_lag_of_a_partition_not_yet_read_is_not_known(lag: LagTracker) -> None:
    """Nor is that of one that is not ours."""
    assert lag.lags({ONE: 10, TopicPartition("other", 0): 3}, WALL) == {}


def test_a_worker_is_ready_once_it_has_joined() -> None:
    """Also when it was given no partition."""
    lag = LagTracker()
    assert lag.not_ready_reason({}, 0.0, WALL, stalled_after=60) == "no assignment yet"
    lag.assign([], GENERATION, now=1.0)
    assert lag.not_ready_reason({}, 500.0, WALL, stalled_after=60) is None


def test_a_worker_that_stands_still_with_lag_is_not_ready(lag: LagTracker) -> None:
    """Nothing published for longer than the bound, while something waits."""
    lag.admitted(ONE, 5, tokens=1, now=0.0)
    assert lag.not_ready_reason({ONE: 6}, 160.0, WALL, stalled_after=60) is None
    assert lag.not_ready_reason({ONE: 6}, 161.0, WALL, stalled_after=60) == "no progress for 61 s while there is lag"
    publish(lag, next_offset=6, tokens=1, now=161.0)
    assert lag.not_ready_reason({ONE: 7}, 200.0, WALL, stalled_after=60) is None


def test_a_worker_with_nothing_to_do_is_ready(lag: LagTracker) -> None:
    """For as long as it takes."""
    lag.admitted(ONE, 5, tokens=1, now=0.0)
    publish(lag, next_offset=6, tokens=1)
    assert lag.not_ready_reason({ONE: 6}, 10_000.0, WALL, stalled_after=60) is None


def test_a_quiet_time_is_no_standstill(lag: LagTracker) -> None:
    """The time counts from when there was something to do."""
    lag.admitted(ONE, 5, tokens=1, now=0.0)
    publish(lag, next_offset=6, tokens=1)
    lag.admitted(ONE, 6, tokens=1, now=10_000.0)
    assert lag.not_ready_reason({ONE: 7}, 10_001.0, WALL, stalled_after=60) is None
    assert lag.not_ready_reason({ONE: 7}, 10_061.0, WALL, stalled_after=60) == "no progress for 61 s while there is lag"
