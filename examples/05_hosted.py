"""A receipt for a call to a model that runs elsewhere, estimated by EcoLogits.

Run it: python examples/05_hosted.py (needs: pip install 'inferprint[ecologits]')
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import inferprint
from inferprint.equivalences import alike
from inferprint.readable import in_words, site_energy


def ask(prompt: str) -> SimpleNamespace:
    """Stands in for the client of a provider's API."""
    time.sleep(0.05)
    return SimpleNamespace(
        text="Paris.", usage=SimpleNamespace(prompt_tokens=len(prompt.split()), completion_tokens=2)
    )


def main() -> None:
    with inferprint.Tracker() as tracker:
        began = time.perf_counter()
        reply = ask("What is the capital of France?")
        receipt = tracker.hosted(
            provider="mistralai",
            model="mistral-large-latest",
            input_tokens=reply.usage.prompt_tokens,
            output_tokens=reply.usage.completion_tokens,
            latency_s=time.perf_counter() - began,
        )
        charged_j = sum(d.requests_active_j for d in tracker.balance().devices.values())
    print(receipt)
    print(in_words(receipt, alike(site_energy(receipt.energy))))
    print(f"charged to requests that were measured here: {charged_j:g} J")


if __name__ == "__main__":
    main()
