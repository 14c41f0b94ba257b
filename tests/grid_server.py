"""A real server on loopback that stands in for a service of carbon intensities."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Asked(NamedTuple):
    """A request that came in."""

    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    at_s: float


class Reply(NamedTuple):
    """What is answered; ``close``: nothing is."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = {}
    wait_s: float = 0.0
    close: bool = False


def as_json(plain: Any, status: int = 200) -> Reply:
    return Reply(json.dumps(plain).encode(), status)


def electricity_maps(value: float, time_s: float, **changed: Any) -> Reply:
    """An answer as the API of Electricity Maps gives it."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time_s))
    plain = {
        "zone": "FR",
        "carbonIntensity": value,
        "datetime": stamp,
        "updatedAt": stamp,
        "emissionFactorType": "lifecycle",
        "isEstimated": False,
        "estimationMethod": None,
    }
    return as_json({**plain, **changed})


class GridServer:
    """The server, and what it was asked.

    Args:
        answer: gives the reply to each request; may be changed while it runs.
    """

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.url = ""

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        asked = Asked(parts.path, query, dict(handler.headers.items()), time.monotonic())
        self.asked.append(asked)
        reply = self.answer(asked)
        time.sleep(reply.wait_s)
        handler.close_connection = True
        if reply.close:
            return
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body)


@contextmanager
def serving(answer: Callable[[Asked], Reply]) -> Iterator[GridServer]:
    """A server that answers, on a free port."""
    server = GridServer(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                server.handle(self)
            except OSError:  # whoever asked did not wait
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = False  # so that closing waits for them
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def eventually(true: Callable[[], bool], within_s: float = 10.0) -> None:
    """Waits until something is so."""
    until_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until_s, "it did not come true"
        time.sleep(0.005)
