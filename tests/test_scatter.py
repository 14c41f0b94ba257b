"""How much a sensor scatters, seen where the same requests run on."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.scatter import Scatter

WINDOW_S = 0.1
EXPECTED = 0.02


def seen(scatter: Scatter, power_w: float, noise: float, seconds: float, seed: int = 1) -> Scatter:
    """Windows of one power, whose readings have so much relative noise each."""
    rng = Random(seed)
    for _ in range(round(seconds / WINDOW_S)):
        energy_j = power_w * WINDOW_S * (1 + rng.gauss(0, noise))
        scatter.observe(energy_j, WINDOW_S, alike=True)
    return scatter


def over_a_second(noise: float) -> float:
    """That of the mean of a second's windows, of which each has so much."""
    return noise * math.sqrt(WINDOW_S)


def test_before_windows_were_seen_it_is_what_is_expected() -> None:
    """And a single stretch, which has no neighbour, tells nothing."""
    assert Scatter(EXPECTED).relative == EXPECTED
    assert seen(Scatter(EXPECTED), 300.0, 0.3, 0.9).relative == EXPECTED


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("power_w", [1.0, 500.0])
def test_the_noise_of_a_sensor_is_found(noise: float, power_w: float) -> None:
    """After ten minutes, within a quarter, relative to whatever power there is."""
    found = seen(Scatter(EXPECTED), power_w, noise, 600.0).relative
    assert found == pytest.approx(over_a_second(noise), rel=0.25)


def test_a_sensor_that_stood_still_may_scatter_later() -> None:
    """One that said the same for minutes is not taken to be exact for good."""
    scatter = seen(Scatter(0.0), 300.0, 0.0, 200.0)
    assert scatter.relative == 0.0
    assert seen(scatter, 300.0, 0.1, 600.0).relative == pytest.approx(over_a_second(0.1), rel=0.3)


def test_windows_in_which_requests_come_and_go_tell_nothing() -> None:
    """Power that changes with the requests is not the sensor's noise."""
    scatter, rng = Scatter(EXPECTED), Random(2)
    for _ in range(1_000):
        scatter.observe(rng.uniform(10, 60), WINDOW_S, alike=False)
    assert scatter.relative == EXPECTED


def test_what_was_before_an_interruption_is_no_neighbour() -> None:
    """After a gap power may be another."""
    scatter = seen(Scatter(EXPECTED), 100.0, 0.0, 0.6)
    scatter.interrupt()
    assert seen(scatter, 500.0, 0.0, 0.6).relative == EXPECTED


def test_one_change_of_power_counts_little() -> None:
    """A jump to ten times the power is taken for what it is, and not for noise."""
    scatter = seen(Scatter(EXPECTED), 50.0, 0.05, 300.0)
    before = scatter.relative
    seen(scatter, 500.0, 0.05, 1.0)
    assert scatter.relative < 1.15 * before


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(1e-3, 10), st.booleans())))
def test_it_stays_finite(windows: list[tuple[float, float, bool]]) -> None:
    """Whatever is counted, nothing included, it is a number that is not negative."""
    scatter = Scatter(EXPECTED)
    for energy_j, duration_s, alike in windows:
        scatter.observe(energy_j, duration_s, alike)
        assert 0 <= scatter.relative < math.inf
