"""A Gradio chat whose answers wear a badge of what they cost.

Run it: python examples/07_gradio.py (it answers once and ends)
Serve it: python examples/07_gradio.py --serve
"""

from __future__ import annotations

import sys

import gradio  # pyright: ignore[reportMissingImports]

import inferprint
from inferprint.html import badge
from inferprint_exporters.live import BADGE_JS

HEAD = f'<script type="module">{BADGE_JS.read_text()}</script>'


def generate(prompt: str) -> str:
    """Stands in for a model: an echo after some tenths of a second of work."""
    sum(pow(3, n, 1_000_003) for n in range(300_000))
    return prompt


def answer(message: str) -> tuple[str, str]:
    """An answer, and its badge as HTML that is safe to show."""
    with inferprint.request(model="demo-model") as request:
        text = generate(message)
        request.add_tokens(input=len(message.split()), output=len(text.split()))
    return text, badge(request.receipt(timeout=5.0))


def reply(message: str, _history: list[object]) -> list[object]:
    """What Gradio shows: the text as it shows any other, and the badge below it."""
    text, html = answer(message)
    return [text, gradio.HTML(html)]


chat = gradio.ChatInterface(reply, title="A chat with its cost", analytics_enabled=False)

if __name__ == "__main__":
    if "--serve" in sys.argv:
        chat.launch(head=HEAD, server_name="127.0.0.1")
    else:
        print(*answer("What does this answer cost?"), sep="\n")
