"""What the cost of work is expected to be before it is learned, and where data can't tell.

A server at a steady load shows one power, and can't tell what is fixed from what is the
requests' own. Then the cost is taken to be like that of other servers.

Source: ML.ENERGY leaderboard v3 (data of 2026-02-27), refitted as step energy F + k b for
35 pairs of model and GPU: F is about 90 % of a step at batch 8, so F / k is 72 tokens; an
output token's energy grows 2.26 times from 1k to 16k of context. A prompt token is taken to
cost half an output token's own work: no published figure parts the two without a model of
the hardware. All are only where the fit starts: deviations are larger than the values.

With few in flight, F is nearly all, and the shares are nearly equal shares of time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from inferprint.learning.fit import Expected
from inferprint.learning.work import WindowWork

FIXED_TOKENS = 72.0
PROMPT_TO_OUTPUT = 0.5
CONTEXT_TO_OUTPUT = 0.5 * 1.26 / 15_000
BEND = 0.5
"""Deviation of bend × mean active watts: at 0.5 a cap of twice the mean power."""

SPREAD = 1.0
"""Deviation of what a token costs, relative to what is expected."""

FIXED_SPREAD = 0.7
"""The same of what anyone running costs. Tried on the simulated servers of benchmarks/attribution,
which share 47 and 76 tokens' worth: without it a server that fills up and stays full is taken to
share a third too much or nothing at all."""

_MEMORY_S = 60.0
_LEAST_TOKENS = 1e-3
_LEAST_J = 1e-12


class Prior:
    """Expectations from a device's recent power, tokens and numbers in flight."""

    def __init__(self) -> None:
        self._active_j = self._busy_s = 0.0
        self._requests_s: dict[str, float] = {}
        self._output: dict[str, float] = {}

    def push(self, row: WindowWork) -> None:
        """Takes what was seen."""
        keep = math.exp(-row.duration_s / _MEMORY_S)
        self._active_j = keep * self._active_j + row.active_j
        self._busy_s = keep * self._busy_s + row.busy_s
        _fade(self._requests_s, keep, row.requests_s)
        _fade(self._output, keep, {model: work.output for model, work in row.work.items()})

    @property
    def bend(self) -> Expected:
        """Of the law's bend, per watt."""
        return Expected(0.0, BEND * self._busy_s / self._active_j)

    @property
    def fixed(self) -> Expected:
        """Of the watts while anyone runs."""
        mean_w = (1 - self._own_share) * self._active_j / self._busy_s
        return Expected(mean_w, FIXED_SPREAD * mean_w)

    @property
    def _own_share(self) -> float:
        concurrency = sum(self._requests_s.values()) / self._busy_s
        return concurrency / (concurrency + FIXED_TOKENS)

    def own(self, model: str) -> tuple[Expected, ...] | None:
        """Of a model's joules per token, as in ``Work``; None: it has told of no output."""
        output = self._output.get(model, 0.0)
        if output < _LEAST_TOKENS:
            return None
        requests_s = sum(self._requests_s.values())
        own_j = self._active_j * self._own_share * self._requests_s.get(model, 0.0) / requests_s
        each_j = own_j / output
        if each_j < _LEAST_J:
            return None
        return tuple(
            Expected(part * each_j, SPREAD * part * each_j)
            for part in (PROMPT_TO_OUTPUT, 1.0, CONTEXT_TO_OUTPUT)
        )

    def state(self) -> dict[str, Any]:
        """What was seen, as plain values."""
        return {
            "active_j": self._active_j,
            "busy_s": self._busy_s,
            "requests_s": dict(self._requests_s),
            "output": dict(self._output),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Prior:
        """What ``state`` was taken from."""
        prior = cls()
        prior._active_j, prior._busy_s = float(state["active_j"]), float(state["busy_s"])
        prior._requests_s, prior._output = dict(state["requests_s"]), dict(state["output"])
        return prior


def _fade(sums: dict[str, float], keep: float, more: Mapping[str, float]) -> None:
    for model in sums:
        sums[model] *= keep
    for model, value in more.items():
        sums[model] = sums.get(model, 0.0) + value
