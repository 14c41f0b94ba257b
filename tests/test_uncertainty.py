"""Intervals that hold the truth nine times in ten."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.uncertainty import (
    COVERAGE,
    EQUAL_SHARES_PER_DOUBLING,
    Doubt,
    equal_shares_error,
    half_width_j,
    held_part,
)

# 95 % of a normal distribution lie below so many deviations.
NORMAL = 1.6449
# The quantiles are tabled in steps.
TABLED = 2e-3

sizes_j = st.just(0.0) | st.floats(1e-3, 1e6)
doubts = st.builds(lambda within_j, deviation_j: Doubt(within_j, deviation_j**2), sizes_j, sizes_j)


@given(st.floats(1e-3, 1e6))
def test_a_uniform_error_alone_has_nine_tenths_of_its_width(within_j: float) -> None:
    """Nine times in ten it is in the inner nine tenths."""
    assert half_width_j([Doubt(within_j)]) == pytest.approx(0.9 * within_j, rel=1e-6)


@given(st.floats(1e-3, 1e6))
def test_a_normal_error_alone_has_its_own_quantile(deviation_j: float) -> None:
    """1.645 deviations to either side."""
    half_j = half_width_j([Doubt(variance_j2=deviation_j**2)])
    assert half_j == pytest.approx(NORMAL * deviation_j, rel=1e-4)


@pytest.mark.parametrize(
    "parts",
    [
        [Doubt(5.0, 1.0)],
        [Doubt(5.0, 25.0)],
        [Doubt(1.0, 9.0)],
        [Doubt(5.0), Doubt(5.0)],
        [Doubt(5.0), Doubt(3.0), Doubt(2.0, 2.0)],
    ],
)
def test_of_a_mix_nine_in_ten_are_within(parts: list[Doubt]) -> None:
    """Of 40,000 drawn sums of such errors, 90 % are in the interval; 89 % at least where several
    are uniform, of which all but the widest are taken for normal ones.
    """
    rng, half_j, draws = Random(4), half_width_j(parts), 40_000
    within = 0
    for _ in range(draws):
        off_j = sum(
            rng.uniform(-one.within_j, one.within_j) + rng.gauss(0, math.sqrt(one.variance_j2))
            for one in parts
        )
        within += abs(off_j) <= half_j
    assert within / draws == pytest.approx(COVERAGE, abs=0.015)


@given(st.lists(doubts, max_size=5), doubts)
def test_more_doubt_is_no_narrower(parts: list[Doubt], more: Doubt) -> None:
    """Another error never makes the interval narrower, but for the steps of the table; and it
    adds no more to it than its own.
    """
    before_j, after_j = half_width_j(parts), half_width_j([*parts, more])
    assert after_j >= before_j * (1 - TABLED)
    assert after_j <= (before_j + half_width_j([more])) * (1 + TABLED)


@given(st.lists(doubts, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_errors_does_not_matter(parts: list[Doubt], random: Random) -> None:
    """Devices may come in any order."""
    shuffled = random.sample(parts, len(parts))
    assert half_width_j(shuffled) == pytest.approx(half_width_j(parts), rel=TABLED)


@given(st.lists(st.just(Doubt()), max_size=3))
def test_what_is_certain_has_no_width(parts: list[Doubt]) -> None:
    """Nor has a sum of nothing."""
    assert half_width_j(parts) == 0.0


@given(st.floats(0.1, 1e4), st.floats(1e-3, 1e3))
def test_what_is_held_has_less_noise_the_longer_it_takes(hold_s: float, times: float) -> None:
    """All of the noise of a long request is its own, of a short one half of the time for which
    charges are held; and nothing is held where that time is 0.
    """
    assert held_part(hold_s * times, 0.0) == 1.0
    part = held_part(hold_s * times, hold_s)
    assert 0 < part < 1
    assert part < held_part(hold_s * times * 1.1, hold_s)
    assert held_part(hold_s * 1e4, hold_s) == pytest.approx(1.0, abs=1e-3)
    assert held_part(hold_s * 1e-4, hold_s) == pytest.approx(0.5e-4, rel=1e-3)
    assert held_part(0.0, hold_s) == 0.0


def test_equal_shares_are_worse_with_more_in_flight() -> None:
    """Alone there is nothing to share; each doubling adds as much."""
    assert equal_shares_error(0.5) == equal_shares_error(1.0) == 0.0
    assert equal_shares_error(2.0) == EQUAL_SHARES_PER_DOUBLING
    assert equal_shares_error(64.0) == pytest.approx(6 * EQUAL_SHARES_PER_DOUBLING)
