"""A server of a small transformers model, whose tracking is turned on and off over HTTP."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn
from fastapi import FastAPI

from inferprint import Tracker
from inferprint.integrations.transformers import track_model

THREADS = 4


class Served:
    """The model, and whether its calls are tracked."""

    def __init__(self) -> None:
        self._torch = importlib.import_module("torch")
        transformers = importlib.import_module("transformers")
        # The two cores are for what is compared, and for whoever asks.
        self._torch.set_num_threads(1)
        config = transformers.LlamaConfig(
            vocab_size=512,
            hidden_size=256,
            intermediate_size=688,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=4,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=0,
        )
        self.model = transformers.AutoModelForCausalLM.from_config(config).eval()
        self._plain: Any = self.model.generate
        self.tracker: Tracker | None = None

    def generate(self, prompt: list[int], tokens: int) -> list[int]:
        """A completion, greedy."""
        ids = self._torch.tensor([prompt])
        found = self.model.generate(
            ids, attention_mask=ids.new_ones(ids.shape), max_new_tokens=tokens, do_sample=False
        )
        return [int(one) for one in found[0, len(prompt) :]]

    def track(self) -> None:
        """Turns tracking on, on the machine's own sources."""
        self.tracker = Tracker().start()
        track_model(self.model, name="tiny", tracker=self.tracker)

    def untrack(self) -> None:
        """Turns it off: no thread of ours runs, and ``generate`` is the model's own."""
        self.model.generate = self._plain
        if self.tracker is not None:
            self.tracker.stop()
            self.tracker = None


def application(served: Served) -> FastAPI:
    """Completions of the kind of OpenAI's, and the switch."""
    app, pool = FastAPI(), ThreadPoolExecutor(THREADS)

    @app.post("/v1/completions")
    async def complete(body: dict[str, Any]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        tokens = await loop.run_in_executor(
            pool, served.generate, body["prompt"], int(body["max_tokens"])
        )
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(tokens)}
        return {"choices": [{"index": 0, "tokens": tokens}], "usage": usage}

    @app.post("/tracking/{state}")
    def switch(state: str) -> dict[str, Any]:
        served.track() if state == "on" else served.untrack()
        return {"cpu_s": time.process_time()}

    @app.get("/cpu")
    def cpu() -> dict[str, Any]:
        return {"cpu_s": time.process_time()}

    return app


def main() -> None:
    """Prints its port, and serves until its input is closed."""
    served = Served()
    listener = socket.create_server(("127.0.0.1", 0))
    settings = uvicorn.Config(application(served), log_level="error", lifespan="off")
    server = uvicorn.Server(settings)
    print(listener.getsockname()[1], flush=True)

    def wait() -> None:
        sys.stdin.read()
        server.should_exit = True

    async def serve() -> None:
        asyncio.get_running_loop().run_in_executor(None, wait)
        await server.serve([listener])
        served.untrack()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
