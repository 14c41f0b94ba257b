"""A receipt for every generation of a transformers model, of random weights here.

Run it: python examples/08_transformers.py (needs: pip install torch transformers)
"""

from __future__ import annotations

from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from transformers import (  # pyright: ignore[reportMissingImports]
    AutoModelForCausalLM,
    LlamaConfig,
)

import inferprint
from inferprint.integrations.transformers import track_model


def small_llama() -> Any:
    """In place of ``AutoModelForCausalLM.from_pretrained(...)``."""
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=128,
        intermediate_size=344,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        eos_token_id=None,
        pad_token_id=0,
    )
    return AutoModelForCausalLM.from_config(config).eval()


def main() -> None:
    with inferprint.Tracker() as tracker:
        model = track_model(small_llama(), name="small-llama", tracker=tracker)
        with tracker.request("two answers") as both:
            for length in (20, 60):
                prompt = torch.arange(1, 1 + length).unsqueeze(0)
                model.generate(prompt, max_new_tokens=length, do_sample=False)
        receipt = both.receipt(timeout=5.0)
    for child in receipt.children:
        print(child)
        print(
            f"  first token after {child.time_to_first_token_s:.3f} s of {child.duration_s:.3f} s"
        )


if __name__ == "__main__":
    main()
