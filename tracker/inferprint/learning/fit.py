"""A recursive least-squares fit whose parameters can't be negative, and which forgets.

What is known is held as an information matrix and vector: observations add to them, and the
estimate is their minimum over the non-negative parameters.

It forgets only what the next observation replaces (directional forgetting, after Cao and
Schwartz, Automatica 36, 2000): a server that has run for hours at a steady load still knows
what it learned when the load last changed.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from inferprint.learning.linear import Matrix, Vector, inverse, solve
from inferprint.learning.nonnegative import non_negative

Row = Sequence[tuple[int, float]]
"""An observation's sensitivity to parameters: (index, derivative), others 0."""

Observation = tuple[Row, float, float]
"""What ``observe`` takes."""

_UNKNOWN = 1e-12
"""Precision of a parameter of which nothing is expected."""

_ROUNDING = 1e-9
"""Relative to what is known of a parameter: what sums of products may have lost."""


class Expected(NamedTuple):
    """What a figure is expected to be, and its standard deviation."""

    mean: float
    deviation: float


class Observed:
    """What observations told of some parameters: the sums that a least-squares fit needs.

    Attributes:
        information, moment: their matrix and vector.
    """

    def __init__(self, size: int = 0) -> None:
        self.information: Matrix = [[0.0] * size for _ in range(size)]
        self.moment: Vector = [0.0] * size

    def add(self) -> int:
        """Adds a parameter; returns its index."""
        self.moment.append(0.0)
        for line in self.information:
            line.append(0.0)
        self.information.append([0.0] * len(self.moment))
        return len(self.moment) - 1

    def replace(self, row: Row, keep: float) -> None:
        """Forgets in the direction that the next observation tells about.

        Args:
            row: that observation's.
            keep: how much of what is known in its direction stays, 0 to 1.
        """
        known = [sum(line[j] * value for j, value in row) for line in self.information]
        told = sum(known[j] * value for j, value in row)
        if told <= 0:
            return
        part = (1 - keep) / told
        shift = part * sum(self.moment[j] * value for j, value in row)
        touched = [(i, value) for i, value in enumerate(known) if value]
        for i, value in touched:
            self.moment[i] -= value * shift
            line = self.information[i]
            for j, other in touched:
                line[j] -= part * value * other

    def forget(self, keep: float) -> None:
        """All that was observed counts ``keep`` (0 to 1) times as much from now on."""
        self.moment = [keep * value for value in self.moment]
        self.information = [[keep * value for value in line] for line in self.information]

    def observe(self, row: Row, target: float, precision: float) -> None:
        """Takes one observation, target = row · parameters, of variance 1 / ``precision``."""
        for i, derivative in row:
            weighted = derivative * precision
            self.moment[i] += weighted * target
            line = self.information[i]
            for j, other in row:
                line[j] += weighted * other

    def state(self) -> dict[str, Any]:
        """What is known, as plain lists."""
        return {
            "moment": list(self.moment),
            "information": [list(line) for line in self.information],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """What ``state`` was taken from."""
        made = cls()
        made.moment = list(map(float, state["moment"]))
        made.information = [list(map(float, line)) for line in state["information"]]
        return made

    def check(self, size: int) -> None:
        """Makes sure that a state can be gone on with.

        Raises:
            ValueError: it is not of so many parameters, or a number is not finite.
        """
        parts = [self.moment, *self.information]
        if len(self.information) != size or any(len(part) != size for part in parts):
            raise ValueError(f"the parts of what {size} parameters are known by differ in length")
        if not all(math.isfinite(value) for part in parts for value in part):
            raise ValueError("a number is not finite")


class RecursiveFit(Observed):
    """Non-negative parameters, each with an expectation that is not forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.estimate: Vector = []
        self._mean: Vector = []
        self._precision: Vector = []
        # What is observed for now.
        self._recent = Observed()

    def add(self) -> int:
        """Adds a parameter, 0 until more is known; returns its index."""
        for values in (self.estimate, self._mean):
            values.append(0.0)
        self._precision.append(_UNKNOWN)
        self._recent.add()
        return super().add()

    def expect(self, index: int, mean: float, deviation: float) -> None:
        """What a parameter is taken to be as far as the observations leave it open."""
        self._mean[index] = mean
        self._precision[index] = deviation**-2

    def recall(self, known: Observed) -> None:
        """Takes this in place of all that was observed for good."""
        self.information, self.moment = known.information, known.moment

    def try_again(self, observations: Iterable[Observation]) -> None:
        """Takes these observations, as for ``observe``, in place of those given here before."""
        self._recent = Observed(len(self.estimate))
        for observation in observations:
            self._recent.observe(*observation)

    def solve(self, indices: Sequence[int]) -> None:
        """Finds the best values of some of the parameters, the others held."""
        chosen, recent = set(indices), self._recent.information
        held = [(j, value) for j, value in enumerate(self.estimate) if value and j not in chosen]
        right = [
            self.moment[i]
            + self._recent.moment[i]
            + self._precision[i] * self._mean[i]
            - sum((self.information[i][j] + recent[i][j]) * value for j, value in held)
            for i in indices
        ]
        start = [self.estimate[i] for i in indices]
        values = non_negative(self._posterior(indices), right, start)
        for i, value in zip(indices, values, strict=True):
            self.estimate[i] = value

    def deviation(self, indices: Sequence[int], row: Row) -> float:
        """Standard deviation of what a row comes to, parameters other than these held."""
        place = {i: line for line, i in enumerate(indices)}
        right = [0.0] * len(indices)
        for i, value in row:
            right[place[i]] += value
        solution = solve(self._posterior(indices), right)
        return math.sqrt(max(0.0, sum(map(operator.mul, right, solution))))

    def expected(self, row: Row) -> Expected:
        """What a row is expected to come to before anything was observed."""
        mean = sum(value * self._mean[i] for i, value in row)
        variance = sum(value * value / self._precision[i] for i, value in row)
        return Expected(mean, math.sqrt(variance))

    def covariance(self, indices: Sequence[int]) -> Matrix:
        """Of the errors of some of the parameters, the others held."""
        return inverse(self._posterior(indices))

    def state(self) -> dict[str, Any]:
        """What is known for good, as plain lists."""
        return {
            "estimate": list(self.estimate),
            "mean": list(self._mean),
            "precision": list(self._precision),
            **super().state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The fit that ``state`` was taken from."""
        fit = super().from_state(state)
        fit.estimate = list(map(float, state["estimate"]))
        fit._mean = list(map(float, state["mean"]))
        fit._precision = list(map(float, state["precision"]))
        fit.try_again(())
        return fit

    def check_used(self, used: Sequence[int]) -> None:
        """Makes sure that a state can be gone on with.

        Args:
            used: the parameters that there must be.

        Raises:
            ValueError: its parts do not fit together, or a number is not finite.
        """
        size = len(self.estimate)
        self.check(size)
        parts = [self.estimate, self._mean, self._precision]
        if any(len(part) != size for part in parts):
            raise ValueError(f"the parts of a fit of {size} parameters differ in length")
        if sorted(used) != list(range(size)):
            raise ValueError(f"it has {size} parameters, and uses {sorted(used)}")
        if not all(math.isfinite(value) for part in parts for value in part):
            raise ValueError("a number is not finite")
        if min(self.estimate) < 0:
            raise ValueError("a parameter is negative")
        solve(self._posterior(used), [0.0] * size)

    def _posterior(self, indices: Sequence[int]) -> Matrix:
        known, recent = self.information, self._recent.information
        matrix = [[known[i][j] + recent[i][j] for j in indices] for i in indices]
        for line, i in enumerate(indices):
            matrix[line][line] += self._precision[i] + _ROUNDING * matrix[line][line]
        return matrix
