"""A small server that speaks OpenAI's API, for the client libraries that are tracked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ("Joules", " add", " up")
USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 3,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 8},
}
FOOTPRINT = {"energy_joules": 4.5, "provenance": "measured"}


class ChatServer:
    """Answers every chat alike, by its model's name: ``fails``, ``breaks`` in mid-stream, ``slow``
    until it is let go on, ``footprint`` in its usage, ``html``; any other answers.
    """

    def __init__(self) -> None:
        self.let = threading.Event()
        self.bodies: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Stops it."""
        self.let.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.bodies.append(body)
                server._answer(self, body)

            def do_GET(self) -> None:
                _send(self, 200, {"object": "list", "data": []})

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler

    def _answer(self, http: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        model = body["model"]
        if model == "fails":
            _send(http, 400, {"error": {"message": "no such thing", "type": "invalid"}})
        elif model == "html":
            _send(http, 200, "<html>oops</html>")
        elif body.get("stream"):
            self._stream(http, body)
        else:
            if model == "slow":
                self.let.wait(30)
            _send(http, 200, reply(http.path, model))

    def _stream(self, http: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        http.send_response(200)
        http.send_header("content-type", "text/event-stream")
        http.end_headers()
        try:
            for chunk in _chunks(http.path, body):
                if chunk is None:
                    return
                name = f"event: {chunk['type']}\n" if "type" in chunk else ""
                http.wfile.write(f"{name}data: {json.dumps(chunk)}\n\n".encode())
                http.wfile.flush()
                if body["model"] == "slow" and chunk.get("choices"):
                    self.let.wait(30)
            http.wfile.write(b"data: [DONE]\n\n")
        except OSError:  # the client has gone
            return


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """A server on loopback, for the length of a ``with``."""
    server = ChatServer()
    try:
        yield server
    finally:
        server.close()


def usage_of(model: str) -> dict[str, Any]:
    """What a model's replies have as usage."""
    return {**USAGE, "footprint": FOOTPRINT} if model == "footprint" else dict(USAGE)


def reply(path: str, model: str) -> dict[str, Any]:
    """A whole reply of an endpoint."""
    if path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
        usage = {"prompt_tokens": 12, "total_tokens": 12}
        return {"object": "list", "data": data, "model": model, "usage": usage}
    if path.endswith("/responses"):
        return _response(model)
    message = {"role": "assistant", "content": "".join(WORDS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    common = {"id": "chat-1", "object": "chat.completion", "created": 1, "model": model}
    return {**common, "choices": [choice], "usage": usage_of(model)}


def _response(model: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    usage = {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 8},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 15,
    }
    return {
        "id": "r",
        "object": "response",
        "created_at": 1,
        "model": model,
        "status": "completed",
        "output": [{**item, "content": [part]}],
        "usage": usage,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _chunks(path: str, body: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
    model = body["model"]
    if path.endswith("/responses"):
        begun = {**_response(model), "usage": None, "status": "in_progress", "output": []}
        yield {"type": "response.created", "sequence_number": 0, "response": begun}
        for number, word in enumerate(WORDS):
            where = {"item_id": "m", "output_index": 0, "content_index": 0, "logprobs": []}
            head = {"type": "response.output_text.delta", "sequence_number": number + 1}
            yield {**head, **where, "delta": word}
        yield {"type": "response.completed", "sequence_number": 9, "response": _response(model)}
        return
    common = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model}
    for number, word in enumerate(WORDS):
        if number == 2 and model == "breaks":
            yield {"error": {"message": "out of memory"}}
            yield None
        delta = {"role": "assistant", "content": word}
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        yield {**common, "choices": [choice]}
    ending = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield {**common, "choices": [ending]}
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**common, "choices": [], "usage": usage_of(model)}


def _send(http: BaseHTTPRequestHandler, status: int, body: object) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    http.send_response(status)
    http.send_header("content-type", "text/html" if isinstance(body, str) else "application/json")
    http.send_header("content-length", str(len(text)))
    http.end_headers()
    http.wfile.write(text.encode())
