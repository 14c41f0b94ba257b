"""Calls LiteLLM in a process of its own, since it leaves event loops and sockets behind."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import litellm

from chat_server import chat_server
from inferprint import Tracker
from inferprint.integrations.litellm import handler
from rig import Kept, SteadySource

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "num_retries": 0}
STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


def calls(ask: dict[str, Any]) -> dict[str, Any]:
    """What the caller gets from calls that are not async."""
    found = {"m": litellm.completion(model="openai/m", **ask).choices[0].message.content}
    chunks = litellm.completion(model="openai/s", **STREAM, **ask)
    found["s"] = _text(list(chunks))
    try:
        litellm.completion(model="openai/fails", **ask)
    except litellm.BadRequestError as error:
        found["fails"] = str(error)
    return found


async def async_calls(ask: dict[str, Any], receipts: list[Any], until: int) -> dict[str, Any]:
    """The same of async ones; waits for what LiteLLM tells in the background."""
    reply = await litellm.acompletion(model="openai/am", **ask)
    found = {"am": reply.choices[0].message.content}
    stream = await litellm.acompletion(model="openai/as", **STREAM, **ask)
    found["as"] = _text([chunk async for chunk in stream])
    try:
        await litellm.acompletion(model="openai/fails", **ask)
    except litellm.BadRequestError as error:
        found["afails"] = str(error)
    until_s = time.monotonic() + 20
    while len(receipts) < until and time.monotonic() < until_s:
        await asyncio.sleep(0.05)
    return found


def _text(chunks: list[Any]) -> str:
    return "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)


def main() -> None:
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    kept = Kept()
    tracker = Tracker(sources=[SteadySource()], exporters=[kept])
    with chat_server() as server, tracker:
        litellm.callbacks = [handler(tracker=tracker, labels={"app": "chat"})]
        ask = {**ASK, "api_base": server.url, "api_key": "none"}
        got = calls(ask)
        got |= asyncio.run(async_calls(ask, kept.receipts, 6))
        faults = [list(where) for where in tracker.status().source_errors]
    json.dump(
        {"got": got, "faults": faults, "receipts": [one.to_dict() for one in kept.receipts]},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
