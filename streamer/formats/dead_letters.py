"""Dead letters: creates their messages, restores the original headers, and limits their share."""

from __future__ import annotations

from collections import Counter, deque

from streamer.events import DeadLetter, Headers, Message, Reason
from streamer.printable import printable

_PREFIX = "dlq."
_DETAIL_CHARACTERS = 500


def dead_letter_message(letter: DeadLetter, topic: str, group_id: str, now: int) -> Message:
    """The record unchanged, with `dlq.*` headers for the reason and the source position.

    Its timestamp is `now`: with the record's own, retention could delete an old record as soon as it is written.
    """
    record = letter.record
    added = {
        "dlq.reason": letter.reason.value,
        "dlq.detail": printable(letter.detail, _DETAIL_CHARACTERS),
        "dlq.topic": record.topic,
        "dlq.partition": record.partition,
        "dlq.offset": record.offset,
        "dlq.timestamp": record.timestamp,
        "dlq.group": group_id,
    }
    headers = (*record.headers, *((name, str(content).encode()) for name, content in added.items()))
    return Message(topic, record.key, record.value, headers, now, record.partition)


def original(headers: Headers) -> Headers:
    """The headers of the original record, which a replay publishes."""
    return tuple((name, content) for name, content in headers if not name.startswith(_PREFIX))


class DeadLetterLimit:
    """Limits the share of invalid records among the latest: a bad deployment upstream must not drain a topic."""

    def __init__(self, max_ratio: float, window: int) -> None:
        """At most `max_ratio` of the last `window` records may be invalid; 1 turns the limit off."""
        self._max_ratio = max_ratio
        self._latest: deque[Reason | None] = deque(maxlen=window)
        self._count = 0

    def reasons(self) -> list[tuple[Reason, int]]:
        """Why the latest records were invalid, and how many of them were for each reason; the most frequent first."""
        return Counter(reason for reason in self._latest if reason is not None).most_common()

    def observe(self, reason: Reason | None) -> bool:
        """Count a record, with the reason if it is invalid; True if the limit is now exceeded."""
        latest = self._latest
        full = len(latest) == latest.maxlen
        if full:
            self._count -= latest[0] is not None
        latest.append(reason)
        self._count += reason is not None
        return self._max_ratio < 1 and len(latest) == latest.maxlen and self._count > self._max_ratio * len(latest)
