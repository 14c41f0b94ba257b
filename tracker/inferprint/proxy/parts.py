"""What every exchange has to do with: the two ends, and how one goes through to the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from inferprint.proxy import replies
from inferprint.proxy.headers import Headers, back, onward, without
from inferprint.proxy.inbox import Gone, Inbox, Refused, Scope, Send
from inferprint.proxy.options import Options
from inferprint.proxy.turns import Turns
from inferprint.proxy.upstream import Broken, NotReached, Reply, Upstream

__all__ = ["MOST_BUFFERED", "Parts", "pass_through"]

MOST_BUFFERED = 1_000_000
"""Bytes of a request that are read before it goes on, and of a reply before it goes back; what is
larger goes by in pieces."""


class Parts(NamedTuple):
    """The ends of an exchange, what is set of it, and whose turn it is."""

    scope: Scope
    inbox: Inbox
    send: Send
    upstream: Upstream
    options: Options
    turns: Turns

    @property
    def headers(self) -> Headers:
        """The client's, those left out that do not go on."""
        return onward(self.scope["headers"])

    async def ask(self, headers: Headers, body: bytes | AsyncIterator[bytes]) -> Reply:
        """Sends the client's request on.

        Raises:
            Gone: the client goes before it has sent all of it.
            NotReached: there is no reply.
            Refused: the body is larger than allowed, or comes too slowly.
        """
        scope = self.scope
        target: bytes = scope.get("raw_path") or scope["path"].encode()
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        if isinstance(body, bytes):
            headers = without(headers, b"content-length")
        try:
            return await self.upstream.ask(scope["method"], target, headers, body)
        except NotReached:
            if self.inbox.gone:
                raise Gone from None
            if self.inbox.refusal is not None:
                raise self.inbox.refusal from None
            raise

    async def start(self, status: int, headers: Headers) -> None:
        """Sends the head of the reply."""
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def part(self, data: bytes) -> None:
        """Sends a part of the reply's body."""
        if data:
            await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Sends the last part. Where it is never called the client sees the reply break off."""
        self.inbox.finished = True
        await self.send({"type": "http.response.body", "body": data})

    async def own(self, reply: replies.Own, request_id: str | None = None) -> None:
        """Sends a reply of the proxy's own."""
        self.inbox.finished = True
        await reply.send(self.send, request_id)

    async def rest(self, reply: Reply) -> bool:
        """Sends what is left of a reply as it comes; whether it came to its end."""
        try:
            while part := await reply.part():
                await self.part(part)
        except Broken:
            return False
        await self.end()
        return True


async def pass_through(parts: Parts) -> None:
    """Sends a request on and its reply back, both as they are."""
    inbox = parts.inbox
    try:
        body, whole = await inbox.start(MOST_BUFFERED)
        inbox.watch()
        reply = await parts.ask(parts.headers, body if whole else _joined(body, inbox))
    except Refused as error:
        return await parts.own(replies.refused(error))
    except NotReached as error:
        return await parts.own(replies.no_reply(error))
    async with reply:
        await parts.start(reply.status, back(reply.headers))
        await parts.rest(reply)
    return None


async def _joined(body: bytes, inbox: Inbox) -> AsyncIterator[bytes]:
    yield body
    async for part in inbox.rest():
        yield part
