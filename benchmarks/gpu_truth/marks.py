"""Readings of an energy counter: the power between two of them, and what its steps are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median, pstdev

from inferprint.units import NS_PER_S


@dataclass(frozen=True, slots=True)
class Mark:
    """What the counter said, and when."""

    at_ns: int
    energy_j: float


def seconds(first: Mark, last: Mark) -> float:
    """The time between two marks."""
    return (last.at_ns - first.at_ns) / NS_PER_S


def mean_w(first: Mark, last: Mark) -> float:
    """Mean power between two marks."""
    return (last.energy_j - first.energy_j) / seconds(first, last)


def active_j(first: Mark, last: Mark, idle_w: float) -> float:
    """Energy above idle between two marks."""
    return last.energy_j - first.energy_j - idle_w * seconds(first, last)


def steps(marks: Sequence[Mark]) -> dict[str, float | None]:
    """What the steps of a counter are like, from tight readings.

    Returns:
        ``step_ms``, the median time between advances; ``step_p5_ms`` and ``step_p95_ms``;
        ``jitter_ms``, the standard deviation; each None where there are fewer than three
        advances. ``read_us``: the mean time between readings, below which nothing is seen.
    """
    advances = [later.at_ns for one, later in pairwise(marks) if later.energy_j != one.energy_j]
    gaps_ms = sorted((later - one) / 1e6 for one, later in pairwise(advances))
    enough = len(gaps_ms) >= 2
    return {
        "step_ms": median(gaps_ms) if enough else None,
        "step_p5_ms": quantile(gaps_ms, 0.05) if enough else None,
        "step_p95_ms": quantile(gaps_ms, 0.95) if enough else None,
        "jitter_ms": pstdev(gaps_ms) if enough else None,
        "read_us": fmean((b.at_ns - a.at_ns) / 1e3 for a, b in pairwise(marks)),
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the ordered ones is at or below, by nearest rank."""
    return ordered[round(share * (len(ordered) - 1))]
