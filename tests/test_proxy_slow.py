"""Clients that take for ever to say what they want, on raw sockets before the proxy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from proxy_rig import ASK, Upstream, behind, wait_for

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
LONG_S = 20.0
"""Longer than any test here waits for what is to come sooner."""


class Client:
    """A socket to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def end(self) -> bytes:
        """All that comes until the proxy closes the connection, which it is to do; of one that
        still sends the end is a reset.
        """
        got = b""
        with suppress(ConnectionResetError):
            async with asyncio.timeout(LONG_S):
                while part := await self.reader.read(65_536):
                    got += part
        return got

    async def trickle(self, part: bytes, every_s: float) -> None:
        """Sends a part again and again, until the proxy closes the connection."""
        try:
            while not self.reader.at_eof():
                await self.send(part)
                await asyncio.sleep(every_s)
        except OSError:
            return


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


async def test_a_connection_on_which_nothing_comes_is_closed() -> None:
    """Without a word, as there is nothing to answer."""
    async with behind(Upstream(), client_timeout_s=0.3) as rig, client(rig.url) as slow:
        assert await slow.end() == b""


async def test_a_head_that_does_not_end_is_refused() -> None:
    """Though a byte of it comes now and then: 408, and the upstream hears nothing."""
    upstream = Upstream()
    async with behind(upstream, client_timeout_s=0.5) as rig, client(rig.url) as slow:
        await slow.send(HEAD)
        feeding = asyncio.create_task(slow.trickle(b"x: y\r\n", 0.05))
        assert (await slow.end()).startswith(b"HTTP/1.1 408 ")
        await feeding
        assert upstream.asked == []


async def test_a_head_without_limit_is_refused() -> None:
    """431 after 64 kB, long before its time is over; it is not kept."""
    async with behind(Upstream(), client_timeout_s=10 * LONG_S) as rig, client(rig.url) as slow:
        await slow.send(HEAD)
        feeding = asyncio.create_task(slow.trickle(b"x: " + b"y" * 1000 + b"\r\n", 0.001))
        assert (await slow.end()).startswith(b"HTTP/1.1 431 ")
        await feeding


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/files"])
@pytest.mark.parametrize("every_s", [0.1, LONG_S], ids=["trickles", "stops"])
async def test_a_body_that_does_not_come_is_refused(path: bytes, every_s: float) -> None:
    """Measured or passed through, 408 in the shape of OpenAI's errors, and no receipt; so too
    where a byte comes now and then, as far under 100 bytes a second.
    """
    upstream = Upstream()
    async with behind(upstream, client_timeout_s=0.5) as rig, client(rig.url) as slow:
        head = HEAD.replace(b"/v1/chat/completions", path)
        await slow.send(head + b"content-length: 1000000\r\n\r\n{")
        feeding = asyncio.create_task(slow.trickle(b" ", every_s))
        reply = await slow.end()
        feeding.cancel()
        assert reply.startswith(b"HTTP/1.1 408 ")
        assert b'"code": "request_timeout"' in reply
        assert upstream.asked == []
        assert await rig.receipts(0) == []


async def test_a_large_body_that_stops_half_way_ends_the_upstreams_too() -> None:
    """What has gone on is broken off there, and the client gets 408."""
    upstream = Upstream()
    async with behind(upstream, client_timeout_s=1.5) as rig, client(rig.url) as slow:
        await slow.send(HEAD + b"content-length: 9000000\r\n\r\n" + b"x" * 2_000_000)
        assert (await slow.end()).startswith(b"HTTP/1.1 408 ")
        await wait_for(lambda: upstream.left)


async def test_a_slow_upload_that_goes_on_is_not_broken_off() -> None:
    """It takes many times the timeout, and comes whole."""
    upstream = Upstream()
    upstream.parts = [b'{"ok":true}']
    part, parts = b"x" * 20_000, 30
    async with behind(upstream, client_timeout_s=2.0) as rig, client(rig.url) as slow:
        length = b"content-length: %d\r\nconnection: close\r\n\r\n" % (len(part) * parts)
        began = time.monotonic()
        await slow.send(HEAD.replace(b"/v1/chat/completions", b"/v1/files") + length)
        for _ in range(parts):
            await slow.send(part)
            await asyncio.sleep(0.15)
        assert (await slow.end()).startswith(b"HTTP/1.1 200 ")
        assert time.monotonic() - began > 4.0
        assert upstream.asked_for == part * parts


async def test_an_upstream_that_takes_its_time_is_no_fault_of_the_clients() -> None:
    """Neither its reply nor how fast it reads counts as the client's silence."""
    upstream = Upstream()
    upstream.delay_s = 1.5
    async with behind(upstream, client_timeout_s=0.5) as rig:
        reply, _ = await rig.post()
        assert reply.status == 200


async def test_what_comes_after_a_reply_does_not_hold_the_connection() -> None:
    """A body that was refused and goes on for ever: the connection ends, with one reply."""
    upstream = Upstream()
    async with behind(upstream, client_timeout_s=0.5) as rig, client(rig.url) as slow:
        await slow.send(HEAD + b"content-length: %d\r\n\r\n" % len(ASK) + ASK)
        assert (await slow.reader.readline()).startswith(b"HTTP/1.1 200 ")
        feeding = asyncio.create_task(slow.trickle(b"\r\n", 0.05))
        assert b"HTTP/1.1" not in await slow.end()
        await feeding


async def test_slow_clients_do_not_hold_up_others() -> None:
    """While 200 of them hold a connection each, another is served."""
    upstream = Upstream()
    async with behind(upstream, client_timeout_s=LONG_S) as rig:
        slow = [client(rig.url) for _ in range(200)]
        held = [await one.__aenter__() for one in slow]
        try:
            for one in held:
                await one.send(HEAD)
            reply, _ = await rig.post()
            assert reply.status == 200
        finally:
            for one in slow:
                await one.__aexit__(None, None, None)
