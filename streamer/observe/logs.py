"""Sets up logging to standard error, as text or JSON lines, with a rate limit for aiokafka."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson

from streamer.printable import printable, printable_lines, without_credentials

# While a broker is unreachable, each of aiokafka's tasks logs it many times a second.
_EVERY_SECONDS = 10.0
_REMEMBERED = 256  # Message templates.


def set_up(level: str, form: str) -> None:
    """Log messages of at least `level`; `form` is `text` or `json`."""
    handler = logging.StreamHandler()
    text = _TextLines("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(_JsonLines() if form == "json" else text)
    # On the handler, not on the logger aiokafka: a logger's filters do not apply to its children.
    handler.addFilter(RateLimitFilter("aiokafka"))
    handler.addFilter(RateLimitFilter("streamer.replaced"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # aiokafka logs whole messages at DEBUG; uvicorn logs its start and stop at INFO.
    for chatty in ("aiokafka", "kafka", "uvicorn", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    # The first logs every attempt to reach a collector; the second quotes headers that are not a trace context, and the
    # third those of OTEL_EXPORTER_OTLP_HEADERS, which hold credentials.
    for chatty in ("opentelemetry.exporter", "opentelemetry.trace", "opentelemetry.util.re"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    # It logs out-of-range offsets, which mean that records are lost, at INFO only.
    logging.getLogger("aiokafka.consumer.fetcher").setLevel(level)


class _Printable(logging.Formatter):
    """Makes printable what was filled into a message, and leaves credentials out of URLs; tracebacks stay lines."""

    def formatException(self, ei: Any) -> str:  # The standard library's name.
        return printable_lines(without_credentials(super().formatException(ei)))

    def formatStack(self, stack_info: str) -> str:  # As above.
        return printable_lines(super().formatStack(stack_info))


class _TextLines(_Printable):
    def formatMessage(self, record: logging.LogRecord) -> str:  # As above.
        record.message = _shown(record.message)
        return super().formatMessage(record)


class _JsonLines(_Printable):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": _shown(record.getMessage()),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(fields).decode()


def _shown(message: str) -> str:
    return printable(without_credentials(message), None)


@dataclass(slots=True)
class _Template:
    """Lines of one logger with one template: when the last one was logged, and the number suppressed since."""

    logged_at: float
    suppressed: int = 0


class RateLimitFilter(logging.Filter):
    """Logs a library's warning or error once in `every` seconds, with the number of similar lines suppressed since.

    Lines are similar if they have the same logger and template, whatever their arguments. Lines below WARNING and lines
    of other loggers always pass. The next logged line has the number; after the last one it is never reported.
    """

    def __init__(self, library: str, every: float = _EVERY_SECONDS) -> None:
        super().__init__(library)
        self._every = every
        self._templates: OrderedDict[tuple[str, str], _Template] = OrderedDict()  # The last one logged is last.

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the record. Its message then has the number of suppressed lines."""
        if record.levelno < logging.WARNING or not super().filter(record):
            return True
        key = (record.name, str(record.msg))
        template = self._templates.get(key)
        # A clock that was set back must not suppress everything.
        if template is not None and 0 <= record.created - template.logged_at < self._every:
            template.suppressed += 1
            return False
        if template is not None and template.suppressed:
            record.msg, record.args = f"{record.getMessage()} (and {template.suppressed} more like it)", None
        self._templates[key] = _Template(record.created)
        self._templates.move_to_end(key)
        if len(self._templates) > _REMEMBERED:
            self._templates.popitem(last=False)
        return True
