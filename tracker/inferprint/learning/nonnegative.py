"""The minimum of a quadratic over non-negative values, by an active set.

After Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from inferprint.learning.linear import Matrix, Vector, solve


def non_negative(matrix: Matrix, right: Sequence[float], start: Sequence[float] = ()) -> Vector:
    """The x >= 0 that minimises x·matrix·x / 2 - right·x.

    Args:
        matrix: symmetric, positive definite.
        right: as long as it.
        start: non-negative values to begin from; none: zeros.

    Raises:
        ValueError: the matrix is not positive definite.
    """
    values = list(start) or [0.0] * len(right)
    free = [i for i, value in enumerate(values) if value > 0]
    for _ in range(4 * len(right) + 1):
        while free and not _move(matrix, right, values, free):
            pass
        wanted = _most_wanted(matrix, right, values, free)
        if wanted is None:
            break
        free.append(wanted)
    return values


def _most_wanted(
    matrix: Matrix, right: Sequence[float], values: Vector, free: Sequence[int]
) -> int | None:
    """The parameter at 0 that most improves the fit if it rises, in units of its own error."""
    best, most = None, 1e-9
    for i, line in enumerate(matrix):
        if i in free:
            continue
        pull = (right[i] - sum(line[j] * values[j] for j in free)) / math.sqrt(line[i])
        if pull > most:
            best, most = i, pull
    return best


def _move(matrix: Matrix, right: Sequence[float], values: Vector, free: list[int]) -> bool:
    """Moves to the best values of the free parameters, or as far as the first to reach 0."""
    best = solve([[matrix[i][j] for j in free] for i in free], [right[i] for i in free])
    steps = list(zip(free, best, strict=True))
    # One that has only just been freed has a value of 0. It wants to rise, but for those that
    # were stopped since.
    stops = [
        (values[i] / (values[i] - want), i)
        for i, want in steps
        if want < 0 or want <= 0 < values[i]
    ]
    part, first = min(stops, default=(1.0, -1))
    for i, want in steps:
        values[i] = max(0.0, values[i] + part * (want - values[i]))
    if first < 0:
        return True
    values[first] = 0.0
    free.remove(first)
    return False
