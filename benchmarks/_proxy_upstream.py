"""A server for the proxy's benchmark: answers after ``delay`` milliseconds, or streams chunks that
say when they were sent, or a large body. Prints its port.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any
from urllib.parse import parse_qs

import uvicorn

MEGABYTE = 1_000_000
REPLY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A reply of usual length. " * 20},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 100, "total_tokens": 120},
    }
).encode()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serves one request."""
    while (await receive()).get("more_body"):
        pass
    asked = {
        name: int(value[0]) for name, value in parse_qs(scope["query_string"].decode()).items()
    }
    kind = b"text/event-stream" if "chunks" in asked else b"application/json"
    body = REPLY
    if megabytes := asked.get("megabytes"):
        kind, body = b"application/octet-stream", b""
    headers = [(b"content-type", kind)]
    if body and "chunks" not in asked:
        headers.append((b"content-length", b"%d" % len(body)))
    await asyncio.sleep(asked.get("delay", 0) / 1000)
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(asked.get("chunks", 0)):
        await asyncio.sleep(0.005)
        await send({"type": "http.response.body", "body": chunk(), "more_body": True})
    for _ in range(16 * (megabytes or 0)):
        part = b"x" * (MEGABYTE // 16)
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"" if "chunks" in asked else body})


def chunk() -> bytes:
    """An event that says when it was sent."""
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    delta = {"index": 0, "delta": {"content": f"@{time.monotonic_ns()}@"}}
    return b"data: " + json.dumps({**told, "choices": [delta]}).encode() + b"\n\n"


if __name__ == "__main__":
    sock = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(sock.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app, http="httptools", loop="uvloop", log_level="warning", access_log=False, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[sock])
