"""A receipt for every call of an openai client, of a server that it starts here.

Run it: python examples/09_openai.py (needs: pip install 'inferprint[openai]')
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai

import inferprint
from inferprint.integrations.openai import receipt_of, track_client


class Chat(BaseHTTPRequestHandler):
    """Stands in for a server of a model: some tenths of a second of work on the CPU."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        words = [str(pow(3, n, 1_000_003)) for n in range(300_000)][-8:]
        message = {"role": "assistant", "content": " ".join(words)}
        usage = {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        common = {"id": "1", "object": "chat.completion", "created": 0, "model": asked["model"]}
        body = json.dumps({**common, "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Says nothing."""


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    with inferprint.Tracker() as tracker, openai.OpenAI(base_url=url, api_key="none") as client:
        track_client(client, tracker=tracker)
        question = {"role": "user", "content": "What does this answer cost?"}
        reply = client.chat.completions.create(model="demo-model", messages=[question])  # type: ignore[list-item]
        print(reply.choices[0].message.content)
        print(receipt_of(reply, timeout=5.0))
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
