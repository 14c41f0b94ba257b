"""Small dense linear algebra, for fits of a handful of parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

Matrix = list[list[float]]
Vector = list[float]


def cholesky(matrix: Sequence[Sequence[float]]) -> Matrix:
    """The lower triangle L with L Lᵀ = matrix.

    Raises:
        ValueError: the matrix is not positive definite.
    """
    lower: Matrix = []
    for i, row in enumerate(matrix):
        line: Vector = []
        for j in range(i):
            other = lower[j]
            line.append((row[j] - sum(map(_times, line, other))) / other[j])
        pivot = row[i] - sum(map(_times, line, line))
        if not pivot > 0:
            raise ValueError(f"pivot {i} is {pivot!r}: the matrix is not positive definite")
        line.append(math.sqrt(pivot))
        lower.append(line)
    return lower


def solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> Vector:
    """X with matrix x = right, for a symmetric positive definite matrix.

    Raises:
        ValueError: the matrix is not positive definite.
    """
    return _back(cholesky(matrix), right)


def inverse(matrix: Sequence[Sequence[float]]) -> Matrix:
    """The inverse of a symmetric positive definite matrix.

    Raises:
        ValueError: the matrix is not positive definite.
    """
    lower = cholesky(matrix)
    size = len(lower)
    return [_back(lower, [float(i == j) for i in range(size)]) for j in range(size)]


def _times(a: float, b: float) -> float:
    return a * b


def _back(lower: Matrix, right: Sequence[float]) -> Vector:
    forward: Vector = []
    for row, value in zip(lower, right, strict=True):
        forward.append((value - sum(map(_times, row, forward))) / row[len(forward)])
    size = len(forward)
    solution = forward
    for i in reversed(range(size)):
        later = sum(lower[j][i] * solution[j] for j in range(i + 1, size))
        solution[i] = (solution[i] - later) / lower[i][i]
    return solution
