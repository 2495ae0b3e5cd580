"""`streamer dashboard`: start-up, tasks and shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

from streamer.dashboard import collectors
from streamer.dashboard.access import Access, loopback
from streamer.dashboard.app import PublishFailed, application
from streamer.dashboard.queue import Decision, Queue
from streamer.dashboard.reviews import ReviewView, read_review
from streamer.dashboard.state import DashboardState
from streamer.dashboard.workers import Worker, Workers
from streamer.events import Message
from streamer.kafka import KafkaFault, Publisher, TopicMissing, missing_topics
from streamer.models.artefact import known_labels
from streamer.moderation.decisions import decision_on, encode, encode_undo
from streamer.observe.pages import serve
from streamer.settings import Settings, SettingsError
from streamer.trends import trends_of

log = logging.getLogger(__name__)

_PUBLISH_SECONDS = 10.0
_CLOSE_SECONDS = 3.0


async def dashboard(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve the dashboard until SIGINT or SIGTERM. Calls `on_ready` with its address once it is ready.

    Raises SettingsError, TopicMissing, BrokerUnreachable and AddressInUse.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with running(settings) as address:
        on_ready(address)
        await stopping.wait()


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[str]:
    """Runs the dashboard until the block ends; yields its address.

    1. Refuse to show reviews to a network without a token.
    2. Check that the topics exist: a misspelt name is an error at once, not a page that stays empty.
    3. Collect, and serve. From here on the pages show what cannot be reached.
    """
    chosen = settings.dashboard
    token = None if chosen.token is None else chosen.token.get_secret_value()
    if token is None and not loopback(chosen.host):
        raise SettingsError(
            f"dashboard.token (STREAMER_DASHBOARD__TOKEN): must be set when dashboard.host is {chosen.host}: "
            "reviews would be shown to a whole network"
        )
    moderated = await _moderated(settings)
    state = DashboardState(
        trends=trends_of(settings.trends, known_labels(settings.model.path)),
        workers=Workers([Worker(url) for url in chosen.workers]),
        queue=Queue(chosen.queue_size) if moderated else None,
    )
    async with contextlib.AsyncExitStack() as stack:
        publish: Callable[[ReviewView, Decision | None], object] = _refuse
        if moderated:
            decisions = DecisionPublisher(settings)
            await decisions.start()
            stack.push_async_callback(decisions.stop)
            publish = decisions.publish
        await stack.enter_async_context(_collecting(settings, state))
        access = Access(chosen.host, token)
        port = await stack.enter_async_context(
            serve(application(state, access, publish), chosen.host, chosen.port, "dashboard")  # type: ignore[arg-type]
        )
        stack.callback(state.stopping.set)
        name = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
        yield f"http://{name}:{port}"


async def _moderated(settings: Settings) -> bool:
    """Whether there is a queue. Raises BrokerUnreachable, and TopicMissing for a topic that must exist."""
    missing = await missing_topics(
        settings.kafka, settings.output.topic, settings.trend_topic, settings.review_topic, settings.verdict_topic
    )
    for topic in (settings.output.topic, settings.trend_topic):
        if topic in missing:
            raise TopicMissing(topic)
    held = [topic for topic in (settings.review_topic, settings.verdict_topic) if topic in missing]
    # With rules both must exist. Without, the dashboard's settings may simply not repeat the workers'.
    if held and (settings.moderation.rules or len(held) == 1):
        raise TopicMissing(held[0])
    return not held


@contextlib.asynccontextmanager
async def _collecting(settings: Settings, state: DashboardState) -> AsyncIterator[None]:
    """The tasks that keep the state up to date; a bug in one of them ends the block."""
    kafka, chosen = settings.kafka, settings.dashboard
    read = partial(read_review, text_field=settings.input.text_field, markup=settings.input.markup)
    topics = {
        "results": partial(collectors.latest, state, kafka, settings.output.topic, read),
        "trends": partial(collectors.trends, state, kafka, settings.trend_topic, chosen.history_minutes),
    }
    if state.queue is not None:
        held = settings.review_topic, settings.verdict_topic
        topics["queue"] = partial(collectors.queue, state, kafka, held, chosen.queue_size, read)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(collectors.retry_forever(state, name, task)) for name, task in topics.items()]
        tasks.append(group.create_task(collectors.workers(state)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _refuse(_: ReviewView, __: Decision | None) -> None:
    raise PublishFailed("moderation is off")


class DecisionPublisher:
    """Publishes moderators' decisions, with an idempotent producer."""

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._topic = settings.verdict_topic
        self._with_text = settings.moderation.verdict_text
        self._publisher = Publisher(settings.kafka, "none")

    async def start(self) -> None:
        """Connect. Raises BrokerUnreachable, and TopicMissing."""
        await self._publisher.start(self._topic)

    async def stop(self) -> None:
        """Close the connections, without waiting long for an unreachable broker."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._publisher.stop()

    async def publish(self, review: ReviewView, decision: Decision | None) -> None:
        """Publish a decision, or its undo, and wait for the acknowledgement. Raises PublishFailed.

        A message that is not acknowledged in time may still arrive: the pages show what is in the topic.
        """
        try:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                await (await self._publisher.send([self._message(review, decision)]))
        except TimeoutError:
            raise PublishFailed("Kafka does not answer.") from None
        except KafkaFault as error:
            raise PublishFailed(str(error)) from None

    def _message(self, review: ReviewView, decision: Decision | None) -> Message:
        now = int(time.time() * 1000)
        if decision is None:
            return encode_undo(self._topic, review.source, now)
        event = {name: getattr(review, name) for name in ("source", "group", "label", "score", "model", "rule")}
        text = review.text if self._with_text else None
        return encode(self._topic, decision_on(event, decision.action, decision.by, now, decision.label, text), now)
