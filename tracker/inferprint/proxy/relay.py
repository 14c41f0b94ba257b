"""Sends the reply of a measured request back, with its footprint."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import suppress

from inferprint.errors import BudgetExceeded
from inferprint.proxy.coding import GZIP, Gzip, packed, unpacked
from inferprint.proxy.headers import ENERGY, REQUEST_ID, Headers, back, by_name, without
from inferprint.proxy.insert import Footprint
from inferprint.proxy.parts import MOST_BUFFERED, Parts
from inferprint.proxy.plain import Plain
from inferprint.proxy.replies import cut_short
from inferprint.proxy.stream import Stream
from inferprint.proxy.tracked import Tracked
from inferprint.proxy.upstream import Broken, Reply
from inferprint.records import Outcome

__all__ = ["Relay"]

HELD_S = 0.25
"""Seconds for which a JSON reply that has begun is waited for, to be sent in one."""

_LENGTH = b"content-length"


class Relay:
    """One reply.

    Args:
        parts: the ends of the exchange.
        tracked: its request.
        keeps_usage: whether the client asked for the usage of a stream.
    """

    def __init__(self, parts: Parts, tracked: Tracked, keeps_usage: bool) -> None:
        self._parts = parts
        self._tracked = tracked
        self._keeps_usage = keeps_usage
        self._headers: Headers = []

    async def run(self, reply: Reply) -> None:
        """Sends it, and tells the request's tokens and its end."""
        kept = without(back(reply.headers), REQUEST_ID, ENERGY)
        self._headers = [*kept, (REQUEST_ID, self._tracked.request_id.encode())]
        names = by_name(reply.headers)
        kind, coding = names.get(b"content-type", b"").lower(), names.get(b"content-encoding", b"")
        if kind.startswith(b"text/event-stream") and coding in (b"", b"identity", GZIP):
            await self._stream(reply, Gzip() if coding == GZIP else None)
        elif b"json" in kind:
            await self._json(reply, coding)
        else:
            await self._untouched(reply, b"")

    def _outcome(self, reply: Reply, failed: bool) -> Outcome:
        return "error" if failed or reply.status >= 400 else "ok"

    # ---- as it is ------------------------------------------------------------------------

    async def _untouched(self, reply: Reply, begun: bytes) -> None:
        await self._parts.start(reply.status, self._headers)
        await self._parts.part(begun)
        try:
            while part := await reply.part():
                await self._parts.part(part)
        except Broken:
            return self._tracked.end("error")
        self._tracked.end(self._outcome(reply, failed=False))
        return await self._parts.end()

    # ---- JSON ----------------------------------------------------------------------------

    async def _json(self, reply: Reply, coding: bytes) -> None:
        try:
            body, whole = await _held(reply)
        except _BrokeOff as error:
            await self._parts.start(reply.status, self._headers)
            await self._parts.part(error.body)
            return self._tracked.end("error")
        await self._parts.turns.mine()
        if whole:
            await self._whole(reply, body, coding)
        elif coding in (b"", b"identity") and reply.status < 400:
            await self._by_and_by(reply, body)
        else:
            await self._untouched(reply, body)
        return None

    async def _whole(self, reply: Reply, body: bytes, coding: bytes) -> None:
        document = unpacked(body, MOST_BUFFERED) if coding == GZIP else body
        plain = Plain()
        plain.read(document or b"")
        self._tracked.tell(plain.tokens, plain.unreadable)
        outcome = self._outcome(reply, plain.failed)
        self._tracked.end(outcome)
        footprint = self._tracked.footprint()
        has_place = outcome == "ok" and plain.whole and self._has_place(plain)
        if document and footprint is not None and has_place:
            told = plain.with_footprint(document, footprint)
            body = packed(told) if coding == GZIP else told
        length = [(_LENGTH, b"%d" % len(body))] if body else []
        headers = without(self._headers, _LENGTH) if body else self._headers
        await self._parts.start(reply.status, [*headers, *length, *_energy(footprint)])
        await self._parts.end(body)

    async def _by_and_by(self, reply: Reply, begun: bytes) -> None:
        """A reply that is large or slow: its footprint is put in as it goes by."""
        plain = Plain()
        energy = _energy(self._tracked.footprint())
        await self._parts.start(reply.status, [*without(self._headers, _LENGTH), *energy])
        try:
            part = begun or await reply.part()
            while part:
                await self._parts.part(self._next(plain, part))
                part = await reply.part()
        except Broken:
            return self._tracked.end("error")
        self._tracked.tell(plain.tokens, plain.unreadable)
        self._tracked.end(self._outcome(reply, plain.failed))
        return await self._parts.end()

    def _next(self, plain: Plain, part: bytes) -> bytes:
        plain.read(part)
        if not self._has_place(plain):
            return part
        self._tracked.tell(plain.tokens, plain.unreadable)
        footprint = self._tracked.footprint()
        return part if footprint is None else plain.with_footprint(part, footprint)

    def _has_place(self, plain: Plain) -> bool:
        return self._parts.options.in_bodies and plain.can_be_told

    # ---- streams -------------------------------------------------------------------------

    async def _stream(self, reply: Reply, gzip: Gzip | None) -> None:
        def footprint() -> Footprint | None:
            with suppress(BudgetExceeded):
                self._tracked.count(stream.pieces)
            self._tracked.tell(stream.tokens, stream.unreadable)
            return self._tracked.footprint()

        stream = Stream(self._keeps_usage, footprint, in_bodies=self._parts.options.in_bodies)
        await self._parts.start(reply.status, without(self._headers, _LENGTH))
        try:
            last = await self._pump(reply, stream, gzip)
        except (Broken, zlib.error):
            self._tracked.end("error")
            return await self._parts.part(_packed(gzip, stream.rest()))
        with suppress(BudgetExceeded):
            self._tracked.count(stream.pieces)
        self._tracked.tell(stream.tokens, stream.unreadable)
        self._tracked.end(self._outcome(reply, stream.failed))
        return await self._parts.end(_packed(gzip, last) + (gzip.finish() if gzip else b""))

    async def _pump(self, reply: Reply, stream: Stream, gzip: Gzip | None) -> bytes:
        """Sends the stream but for its last bytes, which it gives.

        Raises:
            Broken: the upstream broke off.
            zlib.error: what it sends is no gzip.
        """
        while part := await reply.part():
            onward = stream.feed(gzip.unpack(part) if gzip else part)
            await self._parts.part(_packed(gzip, onward))
            try:
                self._tracked.count(stream.pieces)
            except BudgetExceeded as error:
                if not stream.ended:
                    self._tracked.end("cancelled")
                    return cut_short(error)
        return stream.end()


class _BrokeOff(Exception):
    """A reply broke off after these bytes of it."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body


async def _held(reply: Reply) -> tuple[bytes, bool]:
    """The body of a reply, or its beginning; whether it is the whole.

    Raises:
        _BrokeOff: it broke off.
    """
    parts, size = [], 0
    try:
        async with asyncio.timeout(None if reply.at_hand else HELD_S):
            while part := await reply.part():
                parts.append(part)
                size += len(part)
                if size > MOST_BUFFERED:
                    return b"".join(parts), False
    except TimeoutError:
        return b"".join(parts), False
    except Broken:
        raise _BrokeOff(b"".join(parts)) from None
    return b"".join(parts), True


def _energy(footprint: Footprint | None) -> Headers:
    joules = None if footprint is None else footprint["energy_joules"]
    return [] if joules is None else [(ENERGY, repr(joules).encode())]


def _packed(gzip: Gzip | None, data: bytes) -> bytes:
    return data if gzip is None else gzip.pack(data)
