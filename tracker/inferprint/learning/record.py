"""How far quotes of a model were off, and how long its outputs are: what quotes learn from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from inferprint.learning.latest import Latest

_TAIL = 0.03
"""Part of the record that an interval of 90 % leaves out on each side. Not 0.05: requests of the
same minutes met the same load, so that a record tells of fewer loads than it has requests. Tried
on the simulated servers of benchmarks/attribution: 5 % covers 86 to 89 % of those to come."""

_DOUBT = 0.25
"""A median that is off counts by what it is more than this part of the quartiles' distance: less
comes and goes with the load."""

KNOWN, GUESSED = 0.3, 1.0
"""Standard deviations of log(actual / quoted) that are taken until requests have told more: a
guess, of the order of what the number in flight changes by while a request runs, and of what the
lengths of answers differ by (those of benchmarks/attribution by 0.3 or less, and by 0.7)."""

# Quantiles of the normal distribution at (i + 0.5) / 21, those above the median.
_NORMAL = (0.120, 0.241, 0.366, 0.497, 0.637, 0.792, 0.967, 1.180, 1.465, 1.981)

_LEAST_RATIOS = 20


class Spread(NamedTuple):
    """Factors on a raw figure: the interval of 90 % and the middle of actual over raw."""

    low: float
    mid: float
    high: float


class Ratios:
    """The latest ratios of what requests used to what was expected of them.

    Args:
        deviation: of their logarithms, until there are some.
        logs: those that there are.
    """

    def __init__(self, deviation: float, logs: Iterable[float] = ()) -> None:
        first = [deviation * part for part in _NORMAL]
        self._logs = Latest(logs, [*first, 0.0, *(-part for part in first)])
        self._spread: Spread | None = None

    def add(self, actual: float, raw: float) -> None:
        """Takes a request; one that has no ratio is left out."""
        if actual > 0 and raw > 0:
            self._logs.add(math.log(actual / raw))
            self._spread = None

    @property
    def spread(self) -> Spread:
        """Their interval and their middle."""
        if self._spread is None:
            logs = self._logs
            low, median, high = logs.at(_TAIL), logs.at(0.5), logs.at(1 - _TAIL)
            off = max(0.0, abs(median) - _DOUBT * _between_quartiles(logs))
            mid = max(low, min(high, math.copysign(off, median)))
            self._spread = Spread(math.exp(low), math.exp(mid), math.exp(high))
        return self._spread

    def state(self) -> list[float]:
        """The ratios' logarithms."""
        return list(self._logs.values)


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
        by_part = len(parts) >= _LEAST_RATIOS and (
            _between_quartiles(parts) < _between_quartiles(tokens)
        )
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


def _between_quartiles(logs: Latest) -> float:
    return logs.at(0.75) - logs.at(0.25)


class Record:
    """One model's: quotes whose output length was known, and those of its usual length."""

    def __init__(self) -> None:
        self.lengths = Lengths()
        self.energy, self.duration = Ratios(KNOWN), Ratios(KNOWN)
        self.energy_of_usual, self.duration_of_usual = Ratios(GUESSED), Ratios(GUESSED)

    def state(self) -> dict[str, Any]:
        """What was learned, as plain values that JSON can hold."""
        return {
            "lengths": self.lengths.state(),
            **{name: getattr(self, name).state() for name in _DEVIATION},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Record:
        """The record that ``state`` was taken from."""
        record = cls()
        record.lengths = Lengths.from_state(state["lengths"])
        for name, deviation in _DEVIATION.items():
            setattr(record, name, Ratios(deviation, map(float, state[name])))
        return record


_DEVIATION = {
    "energy": KNOWN,
    "duration": KNOWN,
    "energy_of_usual": GUESSED,
    "duration_of_usual": GUESSED,
}
