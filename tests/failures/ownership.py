"""Who owned which partition when, from what the workers log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from tests.checkers import Ownership

_LINE = re.compile(r"^(\d\S+ \S+) .*?(assigned|revoked) partitions: (.*)$", re.MULTILINE)
# From here on it gives up what it has. It leaves the group before it ends, so this is the earliest that another may
# come; the log does not tell the exact moment.
_DRAINING = re.compile(r"^(\d\S+ \S+) .*: draining$", re.MULTILINE)


def ownerships(worker: str, log: str, gone: Sequence[float] = ()) -> list[Ownership]:
    """The times during which a worker had partitions. `gone` is when it was killed, paused or cut off.

    What it had then it has no longer, whatever it says itself; what it is given later counts. What it is given while
    it drains does not: it reads none of it.
    """
    draining = [_seconds(at) for at in _DRAINING.findall(log)]
    ends = [*gone, *draining, float("inf")]
    open_since: dict[tuple[str, int], float] = {}
    owned: list[Ownership] = []

    def close(place: tuple[str, int], at: float) -> None:
        since = open_since.pop(place)
        owned.append(Ownership(worker, *place, since, min(at, *(end for end in ends if end >= since))))

    for line in _LINE.finditer(log):
        at, names = _seconds(line[1]), re.findall(r"(\S+)/(\d+)", line[3])
        for topic, number in names:
            place = (topic, int(number))
            if line[2] == "assigned":
                if at < min(draining, default=float("inf")):
                    open_since[place] = at
            elif place in open_since:
                close(place, at)
    for place in list(open_since):
        close(place, float("inf"))
    return owned


def owned(log: str) -> set[int]:
    """The partitions that a worker has, by the end of its log."""
    return {interval.partition for interval in ownerships("", log) if interval.end == float("inf")}


def _seconds(text: str) -> float:
    """Since the epoch, of a time as `logging` writes it."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").timestamp()
