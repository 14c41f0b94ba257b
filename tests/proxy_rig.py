"""A proxy, what is behind it and who asks it: real servers on loopback, in the test's loop."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import uvicorn

from inferprint import Config, Receipt, Tracker
from inferprint.clock import SystemClock
from inferprint.proxy.app import Proxy
from inferprint.proxy.options import Options
from inferprint.proxy.page import Page
from inferprint.proxy.server import settings
from inferprint.testing import FakeSource

WATTS = 100.0
CHAT = "/v1/chat/completions"
ASK = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
ASK_STREAM = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream")]


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: Any, config: uvicorn.Config | None = None) -> AsyncIterator[str]:
    """Serves an application in this loop; gives its address."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as sock:
        config = config or uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            server_header=False,
            date_header=False,
        )
        config.timeout_graceful_shutdown = 1
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[sock]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


class Upstream:
    """An ASGI application that answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: Sequence[tuple[bytes, bytes]] = JSON
        self.parts: Sequence[bytes] = [b"{}"]
        self.delay_s = 0.0
        self.endless: Callable[[int], bytes] | None = None
        self.asked: list[tuple[dict[str, Any], bytes]] = []
        self.left = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.asked.append((scope, body))
        watch = asyncio.create_task(self._watch(receive))
        try:
            await self._answer(send)
        finally:
            watch.cancel()

    async def _watch(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left += 1

    async def _answer(self, send: Callable[[Any], Awaitable[None]]) -> None:
        await asyncio.sleep(self.delay_s)
        headers = list(self.headers)
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for part in self.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)
        number = 0
        while self.endless is not None and not self.left:
            part = self.endless(number)
            await send({"type": "http.response.body", "body": part, "more_body": True})
            number += 1
            await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b""})

    @property
    def asked_for(self) -> bytes:
        """The body that was asked last."""
        return self.asked[-1][1]

    @property
    def asked_with(self) -> dict[bytes, bytes]:
        """The headers that were sent last."""
        return dict(self.asked[-1][0]["headers"])


class Kept:
    """An exporter that keeps receipts."""

    name = "kept"

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []

    def start(self, tracker: Tracker) -> None:
        """Nothing to do."""

    def export(self, receipts: Sequence[Receipt]) -> None:
        """Keeps them."""
        self.receipts += receipts

    def close(self) -> None:
        """Nothing to do."""


class Rig:
    """A running proxy.

    Args:
        url: its address.
        tracker: its tracker.
        kept: the receipts that have settled.
        client: asks it.
        source: the device that it reads.
    """

    def __init__(
        self,
        url: str,
        tracker: Tracker,
        kept: Kept,
        client: aiohttp.ClientSession,
        source: FakeSource,
    ) -> None:
        self.url, self.tracker, self.client, self._kept = url, tracker, client, kept
        self.source = source

    async def post(
        self, body: bytes = ASK, path: str = CHAT, **headers: str
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Posts JSON; the reply and its body as it came, still compressed if it was."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("content-type", "application/json")
        data = io.BytesIO(body)
        async with self.client.post(self.url + path, data=data, headers=named) as reply:
            return reply, await reply.read()

    async def receipts(self, count: int = 1) -> list[Receipt]:
        """The receipts of all that has ended, which are to be so many."""
        await wait_for(lambda: not self.tracker.status().in_flight)
        await asyncio.to_thread(self.tracker.flush, 5.0)
        assert len(self._kept.receipts) == count, self._kept.receipts
        return self._kept.receipts

    async def receipt(self) -> Receipt:
        """The only receipt."""
        (receipt,) = await self.receipts()
        return receipt


async def all_of(reply: aiohttp.ClientResponse) -> bytes:
    """What comes of a reply until it breaks off, which it is to do."""
    got = b""
    try:
        while part := await reply.content.readany():
            got += part
    except aiohttp.ClientPayloadError:
        return got
    raise AssertionError("the reply came to its end")


async def wait_for(condition: Callable[[], Any], timeout_s: float = 5.0) -> None:
    """Waits until something holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def closing(proxy: Proxy) -> AsyncIterator[None]:
    """Closes it, whatever happens."""
    try:
        yield
    finally:
        await proxy.close()


@asynccontextmanager
async def proxied(
    upstream: str,
    config: Config | None = None,
    page: Callable[[Tracker], Page] | None = None,
    **given: Any,
) -> AsyncIterator[Rig]:
    """A proxy in front of an address, served as ``inferprint proxy`` does."""
    kept = Kept()
    clock: Any = SystemClock()
    source = FakeSource(clock, watts=WATTS, idle_w=20.0)
    with Tracker(config or Config(location="FRA"), sources=[source], exporters=[kept]) as tracker:
        # What power is while something runs is known from then on.
        async with tracker.request("before") as request:
            await asyncio.sleep(0.2)
        await request.settled(5.0)
        await asyncio.to_thread(tracker.flush, 5.0)
        kept.receipts.clear()
        options = Options(upstream=upstream, **given)
        proxy = Proxy(options, tracker, page and page(tracker))
        async with (
            closing(proxy),
            serving(proxy, settings(proxy, options)) as url,
            aiohttp.ClientSession(auto_decompress=False) as client,
        ):
            yield Rig(url, tracker, kept, client, source)


@asynccontextmanager
async def behind(upstream: Upstream, **options: Any) -> AsyncIterator[Rig]:
    """A proxy in front of an upstream that answers as told."""
    async with serving(upstream) as url, proxied(url, **options) as rig:
        yield rig


@asynccontextmanager
async def raw_server(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that speaks whatever it wants, after it has read one request."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
            await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
            await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def events(*documents: bytes) -> bytes:
    """Server-sent events of these data."""
    return b"".join(b"data: " + document + b"\n\n" for document in documents)
