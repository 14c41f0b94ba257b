"""How well the weights of work are known, for the error of a request's energy.

A window's energy is known; what is uncertain is how it divides into what is shared alike and
the work of each kind. So errors here are those of the parts, their sum being given: a request
with the usual mix of them is known well where each of them is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from inferprint.learning.linear import Matrix

PROMPTS = 0.2
"""How far off a prompt's price is, relative, however long it is learned: when a prompt was
computed is known to a window or so, and errors in what is regressed on draw a slope down.
Source: benchmarks/attribution, where it is 5 to 25 % too low on servers with 64 in flight."""

# A parameter is moved by this part of its deviation to see what follows.
_STEP = 0.05
# Errors of the latest observations that count for how they hang together.
_MEMORY = 100.0
_MOST_ALIKE = 0.9


class WorkError(NamedTuple):
    """How well one model's work is told apart from all else.

    Args:
        prompt_j, output_j: standard deviation of the weight of a token, what comes with the
            context taken in.
        with_shared, of_outputs_with_shared, of_both: how the errors go together, -1 to 1: of
            prompts with what is shared, of outputs with it, and of prompts with outputs.
    """

    prompt_j: float
    output_j: float
    with_shared: float
    of_outputs_with_shared: float
    of_both: float


EXACT: Final = WorkError(0.0, 0.0, 0.0, 0.0, 0.0)


class Errors(NamedTuple):
    """How well a device's weights are known.

    Args:
        shared: relative standard deviation of what is shared alike.
        work: by model.
    """

    shared: float = 0.0
    work: Mapping[str, WorkError] = {}


class Misfit:
    """How far errors of observations hang together, so that many of them tell no more than few:
    a law that does not fit is off in the same way for long.
    """

    def __init__(self) -> None:
        self._last = 0.0
        self._square = self._product = 0.0

    @property
    def inflation(self) -> float:
        """By how much the variance of a mean is larger than for independent errors: Bartlett's
        factor (1 + r) / (1 - r) for errors of which each is r times the one before and noise.
        """
        if self._square <= 0:
            return 1.0
        alike = min(_MOST_ALIKE, max(0.0, self._product / self._square))
        return (1 + alike) / (1 - alike)

    def add(self, strange: float) -> None:
        """Takes how many deviations the next observation was off what was expected of it."""
        self._square += (strange * strange - self._square) / _MEMORY
        self._product += (strange * self._last - self._product) / _MEMORY
        self._last = strange


Parts = Callable[[Sequence[float]], Sequence[float]]
"""From parameters to the parts of the energy of the latest observations: what is shared, then
prompts and outputs of each model, in joules."""


def errors_of(
    parts_at: Parts,
    estimate: Sequence[float],
    covariance: Matrix,
    tokens: Mapping[str, tuple[float, float]],
) -> Errors:
    """How well the parts are known.

    Args:
        parts_at: the law.
        estimate: its parameters.
        covariance: of their errors.
        tokens: by model, prompt and output tokens in the latest observations.
    """
    parts = parts_at(estimate)
    if sum(parts) <= 0:
        return Errors()
    moves = [_moved(parts_at, estimate, i, covariance[i][i], parts) for i in range(len(estimate))]
    spread = _spread(moves, covariance)
    for p in range(1, len(parts), 2):
        spread[p][p] += (PROMPTS * parts[p]) ** 2
    deviations = [math.sqrt(max(0.0, line[i])) for i, line in enumerate(spread)]

    def alike(i: int, j: int) -> float:
        product = deviations[i] * deviations[j]
        return max(-1.0, min(1.0, spread[i][j] / product)) if product > 0 else 0.0

    work = {}
    for number, (model, (prompts, outputs)) in enumerate(tokens.items()):
        p, o = 1 + 2 * number, 2 + 2 * number
        work[model] = WorkError(
            deviations[p] / prompts if prompts > 0 else 0.0,
            deviations[o] / outputs if outputs > 0 else 0.0,
            alike(p, 0),
            alike(o, 0),
            alike(p, o),
        )
    # Where nothing is shared, there is nothing of it to be wrong by.
    return Errors(deviations[0] / parts[0] if parts[0] > 0 else 0.0, work)


def _moved(
    parts_at: Parts, estimate: Sequence[float], i: int, variance: float, parts: Sequence[float]
) -> list[float]:
    """The derivative of the parts in a parameter, their sum held."""
    step = _STEP * math.sqrt(max(variance, 0.0)) or 1e-9
    moved = list(estimate)
    moved[i] += step
    after = parts_at(moved)
    scale = sum(parts) / sum(after)
    return [(new * scale - old) / step for new, old in zip(after, parts, strict=True)]


def _spread(moves: Sequence[Sequence[float]], covariance: Matrix) -> Matrix:
    """The covariance of the parts, from that of the parameters."""
    count = len(moves[0])
    half = [
        [sum(line[j] * moves[j][part] for j in range(len(moves))) for part in range(count)]
        for line in covariance
    ]
    return [
        [sum(moves[i][one] * half[i][other] for i in range(len(moves))) for other in range(count)]
        for one in range(count)
    ]
