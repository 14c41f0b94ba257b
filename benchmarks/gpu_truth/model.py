"""A Llama-shaped model of random weights, served by transformers' continuous batching."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

TOKEN_TIMEOUT_S = 120.0
PAGE_TOKENS = 256
"""Tokens of one page of the cache: transformers' own default."""


class Engine(Protocol):
    """What serves requests."""

    def stream(self, input_tokens: int, output_tokens: int) -> AsyncIterator[int]:
        """Serves one request; yields how many tokens have come, each time some have."""
        ...


@dataclass(frozen=True)
class Shape:
    """The shape of a Llama model: Grattafiori et al., "The Llama 3 Herd of Models",
    arXiv:2407.21783, section 3.2.
    """

    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        kv_width = self.width // self.heads * self.kv_heads
        attention = 2 * self.width * (self.width + kv_width)
        layer = attention + 3 * self.width * self.hidden + 2 * self.width
        embeddings = (1 if self.tied else 2) * self.vocabulary * self.width
        return self.layers * layer + embeddings + self.width


SIZES = {
    "tiny": Shape(2, 64, 128, 4, 2, 256, tied=True),
    # Llama-3.2-1B: Meta's model card gives 1.23 billion parameters, embeddings shared.
    "1b": Shape(16, 2048, 8192, 32, 8, 128_256, tied=True),
    # Llama-3-8B: table 3 of the paper; 8.03 billion parameters.
    "8b": Shape(32, 4096, 14_336, 32, 8, 128_256, tied=False),
}


class BatchingEngine:
    """Requests to a running manager of transformers' continuous batching.

    Prompts are random tokens and pages are not shared, so that nothing is ever cached.

    Args:
        manager: transformers' ``ContinuousBatchingManager``, started.
        vocabulary: how many tokens there are.
        seed: of the prompts.
    """

    def __init__(self, manager: Any, vocabulary: int, seed: int = 1) -> None:
        self._manager = manager
        self._vocabulary = vocabulary
        self._random = Random(seed)
        self._numbers = itertools.count()

    async def stream(self, input_tokens: int, output_tokens: int) -> AsyncIterator[int]:
        """Serves one request; yields how many tokens have come, each time some have.

        Raises:
            RuntimeError: it could not be served, or not to its full length.
            TimeoutError: no token came for two minutes.
        """
        name = f"request-{next(self._numbers)}"
        arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._manager.register_result_handler(name, arrived.put_nowait)
        prompt = self._random.choices(range(self._vocabulary), k=input_tokens)
        accepted = self._manager.add_request(
            prompt, request_id=name, max_new_tokens=output_tokens, streaming=True
        )
        if accepted is None:
            raise RuntimeError("transformers takes no more requests: its thread has ended")
        told, finished = 0, False
        while not finished:
            reply = await asyncio.wait_for(arrived.get(), TOKEN_TIMEOUT_S)
            if reply.error is not None:
                raise RuntimeError(f"transformers could not serve a request: {reply.error}")
            new, finished = len(reply.generated_tokens) - told, reply.is_finished()
            told += new
            if new:
                yield new
        if told != output_tokens:
            raise RuntimeError(f"a request gave {told} tokens: expected {output_tokens}")


def load(size: str, device: str, attention: str) -> Any:
    """The model, on its device; on a GPU this makes the CUDA context."""
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    shape = SIZES[size]
    config = transformers.LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=shape.tied,
        max_position_embeddings=8192,
        bos_token_id=None,
        eos_token_id=None,
    )
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=attention
        )
    return model.eval()


@contextlib.contextmanager
def served(model: Any, requests: int, longest_tokens: int) -> Iterator[BatchingEngine]:
    """The model behind continuous batching, for so many requests at a time.

    Args:
        model: of ``load``.
        requests: at the same time, at most.
        longest_tokens: of a prompt and its output.
    """
    transformers = importlib.import_module("transformers")
    generation = transformers.GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0)
    batching = transformers.ContinuousBatchingConfig(
        page_size=PAGE_TOKENS,
        num_blocks=2 * requests * (longest_tokens // PAGE_TOKENS + 1),
        max_batch_tokens=max(512, longest_tokens),
        allow_block_sharing=False,
        auto_switch_to_flash=False,  # it could fetch a kernel, and the report names what ran
    )
    with model.continuous_batching_context_manager(
        generation_config=generation, continuous_batching_config=batching, timeout=30.0
    ) as manager:
        yield BatchingEngine(manager, model.config.vocab_size)


def versions() -> dict[str, object]:
    """Of what serves the model."""
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": transformers.__version__,
    }
