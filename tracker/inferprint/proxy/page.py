"""A page among the proxy's own paths, such as the live page."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from importlib.metadata import entry_points
from typing import TypeAlias

from inferprint._runtime import Tracker
from inferprint.errors import ConfigError
from inferprint.loopback import names_for
from inferprint.proxy.inbox import Receive, Scope, Send

__all__ = ["PAGE", "Page", "load_page"]

GROUP = "inferprint.pages"
"""Entry points ``(Tracker, hosts) -> ASGI application``; ``hosts`` are the names that it may be
asked by, ``*`` for any."""

PAGE = "live"
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")

App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class Page:
    """An application at a path and below it.

    Args:
        path: it begins with a slash and ends with none.
        app: of ASGI.
    """

    def __init__(self, path: str, app: App) -> None:
        self._path = path
        self._app = app
        self._serving: set[asyncio.Task[None]] = set()

    def has(self, path: str) -> bool:
        """Whether this path is one of its own."""
        return path == self._path or path.startswith(self._path + "/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, until ``close`` at most."""
        reply = _Reply(send)
        mounted = {**scope, "root_path": scope.get("root_path", "") + self._path}
        serving = asyncio.ensure_future(_awaited(self._app(mounted, receive, reply.send)))
        self._serving.add(serving)
        try:
            await asyncio.wait([serving])
        finally:
            self._serving.discard(serving)
            serving.cancel()
        if serving.cancelled():
            await reply.finish()
        else:
            serving.result()

    def close(self) -> None:
        """Ends the streams that it serves: a stop does not wait for who looks on."""
        for serving in self._serving:
            serving.cancel()


class _Reply:
    """Knows whether a reply has begun and not ended."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = self._ended = False

    async def send(self, message: Scope) -> None:
        self._begun = True
        self._ended = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def finish(self) -> None:
        """Ends it as it is."""
        if not self._begun:
            await self._send({"type": "http.response.start", "status": 503, "headers": []})
        if not self._ended:
            await self._send({"type": "http.response.body", "body": b""})


async def _awaited(call: Awaitable[None]) -> None:
    await call


def load_page(path: str, host: str, tracker: Tracker) -> Page:
    """The live page, found by its entry point.

    Args:
        path: where it is to be.
        host: the address that the proxy listens on.
        tracker: whose page.

    Raises:
        ConfigError: the path can't be used, or no package has the page.
        MissingExtra: what the page needs is not installed.
    """
    if not _PATH.fullmatch(path):
        raise ConfigError("page", path, "a path such as /inferprint, without a slash at its end")
    for entry in entry_points(group=GROUP, name=PAGE):
        return Page(path, entry.load()(tracker, names_for(host)))
    expected = f"an installed package with {PAGE!r} among its entry points {GROUP}"
    raise ConfigError("page", path, expected, "pip install --force-reinstall inferprint")
