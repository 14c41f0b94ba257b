"""How well the weights of work are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from statistics import fmean

import pytest

from inferprint.learning.errors import PROMPTS, Errors, Misfit, errors_of
from inferprint.learning.law import saturated
from inferprint.learning.linear import Matrix, cholesky

# F, the law's bend, and joules a token of a prompt and of an output.
ESTIMATE = [200.0, 1 / 800, 0.02, 0.5]
BUSY_S, TOKENS = 50.0, (40_000.0, 9_000.0)
# Errors of F and of an output token's price go together, as a fit has them.
DEVIATIONS, ALIKE = [4.0, 2e-5, 6e-4, 0.012], -0.7


def covariance() -> Matrix:
    matrix = [[0.0] * 4 for _ in DEVIATIONS]
    for i, deviation in enumerate(DEVIATIONS):
        matrix[i][i] = deviation**2
    matrix[0][3] = matrix[3][0] = ALIKE * DEVIATIONS[0] * DEVIATIONS[3]
    return matrix


def parts_at(values: Sequence[float]) -> list[float]:
    """Shared, prompts and outputs of one model under a law that saturates, in joules."""
    fixed_w, bend, prompt_j, output_j = values
    own_j = [TOKENS[0] * prompt_j, TOKENS[1] * output_j]
    own_w = sum(own_j) / BUSY_S
    shared_w = saturated(fixed_w, bend)
    marginal = (saturated(fixed_w + own_w, bend) - shared_w) / own_w
    return [shared_w * BUSY_S, *(marginal * joules for joules in own_j)]


def drawn(count: int) -> list[list[float]]:
    """What the parts would be off with parameters as uncertain as that, their sum held."""
    rng, lower, parts = Random(5), cholesky(covariance()), parts_at(ESTIMATE)
    found = []
    for _ in range(count):
        normal = [rng.gauss(0, 1) for _ in ESTIMATE]
        off = [sum(a * b for a, b in zip(line, normal, strict=False)) for line in lower]
        new = parts_at([a + b for a, b in zip(ESTIMATE, off, strict=True)])
        scale = sum(parts) / sum(new)
        found.append([scale * a - b for a, b in zip(new, parts, strict=True)])
    return found


def test_the_spread_of_the_parts_is_that_of_drawn_parameters() -> None:
    """Deviations and how they go together agree, within a twentieth, with 20,000 draws of the
    parameters; of prompts there is the known error of their price beside.
    """
    found = drawn(20_000)

    def spread(i: int, j: int) -> float:
        return fmean(off[i] * off[j] for off in found)

    shared_j, prompts_j, _ = parts_at(ESTIMATE)
    deviation_j = [math.sqrt(spread(i, i)) for i in range(3)]
    deviation_j[1] = math.hypot(deviation_j[1], PROMPTS * prompts_j)
    errors = errors_of(parts_at, ESTIMATE, covariance(), {"m": TOKENS})
    error = errors.work["m"]
    assert errors.shared * shared_j == pytest.approx(deviation_j[0], rel=0.05)
    assert error.prompt_j * TOKENS[0] == pytest.approx(deviation_j[1], rel=0.05)
    assert error.output_j * TOKENS[1] == pytest.approx(deviation_j[2], rel=0.05)
    for alike, i, j in (
        (error.with_shared, 1, 0),
        (error.of_outputs_with_shared, 2, 0),
        (error.of_both, 1, 2),
    ):
        assert alike == pytest.approx(spread(i, j) / deviation_j[i] / deviation_j[j], abs=0.05)


def test_what_one_part_has_too_much_others_have_too_little() -> None:
    """The sum is measured: without prompts, shared energy and outputs are off by the same, and
    against each other; with prompts, all errors but that of their price sum to nothing.
    """

    def without_prompts(values: Sequence[float]) -> list[float]:
        shared_j, _, outputs_j = parts_at([values[0], values[1], 0.0, values[3]])
        return [shared_j, 0.0, outputs_j]

    errors = errors_of(without_prompts, ESTIMATE, covariance(), {"m": (0.0, TOKENS[1])})
    error, shared_j = errors.work["m"], without_prompts(ESTIMATE)[0]
    assert error.output_j * TOKENS[1] == pytest.approx(errors.shared * shared_j)
    assert error.of_outputs_with_shared == pytest.approx(-1.0)
    assert error.prompt_j == 0.0

    shared_j, prompts_j, _ = parts_at(ESTIMATE)
    errors = errors_of(parts_at, ESTIMATE, covariance(), {"m": TOKENS})
    error = errors.work["m"]
    a, b, c = errors.shared * shared_j, error.prompt_j * TOKENS[0], error.output_j * TOKENS[1]
    sum_j2 = a * a + b * b + c * c
    sum_j2 += 2 * (error.with_shared * a * b + error.of_outputs_with_shared * a * c)
    sum_j2 += 2 * error.of_both * b * c
    assert sum_j2 == pytest.approx((PROMPTS * prompts_j) ** 2, rel=1e-6)


def test_of_parts_that_come_to_nothing_nothing_is_said() -> None:
    """No energy: there is nothing to be off by."""
    assert errors_of(lambda _: [0.0, 0.0, 0.0], ESTIMATE, covariance(), {}) == Errors()


def inflation(alike: float, seed: int = 1) -> float:
    """The mean of what is found over errors of which each is so much of the one before."""
    rng, misfit, strange, found = Random(seed), Misfit(), 0.0, []
    for number in range(20_000):
        strange = alike * strange + math.sqrt(1 - alike**2) * rng.gauss(0, 1)
        misfit.add(strange)
        if number >= 500:
            found.append(misfit.inflation)
    return fmean(found)


@pytest.mark.parametrize("alike", [0.3, 0.5, 0.7])
def test_errors_that_hang_together_tell_less(alike: float) -> None:
    """The variance of their mean is (1 + r) / (1 - r) times larger, found within a fifth."""
    assert inflation(alike) == pytest.approx((1 + alike) / (1 - alike), rel=0.2)


def test_independent_errors_tell_all_that_they_can() -> None:
    """White noise is hardly taken for more; errors that alternate are not trusted to be better,
    and before any were seen nothing is inflated.
    """
    assert Misfit().inflation == 1.0
    assert inflation(0.0) == pytest.approx(1.1, abs=0.1)
    assert inflation(-0.5) == pytest.approx(1.0, abs=0.01)


def test_where_nothing_is_shared_work_is_still_uncertain() -> None:
    """A fixed cost of nothing does not make the prices of tokens exact."""

    def parts(values: Sequence[float]) -> list[float]:
        return [values[0], 10 * values[1], 10 * values[2]]

    covariance = [[0.01, 0.0, 0.0], [0.0, 0.04, 0.0], [0.0, 0.0, 0.04]]
    errors = errors_of(parts, [0.0, 1.0, 2.0], covariance, {"m": (10.0, 10.0)})
    assert errors.work["m"].prompt_j > 0
    assert errors.work["m"].output_j > 0
