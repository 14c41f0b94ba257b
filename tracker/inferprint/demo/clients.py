"""Clients that ask the engine, each answer tracked as one request."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import numpy

from inferprint import Tracker
from inferprint.demo.engine import Engine

__all__ = ["MODEL_NAME", "serve"]

MODEL_NAME = "tiny-llm"
PROMPT_TOKENS = (8, 120)
OUTPUT_TOKENS = (8, 120)
THINK_S = 0.3
GIVES_UP = 0.12
"""The share of answers that their reader leaves half-way."""


async def serve(tracker: Tracker, engine: Engine, clients: int, seconds: float) -> None:
    """Has clients ask for a while, and lets the answers under way be finished.

    Args:
        tracker: each request is tracked by it.
        engine: answers.
        clients: how many ask at the same time.
        seconds: for how long new requests are sent.

    """
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            chance = numpy.random.default_rng(number)
            tasks.create_task(_client(tracker, engine, chance, until))


async def _client(
    tracker: Tracker, engine: Engine, chance: numpy.random.Generator, until: float
) -> None:
    while True:
        await asyncio.sleep(chance.exponential(THINK_S))
        if time.monotonic() >= until:
            return
        prompt = chance.bytes(int(chance.integers(*PROMPT_TOKENS)))
        output_tokens = int(chance.integers(*OUTPUT_TOKENS))
        gives_up_at = output_tokens // 2 if chance.random() < GIVES_UP else None
        await _ask(tracker, engine, prompt, output_tokens, gives_up_at)


async def _ask(
    tracker: Tracker, engine: Engine, prompt: bytes, output_tokens: int, gives_up_at: int | None
) -> None:
    patience = asyncio.timeout(None)
    try:
        asked = tracker.request(
            model=MODEL_NAME, input_tokens=len(prompt), output_tokens=output_tokens
        )
        async with patience, asked as request:
            request.add_tokens(input=len(prompt))
            async with aclosing(engine.stream(prompt, output_tokens)) as answer:
                seen = 0
                async for _ in answer:
                    request.add_tokens(output=1)
                    seen += 1
                    if seen == gives_up_at:
                        patience.reschedule(asyncio.get_running_loop().time())
    except TimeoutError:
        if not patience.expired():
            raise
