"""The dashboard as a process, and what it reads of a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from streamer.dashboard import collectors
from streamer.dashboard.charts import PageQuery, rows
from streamer.dashboard.queue import Queue
from streamer.dashboard.reviews import ReviewFilter, read_review
from streamer.dashboard.serving import running
from streamer.dashboard.state import DashboardState
from streamer.dashboard.workers import Worker, Workers
from streamer.events import TopicPartition
from streamer.kafka import BrokerUnreachable, TopicMissing
from streamer.settings import SettingsError, load
from streamer.trends import Trends
from tests.dashboard import feed
from tests.dashboard.conftest import Stage

SOURCE = TopicPartition("reviews", 0)

# Tests here cancel what follows topics, wherever it is; aiokafka forgets a connection that it was opening then.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What a client of aiokafka's leaves open, that was cancelled while it connected, is told of here and ignored."""
    yield
    gc.collect()


def run(stage: Stage, **changes: str) -> subprocess.CompletedProcess[str]:
    """`streamer dashboard`, which is to end by itself."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    environment = {
        "STREAMER_KAFKA__BOOTSTRAP_SERVERS": stage.bootstrap,
        "STREAMER_OUTPUT__TOPIC": stage.labelled,
        "STREAMER_TRENDS__TOPIC": stage.trends,
        "STREAMER_MODERATION__REVIEW_TOPIC": stage.review,
        "STREAMER_MODERATION__VERDICT_TOPIC": stage.verdicts,
        "STREAMER_DASHBOARD__PORT": "0",
    }
    return subprocess.run(
        [sys.executable, "-m", "streamer", "dashboard"],
        env=inherited | environment | changes,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


async def test_it_ends_in_order_on_a_signal(stage: Stage, tmp_path: Path) -> None:
    """With its address told, and exit code 0."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "streamer",
        "dashboard",
        env=inherited
        | {
            "STREAMER_KAFKA__BOOTSTRAP_SERVERS": stage.bootstrap,
            "STREAMER_OUTPUT__TOPIC": stage.labelled,
            "STREAMER_TRENDS__TOPIC": stage.trends,
            "STREAMER_DASHBOARD__PORT": "0",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    on_ready = await process.stdout.readline()
    assert on_ready.startswith(b"The dashboard is on http://127.0.0.1:")
    process.terminate()
    _, complaints = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complaints
    assert b"Traceback" not in complaints
    assert b"torch" not in complaints


def test_a_missing_topic_ends_it_with_2(stage: Stage) -> None:
    """Named; by the command line."""
    ended = run(stage, STREAMER_TRENDS__TOPIC="no-such-topic")
    assert (ended.returncode, "no-such-topic" in ended.stderr) == (2, True)


async def test_it_says_what_it_cannot_begin_with(stage: Stage) -> None:
    """Half of moderation's topics, no broker, an address in use, reviews for a whole network."""
    with pytest.raises(TopicMissing, match="no-such-topic"):
        async with running(stage.settings().model_copy(update={"moderation": _without(stage)})):
            pass
    away = stage.settings().model_copy(update={"kafka": load({"kafka": {"bootstrap_servers": "127.0.0.1:1"}}).kafka})
    with pytest.raises(BrokerUnreachable):
        async with running(away):
            pass
    for host in ("0.0.0.0", "::", "192.0.2.1"):  # noqa: S104
        with pytest.raises(SettingsError, match=r"dashboard\.token"):
            async with running(stage.settings(host=host)):
                pass


def _without(stage: Stage) -> object:
    return load({"moderation": {"review_topic": stage.review, "verdict_topic": "no-such-topic"}}).moderation


def state(**changes: object) -> DashboardState:
    made = DashboardState(Trends(), Workers([]), Queue())
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@contextlib.asynccontextmanager
async def following(*given: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """These coroutines, until the block ends."""
    tasks = [asyncio.create_task(one) for one in given]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.05)


async def test_the_past_is_read_at_the_start(stage: Stage) -> None:
    """Counts, held reviews, verdicts and the latest results; twice over, nothing counts twice."""
    events = [feed.event(number, text=f"past {number}") for number in range(100)]
    await stage.label(*events)
    await stage.hold(*events[:3])
    settings = stage.settings()
    made = state()
    for turn in range(2):
        tasks = (
            collectors.trends(made, settings.kafka, stage.trends, 60),
            collectors.latest(made, settings.kafka, stage.labelled, partial(read_review, text_field="text")),
            collectors.queue(
                made, settings.kafka, (stage.review, stage.verdicts), 100, partial(read_review, text_field="text")
            ),
        )
        async with following(*tasks):
            await until(lambda: made.trends.statistics.reviews == 100 and made.latest.end >= 60)
            await until(lambda: made.status(0.0)["open"] == 3)
            await until(lambda: made.replayed == {})
            if turn:
                await until(lambda: made.trends.statistics.repeated == 1)
                await asyncio.sleep(1)  # The others are at it too; nothing tells that they find nothing new.
    _, points = rows(made.trends, PageQuery(), time.time(), ("negative",))
    assert sum(point[2] for point in points) == 100
    newest = {found.name for found in made.latest.newest(ReviewFilter(), 100)}
    assert len(newest) == made.latest.end == 60
    assert "r99" in newest


async def test_a_flood_is_sampled(stage: Stage) -> None:
    """The newest are shown in time, whatever is in between, and the rate is the true one."""
    made, settings = state(), stage.settings()
    events = [feed.result(feed.event(number, text=f"flood {number}")) for number in range(500)]
    async with following(
        collectors.latest(made, settings.kafka, stage.labelled, partial(read_review, text_field="text"))
    ):
        await until(lambda: made.rate.value() == 0 and "results" not in made.faults)
        await asyncio.sleep(1)
        await stage.put(stage.labelled, *(events * 40))
        await stage.put(stage.labelled, feed.result(feed.event(7777, text="the last one")))
        await until(lambda: any(found.name == "r7777" for found in made.latest.newest(ReviewFilter(), 1000)))
        assert made.latest.end < 10_000
        assert made.rate.value() > 500


async def test_a_topic_that_is_away_is_a_fault_that_passes() -> None:
    """It is told, tried again, and gone when it is back."""
    made, tries = state(), 0

    async def failing() -> None:
        nonlocal tries
        tries += 1
        if tries < 2:
            raise TimeoutError
        made.faults.pop("x")
        await asyncio.Event().wait()

    async with following(collectors.retry_forever(made, "x", failing)):
        await until(lambda: made.faults == {"x": "Kafka does not answer"})
        assert made.status(0.0)["faults"] == ["Kafka does not answer"]
        await until(lambda: made.faults == {})


async def test_workers_are_asked_for_their_metrics() -> None:
    """Those that answer, those that do not, and those that answer nonsense."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'streamer_records_total{outcome="labelled"} 5.0\n' if self.path == "/metrics" else b'x{y="'
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        good = Worker(f"http://127.0.0.1:{server.server_port}")
        odd, away = Worker(f"{good.url}/else"), Worker("http://127.0.0.1:1")
        made = state(workers=Workers([good, odd, away]))
        async with following(collectors.workers(made)):
            await until(lambda: made.workers.version >= 2)
        server.shutdown()
    assert good.as_json()["records"] == {"labelled": 5.0}
    assert odd.error
    assert away.error == "Connection refused"
