"""How the process logs: to standard error, as text or as JSON lines, and aiokafka within bounds."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass

import orjson

# While a broker is away, aiokafka tells of it many times a second, by each of its tasks.
_EVERY_SECONDS = 10.0
_REMEMBERED = 256  # Kinds of lines.


def set_up(level: str, form: str) -> None:
    """Log from `level` on; `form` is `text` or `json`."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(_JsonLines() if form == "json" else text)
    # Of the handler, not of the logger aiokafka: what its children log passes its filters by.
    handler.addFilter(RateLimitFilter("aiokafka"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # aiokafka logs whole messages at DEBUG; uvicorn its own life at INFO.
    for chatty in ("aiokafka", "kafka", "uvicorn", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    # The one tells of every attempt to reach a collector, the other quotes headers that are no trace context.
    for chatty in ("opentelemetry.exporter", "opentelemetry.trace"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    # It tells of offsets that are no longer there, and so of records that nobody will read, at INFO only.
    logging.getLogger("aiokafka.consumer.fetcher").setLevel(level)


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(fields).decode()


@dataclass(slots=True)
class _Kind:
    """Lines of one logger from one template: when the latest was let through, and how many were not since."""

    told_at: float
    held_back: int = 0


class RateLimitFilter(logging.Filter):
    """Lets a warning or error of a library through once in so many seconds, with how many like it were held back.

    Alike are those of one logger with one template, whatever is filled in. Below WARNING, and of other loggers,
    everything passes. A line of which no more come is never told to have been held back.
    """

    def __init__(self, library: str, every: float = _EVERY_SECONDS) -> None:
        super().__init__(library)
        self._every = every
        self._kinds: OrderedDict[tuple[str, str], _Kind] = OrderedDict()  # The latest told last.

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be logged; its message then says how many like it were not."""
        if record.levelno < logging.WARNING or not super().filter(record):
            return True
        key = (record.name, str(record.msg))
        kind = self._kinds.get(key)
        # A clock that was set back must not silence anybody.
        if kind is not None and 0 <= record.created - kind.told_at < self._every:
            kind.held_back += 1
            return False
        if kind is not None and kind.held_back:
            record.msg, record.args = f"{record.getMessage()} (and {kind.held_back} more like it)", None
        self._kinds[key] = _Kind(record.created)
        self._kinds.move_to_end(key)
        if len(self._kinds) > _REMEMBERED:
            self._kinds.popitem(last=False)
        return True
