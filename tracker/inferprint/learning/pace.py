"""How fast a model's requests usually go, learned from those that tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferprint.learning.prompts import PromptQueue
from inferprint.learning.usual import Ratio

_REQUEST_S = 5.0
"""Seconds of output that count as a request's worth. Tokens are looked at when windows close,
so over a few windows their rate is off by a token or two a request."""


class Pace:
    """One model's usual pace.

    Attributes:
        prompts: the prompts that wait for their first token.
        output_rate: output tokens per second of a request, once it has begun.
        prompt: uncached prompt tokens of a request.
        silent: share of the requests that tell their tokens only at their end.
    """

    __slots__ = ("output_rate", "prompt", "prompts", "silent")

    def __init__(self) -> None:
        self.prompts = PromptQueue()
        self.output_rate, self.prompt, self.silent = Ratio(), Ratio(), Ratio()

    def went(self, output: int, took_s: float) -> None:
        """A request took so long for so many output tokens."""
        self.output_rate.add(output, took_s, took_s / _REQUEST_S)

    def state(self) -> dict[str, Any]:
        """What was learned, as plain values."""
        return {
            "prompts": self.prompts.state(),
            "output_rate": self.output_rate.state(),
            "prompt": self.prompt.state(),
            "silent": self.silent.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Pace:
        """The pace that ``state`` was taken from."""
        pace = cls()
        pace.prompts.restore(state["prompts"])
        pace.output_rate = Ratio.from_state(state["output_rate"])
        pace.prompt = Ratio.from_state(state["prompt"])
        pace.silent = Ratio.from_state(state["silent"])
        return pace
