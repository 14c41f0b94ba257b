"""How far quotes of a model were off, and how long its outputs are: what quotes learn from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, NamedTuple

from inferprint.learning.latest import Latest

COVERAGE = 0.9
"""Part of the requests that an interval is to hold."""

_FIRST_DEVIATION = 0.3
"""Standard deviation of log(actual / quoted) that is taken until requests have told more: of the
order of what the number in flight changes by while a request runs, at a few in flight."""

_FIRST = tuple(NormalDist(0.0, _FIRST_DEVIATION).inv_cdf((i + 0.5) / 21) for i in range(21))

_LEAST_RATIOS = 20


class Spread(NamedTuple):
    """Factors on a raw figure: the 5th, 50th and 95th percentile of actual over raw."""

    low: float
    mid: float
    high: float


class Ratios:
    """The latest ratios of what requests used to what was expected of them."""

    def __init__(self, logs: Latest | None = None) -> None:
        self._logs = logs if logs is not None else Latest(expected=_FIRST)
        self._spread: Spread | None = None

    def add(self, actual: float, raw: float) -> None:
        """Takes a request; one that has no ratio is left out."""
        if actual > 0 and raw > 0:
            self._logs.add(math.log(actual / raw))
            self._spread = None

    @property
    def spread(self) -> Spread:
        """Their percentiles."""
        if self._spread is None:
            tail = (1 - COVERAGE) / 2
            parts = (tail, 0.5, 1 - tail)
            self._spread = Spread(*(math.exp(self._logs.at(part)) for part in parts))
        return self._spread

    def state(self) -> list[float]:
        """The ratios' logarithms."""
        return list(self._logs.values)

    @classmethod
    def from_state(cls, state: list[float]) -> Ratios:
        """What ``state`` was taken from."""
        return cls(Latest(map(float, state), _FIRST))


class Lengths:
    """The latest lengths of a model's outputs, and what part of their maximum they were."""

    def __init__(self) -> None:
        self._tokens, self._parts = Latest(), Latest()

    def add(self, output: int, most: int | None) -> None:
        """A request came to its end with so many output tokens; ``most`` as for ``expected``."""
        if output > 0:
            self._tokens.add(math.log(output))
            if most is not None and most >= output:
                self._parts.add(math.log(output / most))

    @property
    def usual(self) -> Usual:
        """What is usual of them."""
        tokens, parts = self._tokens, self._parts
        by_part = len(parts) >= _LEAST_RATIOS and _spread(parts) < _spread(tokens)
        return Usual(
            math.exp(tokens.at(0.5)) if len(tokens) else None,
            math.exp(parts.at(0.5)) if by_part else None,
        )

    def state(self) -> dict[str, list[float]]:
        """Both distributions, as logarithms."""
        return {"tokens": list(self._tokens.values), "parts": list(self._parts.values)}

    @classmethod
    def from_state(cls, state: Mapping[str, list[float]]) -> Lengths:
        """What ``state`` was taken from."""
        lengths = cls()
        lengths._tokens = Latest(map(float, state["tokens"]))
        lengths._parts = Latest(map(float, state["parts"]))
        return lengths


class Usual(NamedTuple):
    """The median output of a model.

    Args:
        tokens: its length; None: no request has told.
        part: of the maximum that it was given; None where the length itself varies less.
    """

    tokens: float | None
    part: float | None

    def output(self, most: int | None) -> float | None:
        """The output that is expected.

        Args:
            most: output tokens at most; None: no limit is known.
        """
        if most is None or self.tokens is None:
            return self.tokens
        return min(float(most), self.tokens if self.part is None else self.part * most)


def _spread(logs: Latest) -> float:
    return logs.at(0.75) - logs.at(0.25)


class Record:
    """One model's: quotes whose output length was known, and those of its usual length."""

    def __init__(self) -> None:
        self.lengths = Lengths()
        self.energy, self.duration = Ratios(), Ratios()
        self.energy_of_usual, self.duration_of_usual = Ratios(), Ratios()

    def state(self) -> dict[str, Any]:
        """What was learned, as plain values that JSON can hold."""
        return {
            "lengths": self.lengths.state(),
            **{name: getattr(self, name).state() for name in _RATIOS},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Record:
        """The record that ``state`` was taken from."""
        record = cls()
        record.lengths = Lengths.from_state(state["lengths"])
        for name in _RATIOS:
            setattr(record, name, Ratios.from_state(state[name]))
        return record


_RATIOS = ("energy", "duration", "energy_of_usual", "duration_of_usual")
