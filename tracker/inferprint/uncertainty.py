"""How far off a request's energy may be, and the interval that holds the truth nine times in
ten.

What makes a figure uncertain, each followed on its own:

- the board's gain: the same for all of a device's windows, anywhere within its limits;
- noise: a sensor that looks a part of the time, or at steps, is off in each window anew;
- sharing: weights of work that are known only so well, or equal shares where requests differ;
- idle power, which moves energy between what is idle and what is active.

Errors of different kinds and of different devices are independent of each other, so their
variances add up.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Final, NamedTuple

COVERAGE: Final = 0.9
"""How often an interval holds the truth."""

EQUAL_SHARES_PER_DOUBLING: Final = 0.027
"""How far off equal shares of time are, relative to a request's active energy, for each
doubling of the number in flight: the 95th percentiles of overlap time in
``benchmarks/attribution``, on a server whose power is affine, over 1.645."""


class Spread(NamedTuple):
    """What is uncertain of a request's active energy on one device, gain left out.

    Args:
        noise_j2: variance of what the sensor missed, in square joules.
        sharing_j: deviation for the weights' sake, with its sign: over a request's windows it
            is one error that adds up.
        share_s: seconds of the device that it had, its time being shared by those in flight.
    """

    noise_j2: float = 0.0
    sharing_j: float = 0.0
    share_s: float = 0.0


NO_SPREAD: Final = Spread()


class Doubt(NamedTuple):
    """The error of one figure, in joules: one that may lie anywhere within ± ``within_j``, and
    beside it one of a normal distribution.
    """

    within_j: float = 0.0
    variance_j2: float = 0.0


class ItemDoubts(NamedTuple):
    """The errors of what a request was charged for on one device."""

    active: Doubt = Doubt()
    idle: Doubt = Doubt()
    standing: Doubt = Doubt()
    total: Doubt = Doubt()


class WorkPart(NamedTuple):
    """What a request's active energy on one device was for, and how far off that may be."""

    shared_j: float
    prompt_j: float
    output_j: float
    shared: Doubt
    prompt: Doubt
    output: Doubt


def half_width_j(doubts: Iterable[Doubt]) -> float:
    """Half the width of the interval of a sum whose parts' errors are independent.

    The widest of the uniform errors is taken as it is, the others as normal ones of their
    variance.
    """
    within_j = variance_j2 = 0.0
    for other_j, other_j2 in doubts:
        least_j = other_j
        if other_j > within_j:
            within_j, least_j = other_j, within_j
        variance_j2 += other_j2 + least_j * least_j / 3
    deviation_j = math.sqrt(variance_j2 + within_j * within_j / 3)
    if not deviation_j:
        return 0.0
    normal_part = math.sqrt(variance_j2) / deviation_j
    return deviation_j * _quantile(round(_STEPS * normal_part) / _STEPS)


def equal_shares_error(in_flight: float) -> float:
    """How far off equal shares of time are expected to be, relative to active energy."""
    return EQUAL_SHARES_PER_DOUBLING * math.log2(max(1.0, in_flight))


def held_part(duration_s: float, hold_s: float) -> float:
    """The part of the noise's variance that is left of a request's, where what a window has
    more or less than expected is charged over the following seconds, falling to 1/e in
    ``hold_s``: such a charge is a filter of the noise, and this the integral of its square.
    """
    if hold_s <= 0:
        return 1.0
    times = duration_s / hold_s
    return 1.0 + math.expm1(-times) / times if times > 0 else 0.0


# How finely the quantiles are tabled.
_STEPS = 100


@functools.cache
def _quantile(normal_part: float) -> float:
    """The interval's half-width in deviations, for an error that is partly uniform.

    Args:
        normal_part: the deviation of the normal part over that of both, 0 to 1.
    """
    low, high = 1.0, 2.0
    for _ in range(40):
        middle = (low + high) / 2
        below = _within(middle, normal_part) < COVERAGE
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2


def _within(half: float, normal: float) -> float:
    """The chance that the sum of a uniform and a normal error of joint deviation 1 is within
    ± ``half``: the mean of the normal's over the uniform's range.
    """
    most = math.sqrt(3 * max(0.0, 1 - normal * normal))
    if not normal:
        return min(1.0, half / most)
    if not most:
        return math.erf(half / normal / math.sqrt(2))

    def integral(x: float) -> float:  # of the normal distribution function
        z = x / normal
        return x * _below(z) + normal * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    total = integral(half + most) - integral(half - most)
    total -= integral(most - half) - integral(-most - half)
    return total / (2 * most)


def _below(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
