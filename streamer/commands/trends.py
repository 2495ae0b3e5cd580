"""`streamer trends`: shows windows of the trends topic as they close, groups that change, and alerts."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from streamer.events import Message
from streamer.formats.cloudevents import cloudevent_headers
from streamer.formats.times import rfc3339
from streamer.kafka import Publisher, TopicReader
from streamer.models.artefact import known_labels
from streamer.observe.terminal import until_signal
from streamer.printable import spaced
from streamer.settings import Settings
from streamer.trends import ALERT_TYPE, Alert, Change, Trends, Window, trends_of

_POLL_SECONDS = 0.25
_ALERTS_SHOWN = 5


async def follow(
    settings: Settings,
    *,
    since_minutes: float | None = None,
    size: int = 60,
    groups: int = 10,
    limit: int | None = None,
    alert_topic: str | None = None,
    console: Console | None = None,
) -> int:
    """Follow the trends topic until SIGINT or SIGTERM, or until `limit` windows were shown; returns their number.

    1. Merge all counts of the last `since_minutes` before checking any minute for alerts.
    2. Merge new counts, and show windows of `size` seconds as they close: a table on a terminal, otherwise a line of
       JSON for each window, with its top groups, and for each alert.
    3. Publish alerts to `alert_topic`, by default that of the settings, and wait until they are acknowledged. Their
       `ce_id` has the group and the minute, so two readers of the same counts publish the same alerts.

    Raises BrokerUnreachable, TopicMissing, PublishRefused and KafkaFault.
    """
    console = console or Console()
    started = time.time() - 60 * (since_minutes or 0)
    since_ms = None if since_minutes is None else max(0, int(started * 1000))
    alert_topic = alert_topic or settings.trends.alert_topic
    trends = trends_of(settings.trends, known_labels(settings.model.path))
    async with contextlib.AsyncExitStack() as stack:
        reader = await stack.enter_async_context(TopicReader(settings.kafka, settings.trend_topic, since_ms=since_ms))
        publisher = None
        if alert_topic is not None:
            publisher = Publisher(settings.kafka, settings.output.compression)
            await publisher.start(alert_topic)
            stack.push_async_callback(publisher.stop)
        stopping = stack.enter_context(until_signal())
        show = stack.enter_context(_screen(console, trends, size, groups))
        ends = await reader.ends()
        shown, caught_up, next_start = 0, False, -(-int(started) // size) * size
        while not stopping.is_set() and shown != limit:
            for record in await reader.poll(_POLL_SECONDS):
                trends.merge(record.value, record.timestamp / 1000)
            if not caught_up:
                caught_up = all(at >= ends[partition] for partition, at in (await reader.positions()).items())
                if not caught_up:
                    continue
            closed = trends.closed(size)
            windows = [window for window in trends.series(size, next_start, closed) if window.reviews]
            windows = windows if limit is None else windows[: limit - shown]
            next_start = max(next_start, closed)
            alerts = trends.alerts()
            if publisher is not None and alert_topic is not None and alerts:
                messages = [message(alert, alert_topic, settings.trend_topic) for alert in alerts]
                await (await publisher.send(messages))
            show(windows, alerts)
            shown += len(windows)
    return shown


def message(alert: Alert, topic: str, trend_topic: str) -> Message:
    """An alert as a CloudEvent; its time is the end of its minute."""
    ended = 1000 * (alert.window.start + 60)
    identity = f"{trend_topic}/{alert.identity}".encode()
    headers = cloudevent_headers(identity, trend_topic, ALERT_TYPE, rfc3339(ended))
    key = None if alert.group is None else alert.group.encode()
    return Message(topic, key, orjson.dumps(alert.event()), headers, time.time_ns() // 1_000_000, 0)


Show = Callable[[Sequence[Window], Sequence[Alert]], None]


@contextlib.contextmanager
def _screen(console: Console, trends: Trends, size: int, groups: int) -> Iterator[Show]:
    """A function that shows closed windows and alerts."""
    if not console.is_terminal:

        def lines(windows: Sequence[Window], alerts: Sequence[Alert]) -> None:
            for window in windows:
                console.out(_json(window_json(trends, window, size, groups)), highlight=False)
            for alert in alerts:
                console.out(_json({"alert": alert.event()}), highlight=False)

        yield lines
        return
    latest: deque[Alert] = deque(maxlen=_ALERTS_SHOWN)
    with Live(console=console, auto_refresh=False) as live:

        def board(_: Sequence[Window], alerts: Sequence[Alert]) -> None:
            latest.extend(alerts)
            live.update(_board(trends, size, groups, latest), refresh=True)

        yield board


def window_json(trends: Trends, window: Window, size: int, groups: int) -> dict[str, Any]:
    """A window with its top groups, for a line of JSON."""
    return {
        "window": rfc3339(1000 * window.start),
        "seconds": size,
        **_counts(trends, window),
        "top": [_change(trends, change) for change in trends.top(size, window.start, groups)],
        "changed": [_change(trends, change) for change in trends.top(size, window.start, groups, "change")],
    }


def _counts(trends: Trends, window: Window) -> dict[str, Any]:
    share, mean = window.share(trends.watched), window.mean_score
    return {
        **{label: window.count(label) for label in trends.labels},
        f"{trends.watched}_share": None if share is None else round(share, 6),
        "mean_score": None if mean is None else round(mean, 6),
    }


def _change(trends: Trends, change: Change) -> dict[str, Any]:
    return {
        "group": change.group,
        **_counts(trends, change.window),
        "before": change.before.reviews,
        "change": round(change.change, 2),
    }


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()


def _board(trends: Trends, size: int, groups: int, alerts: Sequence[Alert]) -> Group:
    start = trends.latest(size)
    if start is None:
        return Group(Text("no counts yet"))
    total = trends.window(size, start)
    head = Text(f"{rfc3339(1000 * start)}, {size} s: {total.reviews} reviews, {_share(trends, total)}\n")
    tables = [
        _table(trends, "most", trends.top(size, start, groups)),
        _table(trends, "moved", trends.top(size, start, groups, "change")),
    ]
    lines = [Text(_describe(alert), "green" if alert.direction == "back" else "red") for alert in alerts]
    return Group(head, *tables, *lines)


def _table(trends: Trends, title: str, changes: Sequence[Change]) -> Table:
    names = ("reviews", "before", "change", trends.watched, "mean score")
    columns = [Column(name, justify="right") for name in names]
    table = Table(Column(title, no_wrap=True, overflow="ellipsis", ratio=1), *columns, box=None, expand=True)
    for change in changes:
        window, mean = change.window, change.window.mean_score
        numbers = (
            str(window.reviews),
            str(change.before.reviews),
            f"{change.change:+.1f}",
            _percent(window.share(trends.watched)),
        )
        table.add_row(Text(spaced(change.group)), *numbers, "" if mean is None else f"{mean:.3f}")
    return table


def _share(trends: Trends, window: Window) -> str:
    return f"{_percent(window.share(trends.watched))} {trends.watched}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _describe(alert: Alert) -> str:
    who = "all reviews" if alert.group is None else spaced(alert.group)
    where = "back within" if alert.direction == "back" else alert.direction
    at = rfc3339(1000 * alert.window.start)
    return f"{at} {who}: {alert.share:.0%} {spaced(alert.label)}, {where} {alert.low:.0%} to {alert.high:.0%}"
