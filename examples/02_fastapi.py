"""An endpoint whose reply says what it cost, as ``usage.footprint``.

Run it: python examples/02_fastapi.py (it asks itself once and ends)
Serve it: uvicorn --app-dir examples 02_fastapi:app
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from fastapi import FastAPI

import inferprint
from inferprint.wire import footprint_of

app = FastAPI()


def generate(prompt: str) -> list[int]:
    """Stands in for a model: some tenths of a second of work on the CPU."""
    return [pow(3, n, 1_000_003) for n in range(300_000)][-8:]


@app.get("/ask")
async def ask(prompt: str) -> dict[str, Any]:
    """An answer, with its tokens and its footprint so far."""
    async with inferprint.request(model="demo-model", labels={"route": "/ask"}) as request:
        tokens = await asyncio.to_thread(generate, prompt)
        request.add_tokens(input=len(prompt.split()), output=len(tokens))
    footprint = footprint_of(request.estimate())
    return {"tokens": tokens, "usage": {"output_tokens": len(tokens), "footprint": footprint}}


async def main() -> None:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://example") as client:
        reply = await client.get("/ask", params={"prompt": "What does this answer cost?"})
    print(json.dumps(reply.json(), indent=2))


if __name__ == "__main__":
    asyncio.run(main())
