"""How fast a model's requests usually go, learned from those that tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.attribution.learning.prompts import PromptQueue
from benchmarks.attribution.learning.usual import Ratio


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

    def state(self) -> dict[str, Any]:
        """What was learned, as plain values."""
        return {
            "prompts": self.prompts.state(),
            "output_rate": [self.output_rate.total, self.output_rate.over],
            "prompt": [self.prompt.total, self.prompt.over],
            "silent": [self.silent.total, self.silent.over],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Pace:
        """The pace that ``state`` was taken from."""
        pace = cls()
        pace.prompts.restore(state["prompts"])
        pace.output_rate = Ratio(*map(float, state["output_rate"]))
        pace.prompt = Ratio(*map(float, state["prompt"]))
        pace.silent = Ratio(*map(float, state["silent"]))
        return pace
