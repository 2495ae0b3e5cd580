"""The pages, and what they ask for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer.dashboard import access
from streamer.dashboard import charts as series
from streamer.dashboard.access import Access
from streamer.dashboard.queue import Decision
from streamer.dashboard.reviews import ReviewView
from streamer.dashboard.session import events
from streamer.dashboard.state import DashboardState

STATIC = Path(__file__).with_name("static")
_STREAMS = 200  # Pages open at a time.
_BODY_BYTES = 8192
_WRONG_TOKEN_SECONDS = 0.5
_OPEN = ("/login", "/static/", "/health")  # Without a token.

Publish = Callable[[ReviewView, Decision | None], Awaitable[None]]


class PublishFailed(Exception):
    """A verdict is not in the topic; the message says why."""


def application(state: DashboardState, guard: Access, publish: Publish) -> Starlette:
    """The dashboard. `publish` puts a verdict, or its undo, into the verdict topic and raises PublishFailed."""
    pages = Pages(state, guard, publish)
    return Starlette(
        routes=[
            *(Route(path, pages.page) for path in ("/", "/groups", "/queue", "/system")),
            Route("/login", pages.login, methods=["GET", "POST"]),
            Route("/logout", pages.logout, methods=["POST"]),
            Route("/health", pages.health),
            Route("/api/session", pages.session),
            Route("/api/events", pages.events, methods=["GET"]),
            Route("/api/verdict", pages.decision, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, guard=guard)],
    )


class Guard:
    """Turns away who may not see the dashboard, and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, guard: Access) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI call."""
        if scope["type"] != "http":
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in access.HEADERS.items():
                    headers[name] = value
                if not scope["path"].startswith("/static/"):
                    headers["cache-control"] = "no-store"
                else:
                    headers["cache-control"] = "no-cache"
            await send(message)

        refused = self._refused(HTTPConnection(scope))
        await (refused or self._app)(scope, receive, secured)

    def _refused(self, request: HTTPConnection) -> Response | None:
        guard, path = self._guard, request.url.path
        if not guard.right_host(request.headers):
            return PlainTextResponse("This host name is not one of the dashboard's.\n", 421)
        if request.scope["method"] not in ("GET", "HEAD") and not guard.same_origin(request.headers):
            return PlainTextResponse("This did not come from a page of the dashboard.\n", 403)
        if path.startswith(_OPEN) or guard.admitted(request.cookies.get(access.COOKIE), time.time()):
            return None
        if path.startswith("/api/"):
            return _error(401, "Log in first.")
        return RedirectResponse("/login", 303)


class Pages:
    """The routes' endpoints."""

    def __init__(self, state: DashboardState, guard: Access, publish: Publish) -> None:
        self._state = state
        self._guard = guard
        self._publish = publish

    async def page(self, _: Request) -> Response:
        """One file for all pages: which one it is, its address says."""
        return FileResponse(STATIC / "index.html")

    async def health(self, _: Request) -> Response:
        """Alive; what is away, the pages say."""
        return PlainTextResponse("alive\n")

    async def session(self, _: Request) -> Response:
        """Whether this browser is still admitted: who is not does not come here."""
        return Response(status_code=204)

    async def login(self, request: Request) -> Response:
        """Ask for the token; the right one gives a cookie."""
        if request.method != "POST":
            return FileResponse(STATIC / "login.html")
        form = parse_qs((await _body(request)).decode(errors="replace"))
        if not self._guard.right_token(form.get("token", [""])[0]):
            await asyncio.sleep(_WRONG_TOKEN_SECONDS)
            return RedirectResponse("/login?wrong", 303)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            access.COOKIE,
            self._guard.session(time.time()),
            max_age=access.SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    async def logout(self, _: Request) -> Response:
        """Forget the cookie."""
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(access.COOKIE, httponly=True, samesite="strict")
        return answer

    async def events(self, request: Request) -> Response:
        """The stream of a page; its parameters are those of the page's address."""
        try:
            query = series.page_query(request.query_params)
        except series.InvalidQuery as wrong:
            return _error(400, f"What the address says of {wrong} means nothing.")
        if self._state.streams >= _STREAMS:
            return _error(503, "Too many pages are open.")
        return StreamingResponse(events(self._state, query), media_type="text/event-stream")

    async def decision(self, request: Request) -> Response:
        """Say what becomes of a review, or take it back: {"id", "action": "allow" | "block" | null, "label", "by"}.

        409 where somebody else has said something meanwhile, 503 where Kafka does not take it.
        """
        try:
            body: dict[str, Any] = orjson.loads(await _body(request))
            identity, action, label, by = body["id"], body["action"], body.get("label"), body.get("by", "")
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return _error(400, "A verdict is a JSON object with id and action.")
        known = (None, "allow", "block"), (None, "positive", "negative")
        if not isinstance(identity, str) or not isinstance(by, str) or action not in known[0] or label not in known[1]:
            return _error(400, "A verdict's id and by are strings, its action allow, block or null.")
        queue = self._state.queue
        item = queue.find(identity) if queue is not None else None
        if queue is None or item is None:
            return _error(404, "This review is not in the queue any more.")
        before = queue.decision(identity)
        if action is not None and before is not None:
            return Response(
                orjson.dumps({"error": "Somebody has decided meanwhile.", "verdict": before.as_json()}),
                409,
                media_type="application/json",
            )
        decision = (
            None
            if action is None
            else Decision(action, label, by.strip()[:100] or "moderator", int(time.time() * 1000))
        )
        try:
            await self._publish(item, decision)
        except PublishFailed as error:
            return _error(503, f"The verdict was not saved: {error}")
        return Response(b"{}", media_type="application/json")


async def _body(request: Request) -> bytes:
    """The body of a request; nothing of one that is too large."""
    body = b""
    with contextlib.suppress(Exception):  # The client has gone: nobody reads what we answer.
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY_BYTES:
                return b""
    return body


def _error(status: int, message: str) -> Response:
    return Response(orjson.dumps({"error": message}), status, media_type="application/json")
