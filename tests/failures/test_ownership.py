"""Who owned what when, as read from logs."""

from __future__ import annotations

from tests.checkers import owned_twice
from tests.failures.ownership import owned, ownerships

_LOG = """2026-11-22 04:38:05,000 INFO    streamer.pipeline.pipeline: assigned partitions: t-1/0, t-1/1
2026-11-22 04:38:06,000 INFO    streamer.pipeline.pipeline: revoked partitions: t-1/0, t-1/1
2026-11-22 04:38:07,500 INFO    streamer.pipeline.pipeline: assigned partitions: t-1/1
"""
_DRAINING = "2026-11-22 04:38:09,000 INFO    streamer.service.worker: SIGTERM: draining\n"


def spans(log: str, *gone: float) -> list[tuple[int, float, float]]:
    """Partition, start and end, in seconds after the log's first line."""
    begin = ownerships("", _LOG)[0].start
    found = ownerships("one", log, [begin + at for at in gone])
    return [(interval.partition, interval.start - begin, interval.end - begin) for interval in found]


def test_what_is_revoked_ends_and_what_is_not_goes_on() -> None:
    """Each assignment is an interval of its own."""
    assert spans(_LOG) == [(0, 0, 1), (1, 0, 1), (1, 2.5, float("inf"))]
    assert owned(_LOG) == {1}


def test_a_worker_that_drains_or_is_gone_owns_nothing_more() -> None:
    """Until it is given something again."""
    assert spans(_LOG + _DRAINING)[-1] == (1, 2.5, 4)
    late = "2026-11-22 04:38:10,000 INFO    streamer.pipeline.pipeline: assigned partitions: t-1/0\n"
    assert spans(_LOG + _DRAINING + late) == spans(_LOG + _DRAINING)
    assert spans(_LOG, 0.5) == [(0, 0, 0.5), (1, 0, 0.5), (1, 2.5, float("inf"))]
    assert spans(_LOG, 3.0)[-1] == (1, 2.5, 3.0)


def test_two_owners_at_a_time_are_seen() -> None:
    """The checker gets what it needs from two logs."""
    early, late = ownerships("one", _LOG), ownerships("two", _LOG.replace(",000", ",100"))
    assert owned_twice(early + late)
    assert not owned_twice(early)
