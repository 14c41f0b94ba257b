"""The live page as an ASGI application: the page, its stream of events, single receipts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from inferprint.receipt import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from inferprint_exporters.live.exporter import LiveExporter

__all__ = ["STATIC", "page_app"]

STATIC = Path(__file__).parent / "static"

LOOK_S = 0.1
"""How often a stream looks for new receipts."""
STATE_S = 1.0
STREAM_S = 15.0
"""A stream ends after so long, and the page goes on with the next one where it ended: a server
that waits for its connections before it stops does not wait for long."""
MOST_ROWS = 500
"""Rows in one event; a page that opens late gets as many events as it takes."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def page_app(live: LiveExporter, hosts: Sequence[str] = ("*",)) -> Starlette:
    """The page of an exporter.

    Args:
        live: has the receipts.
        hosts: names that it may be asked by. All: whoever mounts it sees to that.
    """

    async def page(_request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def stream(request: Request) -> Response:
        last = _last(request.headers.get("last-event-id", ""), live.id)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        media = "text/event-stream"
        return StreamingResponse(events(live, last), media_type=media, headers=headers)

    async def receipt(request: Request) -> Response:
        given = request.path_params
        found = live.receipt(given["number"]) if given["server"] == live.id else None
        if found is None:
            return JSONResponse({"error": "this receipt is not kept any more"}, 404)
        return JSONResponse(finite(found.to_dict()))

    return Starlette(
        routes=[
            Route("/", page),
            Route("/events", stream),
            Route("/receipts/{server}/{number:int}", receipt),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[
            Middleware(_Headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        ],
    )


async def events(live: LiveExporter, last: int) -> AsyncIterator[str]:
    """Server-sent events: ``hello`` and ``past`` at once, ``receipts`` as they settle and
    ``state`` every second.

    Args:
        live: has the receipts.
        last: the number of the last row that the page has; 0: none.
    """
    yield _event("hello", live.hello()) + "retry: 500\n\n"
    yield _event("past", live.past())
    until_s = time.monotonic() + STREAM_S
    next_s = 0.0
    while not live.closed and (now_s := time.monotonic()) < until_s:
        last, rows = live.rows_after(last, MOST_ROWS)
        if rows:
            yield _event("receipts", f"[{','.join(rows)}]", f"{live.id}-{last}")
        if now_s >= next_s:
            next_s = now_s + STATE_S
            yield _event("state", await run_sync(live.state))  # it may wait for the books
        await anyio.sleep(0.0 if len(rows) == MOST_ROWS else LOOK_S)


def _event(name: str, data: str, event_id: str = "") -> str:
    named = f"event: {name}\n" + (f"id: {event_id}\n" if event_id else "")
    return f"{named}data: {data}\n\n"  # JSON has no line breaks


def _last(event_id: str, server: str) -> int:
    """The last row that a page has of this server; 0: none, or of another."""
    name, _, number = event_id.rpartition("-")
    return int(number) if name == server and number.isdecimal() else 0


def finite(value: object) -> object:
    """Plain data in which what is no number is None, for JSON has no word for it."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return plain(value)


class _Headers:
    """Adds the headers that keep the page to itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        await self._app(scope, receive, with_headers)
