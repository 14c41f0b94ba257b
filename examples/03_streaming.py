"""A streamed answer: tokens are told as they come, the receipt is asked for at its end.

Run it: python examples/03_streaming.py
"""

from __future__ import annotations

from collections.abc import Iterator

import inferprint


def stream(prompt: str) -> Iterator[str]:
    """Stands in for a model: each word takes some hundredths of a second on the CPU."""
    for word in f"You asked: {prompt} Each word of this answer was told to its request.".split():
        sum(pow(3, n, 1_000_003) for n in range(30_000))
        yield word


def main() -> None:
    prompt = "What does a stream cost?"
    with inferprint.request(model="demo-model", labels={"route": "/stream"}) as request:
        request.add_tokens(input=len(prompt.split()))
        for word in stream(prompt):
            request.add_tokens(output=1)
            print(word, end=" ", flush=True)
    print()
    receipt = request.receipt(timeout=5.0)
    print(receipt)
    print(f"first token after {receipt.time_to_first_token_s:.3f} s of {receipt.duration_s:.3f} s")


if __name__ == "__main__":
    main()
