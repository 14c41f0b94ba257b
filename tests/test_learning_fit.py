"""The recursive fit, its law, and the linear algebra below them."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inferprint.learning.fit import RecursiveFit
from inferprint.learning.law import bend_slope, saturated, slope
from inferprint.learning.linear import cholesky, inverse, solve
from inferprint.learning.noise import Noise, Scatter
from inferprint.learning.nonnegative import non_negative

numbers = st.floats(-10, 10, allow_nan=False).map(lambda value: round(value, 3))


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[list[float]], list[float]]:
    """A positive definite matrix and a right side."""
    size = draw(st.integers(1, 5))
    rows = draw(st.lists(st.lists(numbers, min_size=size, max_size=size), max_size=8))
    matrix = [[sum(r[i] * r[j] for r in rows) + (i == j) for j in range(size)] for i in range(size)]
    return matrix, draw(st.lists(numbers, min_size=size, max_size=size))


def times(matrix: list[list[float]], vector: list[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


@given(problems())
def test_solution_solves(problem: tuple[list[list[float]], list[float]]) -> None:
    """What ``solve`` gives satisfies the equations, and ``inverse`` agrees with it."""
    matrix, right = problem
    solution = solve(matrix, right)
    assert times(matrix, solution) == pytest.approx(right, abs=1e-6)
    assert times(inverse(matrix), right) == pytest.approx(solution, abs=1e-6)


def test_indefinite_matrix_is_refused() -> None:
    """A matrix that is not positive definite is an error that names the pivot."""
    with pytest.raises(ValueError, match="pivot 1"):
        cholesky([[1.0, 2.0], [2.0, 1.0]])


@given(problems(), st.booleans())
@example(([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 2.0]], [1.0, -1.0, -1.0]), True)
def test_non_negative_fit_is_optimal(
    problem: tuple[list[list[float]], list[float]], warm: bool
) -> None:
    """The values are not negative, those above 0 have no slope left, and those at 0 would
    only rise by making the fit worse (the conditions of Karush, Kuhn and Tucker).
    """
    matrix, right = problem
    values = non_negative(matrix, right, [1.0] * len(right) if warm else [])
    slopes = [a - b for a, b in zip(times(matrix, values), right, strict=True)]
    for value, steep in zip(values, slopes, strict=True):
        assert value >= 0
        assert steep >= -1e-5
        assert value == 0 or abs(steep) < 1e-5


@given(st.floats(0, 5_000), st.floats(0, 0.01))
def test_power_rises_below_the_cap(drive_w: float, bend: float) -> None:
    """The law never passes its cap nor the affine line, and its slopes are its differences."""
    watts = saturated(drive_w, bend)
    assert 0 <= watts <= drive_w * (1 + 1e-12)
    assert bend == 0 or watts <= 1 / bend
    step_w = 0.01
    rise = (saturated(drive_w + step_w, bend) - watts) / step_w
    assert rise == pytest.approx(slope(drive_w, bend), rel=1e-3, abs=1e-6)
    fall = (saturated(drive_w, bend + 1e-7) - watts) / 1e-7
    assert fall == pytest.approx(bend_slope(drive_w, bend), rel=1e-2, abs=1e-2)


def test_fit_recovers_and_then_follows() -> None:
    """A fit finds the parameters of exact observations, and others that replace them."""
    fit = RecursiveFit()
    first, second = fit.add(), fit.add()
    for wanted in ((3.0, 0.5), (1.0, 2.0)):
        for step in range(6000):
            row = [(first, 1.0), (second, 1.0 + step % 7)]
            fit.replace(row, 0.95)
            fit.observe(row, wanted[0] + wanted[1] * row[1][1], 1.0)
        fit.solve([first, second])
        assert fit.estimate == pytest.approx(wanted, rel=0.01)


def test_steady_observations_do_not_wipe_what_others_told() -> None:
    """After ten thousand observations in one direction the other is still known."""
    fit = RecursiveFit()
    first, second = fit.add(), fit.add()
    for load in (0.0, 4.0):
        fit.observe([(first, 1.0), (second, load)], 2.0 + 3.0 * load, 100.0)
    for _ in range(10_000):
        row = [(first, 1.0), (second, 4.0)]
        fit.replace(row, 0.99)
        fit.observe(row, 14.0, 1.0)
    fit.solve([first, second])
    assert fit.estimate == pytest.approx([2.0, 3.0], rel=1e-3)


def test_unseen_parameter_is_as_expected() -> None:
    """What no observation tells about stays at its expectation, and errors say how open it is."""
    fit = RecursiveFit()
    seen, unseen = fit.add(), fit.add()
    fit.expect(unseen, 0.7, 0.2)
    fit.observe([(seen, 1.0)], 5.0, 4.0)
    fit.solve([seen, unseen])
    assert fit.estimate == pytest.approx([5.0, 0.7])
    covariance = fit.covariance([seen, unseen])
    assert math.sqrt(covariance[0][0]) == pytest.approx(0.5)
    assert math.sqrt(covariance[1][1]) == pytest.approx(0.2)


def test_lasting_change_is_told_once_and_noise_is_not() -> None:
    """Deviations of either sign tell no change; deviations all of one sign do, within six."""
    noise = Noise()
    assert not any(noise.changed((-1.0) ** step) for step in range(200))
    told = [noise.changed(3.0) for _ in range(6)]
    assert told.count(True) == 1


def test_noise_is_that_of_the_errors() -> None:
    """The deviation follows the errors, and one far out changes it little."""
    noise = Noise()
    second = Scatter(level_j2=100.0**2, prompts_j2=0.0)
    seen = [(off_j, second) for off_j in (2.0, -2.0) * 100]
    for _ in range(5):
        noise.settle(seen)
    assert noise.relative == pytest.approx(0.02, rel=0.1)
    before = noise.relative
    noise.settle([*seen, (1_000.0, second)])
    assert noise.relative == pytest.approx(before, rel=0.1)


@pytest.mark.parametrize("of_prompts", [0.0, 1.0])
def test_noise_of_prompts_is_told_from_the_sensors(of_prompts: float) -> None:
    """A sensor that sees a prompt whole or not at all is noisy where prompts are, and one that
    sees everything is not; the noise of other windows is found all the same.
    """
    random, noise, seen = Random(5), Noise(), []
    for number in range(200):
        prompt_j = 20.0 if number % 2 else 0.0
        off_j = random.gauss(0, 2.0) + of_prompts * random.choice((-1, 1)) * prompt_j
        seen.append((off_j, Scatter(100.0**2, prompt_j**2)))
    for _ in range(5):
        noise.settle(seen)
    assert noise.relative == pytest.approx(0.02, rel=0.2)
    assert noise.prompts == pytest.approx(of_prompts, rel=0.1, abs=0.2)
