"""What the process logs: in which form, and how often the same."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from streamer.observe.logs import RateLimitFilter, set_up


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The logging of the process, put back as it was."""
    root = logging.getLogger()
    named = [
        logging.getLogger(name)
        for name in (
            "aiokafka",
            "aiokafka.consumer.fetcher",
            "kafka",
            "uvicorn",
            "asyncio",
            "opentelemetry.exporter",
            "opentelemetry.trace",
            "opentelemetry.util.re",
        )
    ]
    handlers, levels = root.handlers[:], {logger: logger.level for logger in (root, *named)}
    root.handlers = []
    yield root
    root.handlers = handlers
    for logger, level in levels.items():
        logger.setLevel(level)


def written(root: logging.Logger, level: str, form: str) -> io.StringIO:
    """What is logged from here on."""
    set_up(level, form)
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    handler.setStream(stream)
    return stream


def record(
    at: float, name: str = "aiokafka.client", message: str = "Node %s is away", **more: object
) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": name, "msg": message, "args": ("1",), "levelno": logging.WARNING, **more})
    made.created = at
    return made


def told(seldom: RateLimitFilter, *records: logging.LogRecord) -> list[str]:
    return [record.getMessage() for record in records if seldom.filter(record)]


def test_the_same_line_comes_once_in_a_while() -> None:
    """And says how many were held back, whatever was filled in; then it is counted anew."""
    seldom = RateLimitFilter("aiokafka", 10)
    records = [record(at, args=(str(at),)) for at in (0, 1, 9, 10, 12, 30, 41)]
    assert told(seldom, *records) == [
        "Node 0 is away",
        "Node 10 is away (and 2 more like it)",
        "Node 30 is away (and 1 more like it)",
        "Node 41 is away",
    ]


def test_other_lines_pass() -> None:
    """Of another template, of another of its loggers, below WARNING, and those of everybody else."""
    seldom = RateLimitFilter("aiokafka", 10)
    others = [
        {},
        {"message": "Another %s"},
        {"name": "aiokafka.conn"},
        *[{"levelno": logging.INFO, "message": "Offset %s is gone"}] * 2,
        *[{"name": "streamer.kafka.producer"}] * 2,
        *[{"name": "aiokafkaesque"}] * 2,
    ]
    records = [record(0.5, **more) for more in others]  # type: ignore[arg-type]
    assert len(told(seldom, *records)) == len(others)


def test_a_clock_set_back_silences_nobody() -> None:
    """The line that comes then is told."""
    assert len(told(RateLimitFilter("aiokafka", 10), record(1_000_000), record(5))) == 2


def test_what_is_remembered_is_bounded() -> None:
    """A library that fills in its lines by itself makes each of a kind of its own."""
    seldom = RateLimitFilter("aiokafka", 10)
    records = [record(0, message=f"Node {number} is away", args=()) for number in range(10_000)]
    assert len(told(seldom, *records)) == 10_000
    assert len(seldom._templates) < 1_000


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_flood_of_the_library_is_a_line_of_the_log(root: logging.Logger, form: str) -> None:
    """Percent signs in what is filled in do no harm; our own lines all come."""
    log = written(root, "INFO", form)
    for _ in range(100):
        logging.getLogger("aiokafka.conn").error("Failed: %s", "100 %s")
        logging.getLogger("streamer.pipeline.pipeline").info("here")
    lines = log.getvalue().splitlines()
    assert sum("Failed: 100 %s" in line for line in lines) == 1
    assert sum("here" in line for line in lines) == 100
    if form == "json":
        assert json.loads(lines[0])["message"] == "Failed: 100 %s"


def test_offsets_that_are_gone_are_told_one_by_one(root: logging.Logger) -> None:
    """At INFO, by aiokafka's fetcher: each is of another partition, whose records nobody will read."""
    log = written(root, "INFO", "text")
    for partition in range(3):
        logging.getLogger("aiokafka.consumer.fetcher").info("Offset is out of range for partition %s", partition)
        logging.getLogger("aiokafka.cluster").info("not of interest")
    assert [line[-1] for line in log.getvalue().splitlines()] == ["0", "1", "2"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_name_from_outside_forges_a_line(root: logging.Logger, form: str) -> None:
    """Line breaks, escape sequences, BiDi overrides and halves of surrogate pairs are shown as escapes."""
    stream = written(root, "INFO", form)
    logging.getLogger("streamer").error("no such file: %s", "a\x1b[2J\n2026 ERROR forged\u202e\udce9")
    lines = stream.getvalue().split("\n")
    assert lines[1:] == [""]
    message = json.loads(lines[0])["message"] if form == "json" else lines[0]
    assert message.endswith("no such file: a\\x1b[2J\\n2026 ERROR forged\\u202e\\xe9")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_stays_lines(root: logging.Logger, form: str) -> None:
    """What is in each of them is printable."""
    stream = written(root, "INFO", form)
    try:
        raise FileNotFoundError(2, "no such file", "a\x1b[2J\udce9\u202e")
    except FileNotFoundError:
        logging.getLogger("streamer").exception("failed")
    text = json.loads(stream.getvalue())["exception"] if form == "json" else stream.getvalue()
    assert "Traceback" in text and text.count("\n") >= 2
    assert all(line.isprintable() for line in text.split("\n"))


def test_credentials_in_a_url_are_not_logged(root: logging.Logger) -> None:
    """Whichever library quotes it."""
    stream = written(root, "INFO", "text")
    logging.getLogger("urllib3").warning("cannot reach %s", "https://ann:s3cret@collector:4318/v1")
    assert "cannot reach https://collector:4318/v1" in stream.getvalue()


def test_headers_of_the_collector_are_not_logged(root: logging.Logger) -> None:
    """OpenTelemetry quotes those that it cannot read, and they hold credentials."""
    stream = written(root, "DEBUG", "text")
    logging.getLogger("opentelemetry.util.re").warning("Header format invalid: %s", "authorization s3cret")
    assert stream.getvalue() == ""
