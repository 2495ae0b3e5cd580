"""The routes: who is let in, what is answered, what is published."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from streamer.dashboard.access import Access
from streamer.dashboard.app import STATIC, PublishFailed, application
from streamer.dashboard.charts import PageQuery
from streamer.dashboard.queue import Decision, Queue
from streamer.dashboard.reviews import ReviewFilter, ReviewView, read_review
from streamer.dashboard.session import PageSession, event_stream
from streamer.dashboard.state import DashboardState
from streamer.dashboard.workers import Workers
from streamer.events import Record, TopicPartition
from streamer.trends import Trends
from tests.dashboard import feed

BASE = "http://localhost:8090"
OURS = {"origin": BASE}


class Topic:
    """Stands for the verdict topic."""

    def __init__(self) -> None:
        self.read_decision: list[tuple[str, Decision | None]] = []
        self.away = False

    async def publish(self, item: ReviewView, read_decision: Decision | None) -> None:
        if self.away:
            raise PublishFailed("Kafka does not answer.")
        self.read_decision.append((item.id, read_decision))


def held(number: int) -> ReviewView:
    found = read_review(Record("t", 0, number, number, b"k", orjson.dumps(feed.event(number, text="held"))), "text")
    assert found is not None
    return found


def state(moderated: bool = True) -> DashboardState:
    made = DashboardState(Trends(), Workers([]), Queue() if moderated else None)
    if made.queue is not None:
        made.queue.add(held(1))
    return made


@contextlib.asynccontextmanager
async def client(
    made: DashboardState, topic: Topic, access: Access | None = None, base: str = BASE
) -> AsyncIterator[httpx.AsyncClient]:
    app = application(made, access or Access("127.0.0.1"), topic.publish)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=base) as found:
        yield found


@pytest.mark.parametrize(
    "path", ["/", "/groups", "/queue", "/system", "/login", "/static/app.js", "/health", "/nothing"]
)
async def test_every_answer_has_the_security_headers(path: str) -> None:
    """Nothing comes from anywhere else, and nobody frames the pages."""
    async with client(state(), Topic()) as pages:
        answer = await pages.get(path)
    assert answer.status_code == (404 if path == "/nothing" else 200)
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")


@pytest.mark.parametrize("base", ["http://evil.example:8090", "http://127.0.0.1.evil.example"])
async def test_a_rebound_name_is_turned_away(base: str) -> None:
    """On loopback, whatever it asks for."""
    async with client(state(), Topic(), base=base) as pages:
        for path in ("/", "/api/session", "/static/app.js"):
            assert (await pages.get(path)).status_code == 421


async def test_without_the_token_there_is_nothing_to_see() -> None:
    """Pages lead to the login, the rest is refused; static files hold no reviews."""
    topic = Topic()
    async with client(state(), topic, Access("127.0.0.1", "t" * 20)) as pages:
        assert (await pages.get("/queue")).headers["location"] == "/login"
        for path in ("/api/events", "/api/session"):
            assert (await pages.get(path)).status_code == 401
        body = {"id": "reviews/0/1", "action": "block"}
        assert (await pages.post("/api/verdict", json=body, headers=OURS)).status_code == 401
        assert (await pages.get("/static/style.css")).status_code == 200
        wrong = await pages.post("/login", content="token=wrong", headers=OURS)
        assert (wrong.headers["location"], "set-cookie" in wrong.headers) == ("/login?wrong", False)
        right = await pages.post("/login", content=f"token={'t' * 20}", headers=OURS)
        cookie = right.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert (await pages.get("/api/session")).status_code == 204
        await pages.post("/logout", headers=OURS)
        assert (await pages.get("/api/session")).status_code == 401
    assert topic.read_decision == []


@pytest.mark.parametrize("headers", [{}, {"origin": "http://evil.example"}, {**OURS, "sec-fetch-site": "cross-site"}])
async def test_another_page_cannot_post(headers: dict[str, str]) -> None:
    """Neither a verdict nor a login."""
    topic = Topic()
    async with client(state(), topic) as pages:
        for path in ("/api/verdict", "/login", "/logout"):
            answer = await pages.post(path, json={"id": "reviews/0/1", "action": "block"}, headers=headers)
            assert answer.status_code == 403
    assert topic.read_decision == []


async def test_a_verdict_is_published() -> None:
    """With whoever says so; an undo is none."""
    topic = Topic()
    async with client(state(), topic) as pages:
        body = {"id": "reviews/0/1", "action": "block", "label": "negative", "by": " Ann "}
        assert (await pages.post("/api/verdict", json=body, headers=OURS)).status_code == 200
        assert (await pages.post("/api/verdict", json=body | {"action": None}, headers=OURS)).status_code == 200
        assert (await pages.post("/api/verdict", json=body | {"by": "  "}, headers=OURS)).status_code == 200
    (identity, read_decision), (_, undo), (_, nameless) = topic.read_decision
    assert identity == "reviews/0/1"
    assert read_decision is not None
    assert (read_decision.action, read_decision.label, read_decision.by) == ("block", "negative", "Ann")
    assert undo is None
    assert nameless is not None
    assert nameless.by == "moderator"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"id": "reviews/0/1"}',
        b'{"id": 7, "action": "block"}',
        b'{"id": "reviews/0/1", "action": "explode"}',
        b'{"id": "reviews/0/1", "action": ["block"]}',
        b'{"id": "reviews/0/1", "action": "block", "label": "uncertain"}',
        b'{"id": "reviews/0/1", "action": "block", "label": "unknown"}',
        b'{"id": "reviews/0/1", "action": "block", "label": ["negative"]}',
        b'{"id": "reviews/0/1", "action": "block", "by": 7}',
        b'{"id": "reviews/0/1", "action": "block", "by": "' + b"x" * 9000 + b'"}',
    ],
)
async def test_what_is_no_verdict_is_refused(body: bytes) -> None:
    """And nothing is published."""
    topic = Topic()
    async with client(state(), topic) as pages:
        answer = await pages.post("/api/verdict", content=body, headers=OURS)
    assert (answer.status_code, topic.read_decision) == (400, [])
    assert answer.json()["error"]


async def test_a_verdict_that_cannot_be_given_says_why() -> None:
    """Somebody was faster, the review is gone, Kafka is away, moderation is off."""
    topic, made = Topic(), state()
    body = {"id": "reviews/0/1", "action": "allow"}
    assert made.queue is not None
    async with client(made, topic) as pages:
        made.queue.decide("reviews/0/1", Decision("block", None, "Ann", 7))
        answer = await pages.post("/api/verdict", json=body, headers=OURS)
        assert (answer.status_code, answer.json()["verdict"]["by"]) == (409, "Ann")
        assert (await pages.post("/api/verdict", json=body | {"id": "else"}, headers=OURS)).status_code == 404
        made.queue.decide("reviews/0/1", None)
        topic.away = True
        answer = await pages.post("/api/verdict", json=body, headers=OURS)
        assert (answer.status_code, "Kafka does not answer" in answer.json()["error"]) == (503, True)
    async with client(state(moderated=False), topic) as pages:
        assert (await pages.post("/api/verdict", json=body, headers=OURS)).status_code == 404
    assert topic.read_decision == []


async def test_a_stream_is_refused_for_what_means_nothing() -> None:
    """And when there are too many."""
    made = state()
    async with client(made, Topic()) as pages:
        assert (await pages.get("/api/events?range=1y")).status_code == 400
        made.streams = 200
        assert (await pages.get("/api/events")).status_code == 503


async def test_a_stream_ends_with_the_dashboard() -> None:
    """And is counted as long as it lasts."""
    made = state()
    stream = event_stream(made, PageQuery())
    first = orjson.loads((await anext(stream)).removeprefix(b"data: "))
    assert {"status", "labels", "latest", "series", "groups"} <= first.keys()
    assert first["labels"]["names"] == ["negative", "uncertain", "positive"]
    assert made.streams == 1
    made.stopping.set()
    async with asyncio.timeout(5):
        assert [part async for part in stream] == []
    assert made.streams == 0


def test_a_page_is_sent_only_what_is_new() -> None:
    """Reviews, points of the chart, items of the queue."""
    made = state()
    assert made.queue is not None
    page, queue = PageSession(made, PageQuery()), PageSession(made, PageQuery("queue"))
    made.latest.add([held(1)])
    page.update(1000.0)
    assert [i["name"] for i in queue.update(1000.0)["queue"]["items"]] == ["r1"]
    assert "queue" not in queue.update(1000.0)
    assert "latest" not in page.update(1000.25)
    made.latest.add([held(2)])
    assert [i["name"] for i in page.update(1000.5)["latest"]] == ["r2"]
    made.queue.add(held(2))
    sent = queue.update(1000.5)["queue"]
    assert ([i["name"] for i in sent["items"]], sent["waiting"], sent["open"]) == (
        ["r2"],
        ["reviews/0/1", "reviews/0/2"],
        2,
    )


def test_a_page_is_told_of_new_labels() -> None:
    """And gets all points of the chart again, which have a number for each."""
    made = state()
    page = PageSession(made, PageQuery())
    second, source = int(time.time()), TopicPartition("reviews", 0)
    made.trends.merge(feed.counts([feed.event(1)], 1, source, second=second).value, time.time())
    assert [row[2:] for row in page.update(second)["series"]["rows"]] == [(1, 0, 0)]
    assert "labels" not in page.update(second + 1)
    labels = ("positive", "neutral", "negative", "uncertain")
    event = feed.event(2) | {"label": "neutral"}
    made.trends.merge(feed.counts([event], 2, source, second=second, labels=labels).value, time.time())
    for _ in range(3):
        parts = page.update(second + 2)
    assert parts["labels"]["names"] == ("negative", "neutral", "uncertain", "positive")
    assert (parts["series"]["whole"], [row[2:] for row in parts["series"]["rows"]]) == (True, [(1, 1, 0, 0)])


def test_a_slow_page_gets_a_sample() -> None:
    """However much has come since its last turn."""
    made = state()
    page = PageSession(made, PageQuery(wanted=ReviewFilter(label="negative")))
    page.update(1000.0)
    made.latest.add(held(number) for number in range(10_000))
    assert len(page.update(1100.0)["latest"]) == 8


def _sources() -> list[Path]:
    return [path for path in STATIC.iterdir() if path.suffix in (".js", ".html", ".css", ".svg")]


def test_the_pages_ask_nobody_else_and_write_no_markup() -> None:
    """No address of another server, no inline script or style, no way from a string to markup."""
    forbidden = (
        ".innerHTML",
        ".outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
    )
    assert len(_sources()) > 10
    for path in _sources():
        source = path.read_text()
        found: list[Any] = [word for word in forbidden if word in source]
        addresses = source.replace("http://www.w3.org/2000/svg", "").replace("https?:", "")
        found += [word for word in ("http://", "https://", "//cdn", " style=", 'onclick="') if word in addresses]
        assert found == [], path.name
