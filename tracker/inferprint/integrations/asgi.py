"""ASGI middleware: each request of one's own application is measured, and its reply says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from inferprint.integrations._middleware import REQUEST_ID, Middleware
from inferprint.request import Request
from inferprint.wire import footprint_of

__all__ = ["FootprintMiddleware"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

ENERGY = b"x-inferprint-energy-joules"


class FootprintMiddleware(Middleware[App]):
    """Measures the requests of an ASGI application.

    In a route, ``inferprint.current()`` is the request, to be told of tokens. Every reply gets
    ``x-inferprint-request-id``, and one that is not streamed ``x-inferprint-energy-joules``, an
    estimate. A status of 500 or more makes the outcome ``error``.

    Args:
        app: the application.
        model: the model's name.
        paths: the beginnings of the paths that are measured; empty: all.
        tracker: measures them; None: the process-wide one.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        request = self._request(scope["path"]) if scope["type"] == "http" else None
        if request is None:
            return await self._app(scope, receive, send)
        reply = _Reply(request, send)
        try:
            async with request:
                await self._app(scope, receive, reply.send)
                if reply.status >= 500:
                    raise _Failed
        except _Failed:
            return None
        return None


class _Failed(Exception):
    """The application answered that it has failed."""


class _Reply:
    """Puts headers into a reply: its head waits for what comes next, which tells its kind."""

    def __init__(self, request: Request, send: Send) -> None:
        self._request = request
        self._send = send
        self._head: Message | None = None
        self.status = 0

    async def send(self, message: Message) -> None:
        """Sends a message of the application."""
        if message["type"] == "http.response.start":
            self._head, self.status = message, message["status"]
            return
        if self._head is not None:
            head, self._head = self._head, None
            plain = message["type"] == "http.response.body" and not message.get("more_body")
            await self._send({**head, "headers": [*head.get("headers", ()), *self._own(plain)]})
        await self._send(message)

    def _own(self, plain: bool) -> list[tuple[bytes, bytes]]:
        own = [(REQUEST_ID.encode(), self._request.request_id.encode())]
        joules = footprint_of(self._request.estimate())["energy_joules"] if plain else None
        return own if joules is None else [*own, (ENERGY, repr(joules).encode())]
