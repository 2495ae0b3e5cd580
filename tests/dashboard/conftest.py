"""A dashboard on topics of its own, and a browser to look at it.

Chromium is the system's (on the PATH), else Playwright's own; without either, tests with a browser are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from streamer.dashboard.serving import running
from streamer.events import TopicPartition
from streamer.settings import Settings, load
from tests.brokers import Cluster, MakeTopic
from tests.checkers import Record
from tests.dashboard import feed
from tests.reading import Item, fill, read_all

_ARGUMENTS = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
_PATIENCE_MS = 45_000  # For what comes at once, unless the machine has much else to do.


@dataclass
class Stage:
    """The topics of a dashboard, and what workers would put into them."""

    bootstrap: str
    labelled: str
    trends: str
    review: str
    verdicts: str

    def settings(self, **dashboard: Any) -> Settings:
        """Of a dashboard on a free port."""
        return load(
            {
                "kafka": {"bootstrap_servers": self.bootstrap},
                "input": {"topic": f"{self.labelled}.input"},
                "output": {"topic": self.labelled},
                "trends": {"enabled": True, "topic": self.trends},
                "moderation": {"review_topic": self.review, "verdict_topic": self.verdicts},
                "dashboard": {"port": 0, "workers": [], **dashboard},
            }
        )

    async def put(self, topic: str, *items: Item) -> None:
        """Write records, and wait until they are there."""
        await asyncio.to_thread(fill, self.bootstrap, topic, items)

    async def label(self, *events: dict[str, Any], begin: int = 0) -> None:
        """Results and their counts; `begin` is the offset of their source."""
        await self.put(self.labelled, *(feed.result(event) for event in events))
        await self.put(self.trends, feed.counts(events, begin, TopicPartition("reviews", 0)))

    async def hold(self, *events: dict[str, Any]) -> None:
        """Reviews that rules have held back."""
        held = (event | {"action": event.get("action", "review"), "rule": "doubtful"} for event in events)
        await self.put(self.review, *(feed.result(event) for event in held))

    async def read_decision(self, expected: int) -> list[Record]:
        """The verdict topic, once there are so many records."""
        return await asyncio.to_thread(read_all, self.bootstrap, self.verdicts, expected, timeout_s=20)


@pytest.fixture
def stage(cluster: Cluster, make_topic: MakeTopic) -> Stage:
    return Stage(cluster.bootstrap, make_topic(2), make_topic(1), make_topic(1), make_topic(1))


@pytest_asyncio.fixture(loop_scope="session")
async def dashboard(stage: Stage) -> AsyncIterator[str]:
    """The address of a dashboard on the stage."""
    async with running(stage.settings()) as address:
        yield address


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        own = Path(playwright.chromium.executable_path)
        if found is None and not await asyncio.to_thread(own.exists):
            pytest.skip("no Chromium: apt install chromium, or playwright install chromium")
        browser = await playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        expect.set_options(timeout=_PATIENCE_MS)
        yield browser
        await browser.close()


OpenPage = Callable[..., "contextlib.AbstractAsyncContextManager[Page]"]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens an address in a browser window of its own; errors in the page fail the test."""
    wrong: list[str] = []

    @contextlib.asynccontextmanager
    async def opened(address: str, **context: Any) -> AsyncIterator[Page]:
        given = {"viewport": {"width": 1280, "height": 800}, **context}
        async with await browser.new_context(**given) as window:
            page = await window.new_page()
            page.set_default_timeout(_PATIENCE_MS)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on(
                "console",
                lambda read_decision: (
                    wrong.append(read_decision.text) if "Content Security" in read_decision.text else None
                ),
            )
            await page.goto(address, wait_until="commit")
            yield page

    yield opened
    assert wrong == []
