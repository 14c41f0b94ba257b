"""A server for tests of several processes: each request takes 30 ms of CPU time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import inferprint

WORK_S = 0.03

if os.environ.get("START_BEFORE_FORK"):
    inferprint.get_tracker().start()  # as an application that is loaded before its workers


@inferprint.track(model="m")
def answer() -> dict[str, Any]:
    """Works; tells whose CPU time it was."""
    began_s = time.thread_time()
    while time.thread_time() < began_s + WORK_S:
        pass
    return {"pid": os.getpid()}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The server for ASGI."""
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    body = json.dumps(answer()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The server for WSGI."""
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps(answer()).encode()]
