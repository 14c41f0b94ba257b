"""A chat page whose answers wear a badge of what they cost, with the live page beside it.

Run it: python examples/06_chat.py (it asks itself once and ends)
Serve it: uvicorn --app-dir examples 06_chat:app, then open / to chat and /energy/ to watch
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

import inferprint
from inferprint.wire import footprint_of
from inferprint_exporters.live import live_app

app = FastAPI()
app.mount("/energy", live_app(inferprint.get_tracker()))

PAGE = """<!doctype html><html lang="en" style="color-scheme: light dark"><title>Chat</title>
<script type="module" src="/energy/static/badge.js"></script>
<form id="form"><label>Ask <input id="question"></label></form><ul id="answers"></ul>
<script>form.onsubmit = async event => {
  event.preventDefault();
  const asked = await fetch("/ask?" + new URLSearchParams({ prompt: question.value }));
  const reply = await asked.json(), badge = document.createElement("inferprint-badge");
  badge.footprint = reply.usage.footprint;
  const item = document.createElement("li");
  item.append(reply.text, " ", badge);
  answers.append(item);
}</script>"""


@app.get("/")
def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


@app.get("/ask")
async def ask(prompt: str) -> dict[str, Any]:
    """Stands in for a model: an echo after some tenths of a second of work."""
    async with inferprint.request(model="demo-model") as request:
        await asyncio.to_thread(lambda: [pow(3, n, 1_000_003) for n in range(300_000)])
        request.add_tokens(input=len(prompt.split()), output=len(prompt.split()))
    return {"text": prompt, "usage": {"footprint": footprint_of(await request.settled())}}


async def main() -> None:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://example") as client:
        reply = await client.get("/ask", params={"prompt": "What does this answer cost?"})
    print(reply.text)


if __name__ == "__main__":
    asyncio.run(main())
