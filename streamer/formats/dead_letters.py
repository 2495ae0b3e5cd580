"""Dead letters: their message, what it was made of, and how many of them are too many."""

from __future__ import annotations

from collections import deque

from streamer.events import DeadLetter, Headers, Message

_PREFIX = "dlq."


def dead_letter_message(letter: DeadLetter, topic: str, group_id: str, now: int) -> Message:
    """The record untouched, with `dlq.*` headers that say why it is here and where it was.

    Its timestamp is now: under the record's own, retention could delete an old one as soon as it is written.
    """
    record = letter.record
    added = {
        "dlq.reason": letter.reason.value,
        "dlq.detail": letter.detail,
        "dlq.topic": record.topic,
        "dlq.partition": record.partition,
        "dlq.offset": record.offset,
        "dlq.timestamp": record.timestamp,
        "dlq.group": group_id,
    }
    headers = (*record.headers, *((name, str(content).encode()) for name, content in added.items()))
    return Message(topic, record.key, record.value, headers, now, record.partition)


def original(headers: Headers) -> Headers:
    """The headers that a dead letter's record had: those that a replay publishes."""
    return tuple((name, content) for name, content in headers if not name.startswith(_PREFIX))


class DeadLetterLimit:
    """Whether too many of the latest records were invalid: a bad deploy upstream must not drain a topic."""

    def __init__(self, max_ratio: float, window: int) -> None:
        """`max_ratio` of the last `window` records; a ratio of 1 switches the limit off."""
        self._max_ratio = max_ratio
        self._invalid: deque[bool] = deque(maxlen=window)
        self._count = 0

    def observe(self, invalid: bool) -> bool:
        """Count a record; True when the limit is exceeded from this record on."""
        latest = self._invalid
        full = len(latest) == latest.maxlen
        if full:
            self._count -= latest[0]
        latest.append(invalid)
        self._count += invalid
        return self._max_ratio < 1 and len(latest) == latest.maxlen and self._count > self._max_ratio * len(latest)
