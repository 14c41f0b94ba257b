"""The client's end of an exchange: its body as it comes, and whether it is still there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

__all__ = ["Gone", "Inbox", "Receive", "Scope", "Send", "TooLarge"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Gone(Exception):
    """The client has gone."""


class TooLarge(Exception):
    """The client's body is larger than the operator allows."""


class Inbox:
    """Reads what a client sends.

    Args:
        receive: the server's.
        most_bytes: of a body.
        declared: bytes that the body has by its header.
    """

    def __init__(self, receive: Receive, most_bytes: int, declared: int = 0) -> None:
        self._receive = receive
        self._left = most_bytes
        self.too_large = declared > most_bytes
        self._read_whole = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.gone = False
        self.finished = False
        """To be set before the last part of the reply is sent: then a client may go."""

    async def start(self, most: int) -> tuple[bytes, bool]:
        """The body up to ``most`` bytes and what came with them, and whether that is all of it.

        Raises:
            Gone, TooLarge: as for ``rest``.
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
            TooLarge: it is larger than allowed.
        """
        while not self._read_whole.is_set():
            if self.too_large:
                raise TooLarge
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                raise Gone
            body: bytes = message.get("body", b"")
            self._left -= len(body)
            self.too_large = self._left < 0
            if not message.get("more_body", False):
                self._read_whole.set()
            if body and not self.too_large:
                yield body
        if self.too_large:
            raise TooLarge

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
