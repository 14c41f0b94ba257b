"""The proxy as an ASGI application."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from inferprint._runtime import Tracker
from inferprint.proxy.exchange import Exchange
from inferprint.proxy.headers import by_name
from inferprint.proxy.inbox import Gone, Inbox, Receive, Scope, Send
from inferprint.proxy.labels import Labels
from inferprint.proxy.options import Options
from inferprint.proxy.page import Page
from inferprint.proxy.parts import Parts, pass_through
from inferprint.proxy.turns import Turns
from inferprint.proxy.upstream import Upstream, base_of

__all__ = ["Proxy"]

MEASURED = ("/chat/completions", "/completions", "/responses", "/embeddings")
"""The ends of the paths whose requests are measured when they are posted."""


class Proxy:
    """Sends every request on to the upstream; those that run a model get a footprint.

    Args:
        options: what the operator sets.
        tracker: measures the requests; it is started and stopped by the caller.
        page: is served at its path in place of what the upstream has there; None: none is.

    Raises:
        ConfigError: an option is not usable.
    """

    def __init__(self, options: Options, tracker: Tracker, page: Page | None = None) -> None:
        self._options = options
        self._tracker = tracker
        self.page = page
        self._turns = Turns()
        self._upstream = Upstream(base_of(options.upstream))
        most_values = tracker.config.max_label_values
        self._labels = Labels(options.labels, options.hashed_labels, most_values)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            return await _refuse(scope, send)
        if self.page is not None and self.page.has(scope["path"]):
            return await self.page(scope, receive, send)
        inbox = Inbox(receive, self._options, _declared(scope))
        parts = Parts(scope, inbox, send, self._upstream, self._options, self._turns)
        try:
            if scope["method"] == "POST" and scope["path"].rstrip("/").endswith(MEASURED):
                await Exchange(parts, self._tracker, self._labels).run()
            else:
                await pass_through(parts)
        except Gone:
            return None
        except asyncio.CancelledError:
            if not inbox.gone:
                raise
            _stay_alive()
        finally:
            inbox.close()
        return None

    async def close(self) -> None:
        """Closes the connections to the upstream."""
        await self._upstream.close()


def _declared(scope: Scope) -> int:
    """Bytes that the body has by its header; 0: it does not say."""
    length = by_name(scope["headers"]).get(b"content-length", b"")
    return int(length) if length.isdigit() else 0


def _stay_alive() -> None:
    """The client's going has ended this exchange, and not the server's task around it."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


async def _refuse(scope: Scope, send: Send) -> None:
    """Nothing but HTTP is sent on."""
    if scope["type"] == "websocket":
        with suppress(RuntimeError):
            await send({"type": "websocket.close", "code": 1003})
