"""ASGI and WSGI middleware and the FastAPI dependency, on applications of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import httpx
import pytest
from fastapi import Depends, FastAPI

import inferprint
from inferprint import Request, Tracker
from inferprint.integrations.asgi import FootprintMiddleware
from inferprint.integrations.fastapi import Measured
from inferprint.integrations.wsgi import FootprintMiddleware as WsgiMiddleware
from inferprint.testing import FakeClock, FakeSource
from proxy_rig import Kept


class Hand:
    """A tracker that is moved by hand, and its receipts."""

    def __init__(self) -> None:
        self.clock, self.kept = FakeClock(), Kept()
        source = FakeSource(self.clock, watts=100.0, idle_w=20.0)
        self.tracker = Tracker(sources=[source], exporters=[self.kept], clock=self.clock).start()
        with self.tracker.request("before"):
            self.clock.advance(1.0)
            self.tracker.sample()
        self.receipts()
        self.kept.receipts.clear()

    def receipts(self) -> list[inferprint.Receipt]:
        self.clock.advance(0.1)
        self.tracker.flush()
        return self.kept.receipts


@pytest.fixture
def hand() -> Iterator[Hand]:
    made = Hand()
    yield made
    made.tracker.stop()


async def ask(app: Any, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        return await client.get(path)


def asgi_app(hand: Hand) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = inferprint.current()
        if request is not None:
            request.add_tokens(input=2, output=3)
        hand.clock.advance(1.0)
        if scope["path"] == "/raises":
            raise RuntimeError("theirs")
        status = 503 if scope["path"] == "/fails" else 200
        headers = [(b"server-timing", b"db;dur=1")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    return FootprintMiddleware(app, model="m", paths=["/s", "/p", "/f", "/r"], tracker=hand.tracker)


async def test_an_asgi_reply_says_what_it_used(hand: Hand) -> None:
    """A plain one in joules; its id is the receipt's, and its own headers stay."""
    reply = await ask(asgi_app(hand), "/plain")
    assert (reply.text, reply.headers["server-timing"]) == ("b", "db;dur=1")
    assert float(reply.headers["x-inferprint-energy-joules"]) == pytest.approx(100.0)
    (receipt,) = hand.receipts()
    assert receipt.request_id == reply.headers["x-inferprint-request-id"]
    assert (receipt.model, receipt.outcome, receipt.tokens.output) == ("m", "ok", 3)


async def test_an_asgi_stream_has_its_id_alone(hand: Hand) -> None:
    """What it will have used is not known when its head is sent."""
    reply = await ask(asgi_app(hand), "/stream")
    assert reply.text == "ab"
    assert "x-inferprint-energy-joules" not in reply.headers
    assert hand.receipts()[0].request_id == reply.headers["x-inferprint-request-id"]


@pytest.mark.parametrize("path", ["/fails", "/raises"])
async def test_an_asgi_application_that_fails_makes_an_error(hand: Hand, path: str) -> None:
    """By its status or its exception, which passes through."""
    assert (await ask(asgi_app(hand), path)).status_code in (500, 503)
    assert hand.receipts()[0].outcome == "error"


async def test_other_paths_are_not_measured(hand: Hand) -> None:
    """Their replies stay as they are."""
    reply = await ask(asgi_app(hand), "/other")
    assert "x-inferprint-request-id" not in reply.headers
    assert hand.receipts() == []


async def test_a_fastapi_route_takes_its_request(hand: Hand) -> None:
    """As a dependency; the receipt has what the route told."""
    app = FastAPI()
    measured: Any = Depends(Measured("m", tracker=hand.tracker))

    @app.get("/ask")
    async def ask_it(request: Request = measured) -> dict[str, str]:
        request.add_tokens(output=5)
        hand.clock.advance(1.0)
        return {"id": request.request_id}

    reply = await ask(app, "/ask")
    (receipt,) = hand.receipts()
    assert reply.headers["x-inferprint-request-id"] == receipt.request_id == reply.json()["id"]
    assert (receipt.tokens.output, receipt.outcome) == (5, "ok")


def wsgi_call(app: Any, path: str, parts: int | None = None) -> tuple[str, dict[str, str], bytes]:
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ["PATH_INFO"] = path
    told: list[Any] = []
    reply = app(environ, lambda status, headers, exc_info=None: told.extend([status, headers]))
    try:
        body = b"".join(part for part, _ in zip(reply, range(parts or 99), strict=False))
    finally:
        if hasattr(reply, "close"):
            reply.close()
    return told[0], dict(told[1]), body


def wsgi_app(hand: Hand) -> Any:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("500 No" if environ["PATH_INFO"] == "/fails" else "200 OK", [("a", "b")])
        for part in (b"x", b"y", b"z"):
            request = inferprint.current()
            assert request is not None
            request.add_tokens(output=1)
            hand.clock.advance(0.5)
            yield part

    return WsgiMiddleware(app, model="m", paths=["/ask", "/fails"], tracker=hand.tracker)


@pytest.mark.parametrize(
    ("path", "parts", "outcome"),
    [("/ask", None, "ok"), ("/ask", 1, "cancelled"), ("/fails", None, "error")],
)
def test_a_wsgi_reply_is_measured_to_its_end(
    hand: Hand, path: str, parts: int | None, outcome: str
) -> None:
    """Until its last part, or until the server gives up on it; the server does not run in it."""
    _, headers, body = wsgi_call(wsgi_app(hand), path, parts)
    assert body == (b"x" if parts else b"xyz")
    assert inferprint.current() is None
    (receipt,) = hand.receipts()
    assert headers == {"a": "b", "x-inferprint-request-id": receipt.request_id}
    assert (receipt.model, receipt.outcome) == ("m", outcome)


def test_a_wsgi_application_that_raises_makes_an_error(hand: Hand) -> None:
    """Its exception passes through."""

    def app(environ: Any, start_response: Any) -> Any:
        raise RuntimeError("theirs")

    with pytest.raises(RuntimeError, match="theirs"):
        wsgi_call(WsgiMiddleware(app, tracker=hand.tracker), "/")
    assert hand.receipts()[0].outcome == "error"
