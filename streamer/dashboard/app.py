"""The routes: the pages, and the requests that they send."""

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

from streamer.dashboard.access import COOKIE, HEADERS, SESSION_SECONDS, Access
from streamer.dashboard.charts import InvalidQuery, page_query
from streamer.dashboard.queue import Decision
from streamer.dashboard.reviews import ReviewView
from streamer.dashboard.session import event_stream
from streamer.dashboard.state import DashboardState
from streamer.labels import UNCERTAIN

STATIC = Path(__file__).with_name("static")
_MAX_STREAMS = 200  # Pages open at the same time.
_MAX_BODY_BYTES = 8192
_NAME_CHARACTERS = 100
_WRONG_TOKEN_SECONDS = 0.5
_PUBLIC = ("/login", "/static/", "/health")  # Without a token.

Publish = Callable[[ReviewView, Decision | None], Awaitable[None]]


class PublishFailed(Exception):
    """A decision was not published. The message gives the reason."""


def application(state: DashboardState, access: Access, publish: Publish) -> Starlette:
    """The dashboard. `publish` writes a decision, or its undo, to the verdict topic and may raise PublishFailed."""
    endpoints = Endpoints(state, access, publish)
    return Starlette(
        routes=[
            *(Route(path, endpoints.page) for path in ("/", "/groups", "/queue", "/system")),
            Route("/login", endpoints.login, methods=["GET", "POST"]),
            Route("/logout", endpoints.logout, methods=["POST"]),
            Route("/health", endpoints.health),
            Route("/api/session", endpoints.session),
            Route("/api/events", endpoints.events, methods=["GET"]),
            Route("/api/verdict", endpoints.decision, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(AccessMiddleware, access=access)],
    )


class AccessMiddleware:
    """Refuses requests without access, and adds the security headers to every response."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI call."""
        if scope["type"] != "http":
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers["cache-control"] = "no-cache" if scope["path"].startswith("/static/") else "no-store"
            await send(message)

        refusal = self._refusal(HTTPConnection(scope))
        await (refusal or self._app)(scope, receive, send_secured)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        access, path = self._access, request.url.path
        if not access.accepts_host(request.headers):
            return PlainTextResponse("This is not a host name of the dashboard.\n", 421)
        if request.scope["method"] not in ("GET", "HEAD") and not access.same_origin(request.headers):
            return PlainTextResponse("This request did not come from a page of the dashboard.\n", 403)
        if path.startswith(_PUBLIC) or access.accepts_cookie(request.cookies.get(COOKIE), time.time()):
            return None
        if path.startswith("/api/"):
            return _error(401, "Log in first.")
        return RedirectResponse("/login", 303)


class Endpoints:
    """The handlers of the routes."""

    def __init__(self, state: DashboardState, access: Access, publish: Publish) -> None:
        self._state = state
        self._access = access
        self._publish = publish

    async def page(self, _: Request) -> Response:
        """One file for all pages: the address selects the page."""
        return FileResponse(STATIC / "index.html")

    async def health(self, _: Request) -> Response:
        """Always alive; the pages show what cannot be reached."""
        return PlainTextResponse("alive\n")

    async def session(self, _: Request) -> Response:
        """204 while this browser is logged in; otherwise AccessMiddleware answers."""
        return Response(status_code=204)

    async def login(self, request: Request) -> Response:
        """Ask for the token, and exchange the right one for a cookie."""
        if request.method != "POST":
            return FileResponse(STATIC / "login.html")
        form = parse_qs((await _body(request)).decode(errors="replace"))
        if not self._access.accepts_token(form.get("token", [""])[0]):
            await asyncio.sleep(_WRONG_TOKEN_SECONDS)
            return RedirectResponse("/login?wrong", 303)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            self._access.new_cookie(time.time()),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    async def logout(self, _: Request) -> Response:
        """Forget the cookie."""
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    async def events(self, request: Request) -> Response:
        """The events of a page, with the parameters of the page's address."""
        try:
            query = page_query(request.query_params)
        except InvalidQuery as error:
            return _error(400, f"The address has an invalid value for {error}.")
        if self._state.streams >= _MAX_STREAMS:
            return _error(503, "Too many pages are open.")
        return StreamingResponse(event_stream(self._state, query), media_type="text/event-stream")

    async def decision(self, request: Request) -> Response:
        """Decide on a review, or undo the decision: {"id", "action": "allow" | "block" | null, "label", "by"}.

        409 if somebody else has decided in the meantime, 503 if Kafka does not accept it.
        """
        try:
            body: dict[str, Any] = orjson.loads(await _body(request))
            identity, action, label, by = body["id"], body["action"], body.get("label"), body.get("by", "")
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return _error(400, "A decision is a JSON object with id and action.")
        if not isinstance(identity, str) or not isinstance(by, str) or action not in (None, "allow", "block"):
            return _error(400, "A decision's id and by are strings, its action allow, block or null.")
        if label is not None and (label == UNCERTAIN or label not in self._state.labels()):
            return _error(400, "A decision's label is one of the model's labels.")
        queue = self._state.queue
        review = queue.find(identity) if queue is not None else None
        if queue is None or review is None:
            return _error(404, "This review is no longer in the queue.")
        before = queue.decision(identity)
        if action is not None and before is not None:
            return _json(409, {"error": "Somebody else has already decided.", "verdict": before.as_json()})
        decision = None
        if action is not None:
            name = by.strip()[:_NAME_CHARACTERS] or "moderator"
            decision = Decision(action, label, name, int(time.time() * 1000))
        try:
            await self._publish(review, decision)
        except PublishFailed as error:
            return _error(503, f"The decision was not saved: {error}")
        return _json(200, {})


async def _body(request: Request) -> bytes:
    """The body of a request; empty if it is too large."""
    body = b""
    with contextlib.suppress(Exception):  # The client has disconnected: nobody reads the response.
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_BODY_BYTES:
                return b""
    return body


def _error(status: int, message: str) -> Response:
    return _json(status, {"error": message})


def _json(status: int, content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
