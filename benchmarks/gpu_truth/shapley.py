"""Shapley values of a game whose coalitions were measured, with bootstrap intervals.

The value of a player is what it adds to those before it, averaged over the orders in which all
can arrive: Shapley, "A Value for n-Person Games", 1953.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from math import sqrt
from random import Random
from statistics import NormalDist, fmean, variance

from inferprint import Range

Coalition = frozenset[int]
Order = tuple[int, ...]
Weights = Sequence[Mapping[Coalition, float]]
"""For every player, what its value takes of each coalition's energy."""

LEVEL = 0.9
"""What share of its intervals is to hold the truth."""

RESAMPLES = 2000
"""The ends of a 90 % interval of so many normal resamples scatter by 1.4 % of its width."""


def every_order(players: int) -> list[Order]:
    """All orders in which the players can arrive: the values are then exact."""
    return list(permutations(range(players)))


def sampled_orders(players: int, count: int, rng: Random) -> list[Order]:
    """Some of the orders: Castro, Gómez and Tejada, "Polynomial calculation of the Shapley
    value based on sampling", Computers & Operations Research 36, 2009.
    """
    return [tuple(rng.sample(range(players), players)) for _ in range(count)]


def coalitions(orders: Iterable[Order]) -> list[Coalition]:
    """All that have to be measured: each distinct beginning of an order, but for the empty."""
    beginnings = (frozenset(order[:length]) for order in orders for length in _lengths(order))
    return list(dict.fromkeys(beginnings))


def weights(orders: Sequence[Order]) -> Weights:
    """The values' weights: what a player adds is the energy with it less that without it."""
    share = 1 / len(orders)
    found: list[dict[Coalition, float]] = [{} for _ in orders[0]]
    for order in orders:
        for length in _lengths(order):
            of_player = found[order[length - 1]]
            with_it, without_it = frozenset(order[:length]), frozenset(order[: length - 1])
            of_player[with_it] = of_player.get(with_it, 0.0) + share
            if without_it:  # nobody uses nothing
                of_player[without_it] = of_player.get(without_it, 0.0) - share
    return found


def values(by_player: Weights, energy_j: Mapping[Coalition, float]) -> list[float]:
    """Every player's value; they sum to the energy of all players together."""
    return [
        sum(weight * energy_j[coalition] for coalition, weight in of_player.items())
        for of_player in by_player
    ]


def estimate(
    orders: Sequence[Order],
    measured_j: Mapping[Coalition, Sequence[float]],
    rng: Random,
    *,
    sampled: bool = False,
) -> list[Range]:
    """Every player's value with the interval that 90 % of its resamples lie in.

    Args:
        orders: the orders that are averaged over.
        measured_j: the measurements of each coalition, two or more.
        rng: what the resamples are drawn with.
        sampled: whether the orders are a sample, which is then resampled too.

    Raises:
        ValueError: a coalition was measured less than twice: nothing tells its noise.
    """
    few = [sorted(coalition) for coalition, drawn in measured_j.items() if len(drawn) < 2]
    if few:
        raise ValueError(f"measured_j: {few[0]} was measured once: expected 2 or more times")
    by_player = weights(orders)
    mids = values(by_player, {c: fmean(drawn) for c, drawn in measured_j.items()})
    resamples = []
    for _ in range(RESAMPLES):
        drawn = weights(rng.choices(orders, k=len(orders))) if sampled else by_player
        resamples.append(values(drawn, _resampled(measured_j, rng)))
    return [
        _interval(mids[player], sorted(drawn), _stretch(by_player[player], measured_j))
        for player, drawn in enumerate(zip(*resamples, strict=True))
    ]


def _lengths(order: Order) -> range:
    return range(1, len(order) + 1)


def _resampled(
    measured_j: Mapping[Coalition, Sequence[float]], rng: Random
) -> dict[Coalition, float]:
    """The means of the measurements drawn again, with replacement.

    What is drawn from n measurements scatters by (n - 1)/n of their variance, which matters
    for two or three, so the scatter is scaled up by that.
    """
    drawn_j = {}
    for coalition, measured in measured_j.items():
        count, mean_j = len(measured), fmean(measured)
        scatter_j = fmean(rng.choices(measured, k=count)) - mean_j
        drawn_j[coalition] = mean_j + scatter_j * sqrt(count / (count - 1))
    return drawn_j


def _stretch(
    of_player: Mapping[Coalition, float], measured_j: Mapping[Coalition, Sequence[float]]
) -> float:
    """How much wider an interval is for a scatter that is itself known from few measurements:
    Student's quantile over the normal one.

    The degrees of freedom are those of Welch, "The generalization of 'Student's' problem when
    several different population variances are involved", Biometrika 34, 1947; the quantile is
    by Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.5, its first two terms.
    """
    parts = [
        (weight**2 * variance(measured_j[c]) / len(measured_j[c]), len(measured_j[c]) - 1)
        for c, weight in of_player.items()
    ]
    total = sum(part for part, _ in parts)
    if not total:
        return 1.0
    freedom = total**2 / sum(part**2 / free for part, free in parts)
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    return 1 + (z**2 + 1) / (4 * freedom) + (5 * z**4 + 16 * z**2 + 3) / (96 * freedom**2)


def _interval(mid: float, resamples: Sequence[float], stretch: float) -> Range:
    tail = round((1 - LEVEL) / 2 * len(resamples))
    low, high = resamples[tail], resamples[-1 - tail]
    return Range(mid + stretch * (low - mid), mid, mid + stretch * (high - mid))
