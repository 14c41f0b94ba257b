"""The client's end of an exchange: its body as it comes, and whether it is still there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from inferprint.proxy.options import Options

__all__ = ["Gone", "Inbox", "Receive", "Refused", "Scope", "Send"]

LEAST_BYTES_PER_S = 100.0
"""A body that comes faster than this is waited for, however long it takes. A tenth of a modem's
speed: it is meant for those who hold connections, and not for slow ones."""

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Gone(Exception):
    """The client has gone."""


class Refused(Exception):
    """The client's body is not taken any further.

    Args:
        status: of HTTP.
        kind: in one word, for programs.
        message: for people.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


class Inbox:
    """Reads what a client sends.

    Args:
        receive: the server's.
        options: how much a client may send, and how long it may take.
        declared: bytes that the body has by its header.
    """

    def __init__(self, receive: Receive, options: Options, declared: int = 0) -> None:
        self._receive = receive
        self._options = options
        self._left = options.most_body_bytes
        self._patience_s = options.client_timeout_s
        self.refusal: Refused | None = None
        """Why no more of the body is taken."""
        if declared > self._left:
            self.refusal = _too_large(self._left)
        self._read_whole = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.gone = False
        self.finished = False
        """To be set before the last part of the reply is sent: then a client may go."""

    async def start(self, most: int) -> tuple[bytes, bool]:
        """The body up to ``most`` bytes and what came with them, and whether that is all of it.

        Raises:
            Gone, Refused: as for ``rest``.
        """
        parts, size = [], 0
        async for part in self.rest():
            parts.append(part)
            size += len(part)
            if size > most:
                break
        return b"".join(parts), self._read_whole.is_set()

    async def rest(self) -> AsyncIterator[bytes]:
        """The body from here on.

        Raises:
            Gone: the client went before it had sent all of it.
            Refused: it is larger than allowed, or comes too slowly.
        """
        while self.refusal is None and not self._read_whole.is_set():
            message = await self._next()
            if message["type"] == "http.disconnect":
                self.gone = True
                raise Gone
            body: bytes = message.get("body", b"")
            self._left -= len(body)
            if self._left < 0:
                self.refusal = _too_large(self._options.most_body_bytes)
            if not message.get("more_body", False):
                self._read_whole.set()
            if body and self.refusal is None:
                yield body
        if self.refusal is not None:
            raise self.refusal

    async def _next(self) -> MutableMapping[str, Any]:
        """What comes next. Waiting for it uses up patience, and bytes that come renew it: that
        the upstream takes its time to read them does not count.
        """
        loop, most_s = asyncio.get_running_loop(), self._options.client_timeout_s
        began_s = loop.time()
        try:
            async with asyncio.timeout(self._patience_s):
                message = await self._receive()
        except TimeoutError:
            self.refusal = _too_slow(most_s)
            raise self.refusal from None
        left_s = self._patience_s - (loop.time() - began_s)
        earned_s = len(message.get("body", b"")) / LEAST_BYTES_PER_S
        self._patience_s = min(most_s, max(0.0, left_s) + earned_s)
        return message

    def watch(self) -> None:
        """From now on, cancels the task that calls this if the client goes."""
        task = asyncio.current_task()
        assert task is not None
        self._watching = asyncio.ensure_future(self._wait(task))

    async def _wait(self, task: asyncio.Task[Any]) -> None:
        await self._read_whole.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.finished:
            self.gone = True
            task.cancel()

    def close(self) -> None:
        """Ends the watch."""
        if self._watching is not None:
            self._watching.cancel()


def _too_large(most_bytes: int) -> Refused:
    message = f"the body is larger than {most_bytes} bytes, the most that this proxy takes"
    return Refused(413, "request_too_large", message)


def _too_slow(most_s: float) -> Refused:
    message = (
        f"the body did not come for {most_s:g} s, or at under {LEAST_BYTES_PER_S:g} bytes a second"
    )
    return Refused(408, "request_timeout", message)
