"""A Ray cluster of two nodes that serves, each node with its own agent; run as a program.

Its arguments are the sockets of the two agents. It prints a JSON object as its last line: the
nodes, and the ids of the requests that it made, by how they went.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import ray
from ray import serve
from ray.cluster_utils import Cluster

import inferprint
from inferprint.integrations.ray_serve import SERVE_REQUEST_ID, track_deployment

PATIENCE_S = 60.0
OBJECT_STORE_BYTES = 80_000_000  # the least that Ray takes is 75 MiB


def on(node: str, agent: str, gpus: int = 0) -> dict[str, Any]:
    """Options of a replica: on which node it runs, and where that node's agent is."""
    environment = {"env_vars": {"INFERPRINT_AGENT": agent}}
    place = {"resources": {node: 0.1}, "num_gpus": gpus, "num_cpus": 0}
    return {**place, "runtime_env": environment}


def own_id() -> str:
    """Serve's id of the request that runs here."""
    request = inferprint.current()
    assert request is not None
    return request.labels[SERVE_REQUEST_ID]


@serve.deployment
class Writer:
    """Stands in for a model."""

    def __init__(self) -> None:
        self._begun = 0

    @track_deployment(tokens=lambda reply: reply["usage"])
    async def __call__(self, prompt: str) -> dict[str, Any]:
        if prompt == "slow":
            self._begun += 1
            await asyncio.sleep(2 * PATIENCE_S)
        await asyncio.sleep(0.2)
        if prompt == "bad":
            raise ValueError(prompt)
        return {"text": prompt, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}

    @track_deployment(labels={"kind": "stream"})
    async def words(self, prompt: str) -> AsyncIterator[str]:
        for word in prompt.split():
            await asyncio.sleep(0.05)
            yield word

    @track_deployment()
    async def score(self, text: str) -> str:
        await self._scores(text)
        return own_id()

    @serve.batch(max_batch_size=3, batch_wait_timeout_s=5.0)
    async def _scores(self, texts: list[str]) -> list[int]:
        await asyncio.sleep(0.2)
        return [len(text) for text in texts]

    async def begun(self) -> int:
        return self._begun


@serve.deployment
class Chat:
    """What is asked first, and asks the model."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    @track_deployment(model="chat")
    async def __call__(self, asked: Any) -> dict[str, Any]:
        prompt = asked if isinstance(asked, str) else asked.query_params["prompt"]
        reply = await self._writer.remote(prompt)
        return {"request_id": own_id(), **reply}

    @track_deployment(model="chat")
    async def stream(self, prompt: str) -> AsyncIterator[str]:
        yield own_id()
        async for word in self._writer.options(stream=True).words.remote(prompt):
            yield word


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(reached: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline_s, "it did not come to this in time"
        time.sleep(0.05)


class Web:
    """Asks by HTTP."""

    def __init__(self, port: int) -> None:
        self._port = port

    def send(self, prompt: str, request_id: str) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        headers = {"x-request-id": request_id}
        connection.request("GET", f"/chat?prompt={prompt}", headers=headers)
        return connection

    def ask(self, prompt: str, request_id: str) -> int:
        connection = self.send(prompt, request_id)
        try:
            response = connection.getresponse()
            assert response.headers["x-request-id"] == request_id
            return response.status
        finally:
            connection.close()


def failed(handle: Any) -> bool:
    try:
        handle.remote("bad").result(timeout_s=PATIENCE_S)
    except Exception as error:
        return "ValueError" in str(error)
    return False


def stream(handle: Any) -> str:
    name, *words = handle.options(stream=True).stream.remote("two words")
    assert words == ["two", "words"]
    return str(name)


def load(chat: Any, writer: Any, web: Web) -> dict[str, Any]:
    """Requests of each kind, and how they went."""
    replies = [chat.remote(f"prompt {n}") for n in range(4)]
    statuses = {name: web.ask("hello", name) for name in ("http-1", "http-2")}
    statuses["http-bad"] = web.ask("bad", "http-bad")
    ids = [reply.result(timeout_s=PATIENCE_S)["request_id"] for reply in replies]
    scores = [writer.score.remote("text") for _ in range(3)]
    small = chat.options(multiplexed_model_id="small")
    return {
        "statuses": statuses,
        "handle": ids,
        "failed": failed(chat),
        "stream": stream(chat),
        "scores": [score.result(timeout_s=PATIENCE_S) for score in scores],
        "multiplexed": small.remote("hello").result(timeout_s=PATIENCE_S)["request_id"],
        "direct": multiplexed(writer),
    }


def multiplexed(writer: Any) -> dict[str, Any]:
    reply = writer.options(multiplexed_model_id="small").remote("hello")
    return dict(reply.result(timeout_s=PATIENCE_S))


def cancel(chat: Any, writer: Any, web: Web) -> None:
    """One request that is called off, and one whose client goes away."""
    called_off = chat.remote("slow")
    gone = web.send("slow", "http-gone")
    until(lambda: writer.begun.remote().result(timeout_s=PATIENCE_S) == 2)
    called_off.cancel()
    gone.close()


def main(first: str, second: str) -> None:
    node = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES}
    head = {**node, "resources": {"first": 1}, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(**node, resources={"second": 1}, num_gpus=2)
        ray.init(address=cluster.address, log_to_driver=False)
        nodes = {key: one["NodeID"] for one in ray.nodes() for key in one["Resources"]}
        port = free_port()
        serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
        asked = Writer.options(ray_actor_options=on("second", second, gpus=1)).bind()
        app = Chat.options(ray_actor_options=on("first", first)).bind(asked)
        chat = serve.run(app, name="talk", route_prefix="/chat")
        writer, web = serve.get_deployment_handle("Writer", "talk"), Web(port)
        told = load(chat, writer, web)
        cancel(chat, writer, web)
        told["nodes"] = {name: nodes[name] for name in ("first", "second")}
        print(json.dumps(told), flush=True)
        sys.stdin.readline()  # until the test has seen all receipts
        serve.shutdown()
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
