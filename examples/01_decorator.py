"""One decorator: every call of a function gets a receipt.

Run it: python examples/01_decorator.py
"""

from __future__ import annotations

from dataclasses import dataclass

import inferprint


@dataclass
class Reply:
    """What a model's client gives back: a text and how many tokens it took."""

    text: str
    usage: dict[str, int]


@inferprint.track(model="demo-model", tokens=lambda reply: reply.usage)
def generate(prompt: str) -> Reply:
    """Stands in for a model: some tenths of a second of work on the CPU."""
    work = [pow(3, n, 1_000_003) for n in range(300_000)]
    words = [str(work[-n]) for n in range(1, 9)]
    requests.append(inferprint.current())
    return Reply(" ".join(words), {"input_tokens": len(prompt.split()), "output_tokens": 8})


requests: list[inferprint.Request | None] = []

for question in ("What does one answer cost?", "And another one?"):
    print(generate(question).text)

for request in requests:
    assert request is not None
    print(request.receipt(timeout=5.0))
