"""The policies: who pays for what a device draws while no request runs."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.records import IdlePolicyName
from inferprint.standing import SMOOTHING_REQUESTS, Amortised, idle_policy
from inferprint.units import NS_PER_S
from strategies import joules, policies

MINUTE_NS = 60 * NS_PER_S
arrivals = st.lists(
    st.tuples(st.integers(0, 24 * 60 * MINUTE_NS), st.integers(1, 1_000), st.booleans()),
    min_size=1,
)


@given(policies, joules, arrivals)
def test_what_is_drawn_is_never_more_than_there_is(
    name: IdlePolicyName, pool_j: float, groups: list[tuple[int, int, bool]]
) -> None:
    """Nor less than nothing."""
    policy = idle_policy(name, 3600.0)
    for at_ns, count, after_quiet in sorted(groups):
        drawn_j = policy.draw(pool_j, at_ns, count, after_quiet)
        assert 0.0 <= drawn_j <= pool_j
        pool_j -= drawn_j


@pytest.mark.parametrize(
    ("name", "shares_idle", "draws"),
    [
        ("in_flight", True, False),
        ("amortised", True, True),
        ("since_last", True, True),
        ("separate", False, False),
    ],
)
def test_each_policy_says_which_idle_energy_requests_pay(
    name: IdlePolicyName, shares_idle: bool, draws: bool
) -> None:
    """That of the time in which they run, that of the time in which none does, or neither."""
    policy = idle_policy(name, 3600.0)
    assert (policy.shares_idle, policy.draws) == (shares_idle, draws)
    if not draws:
        assert policy.draw(100.0, 0, 1, True) == 0.0


def test_every_name_has_a_policy() -> None:
    """Those of the settings."""
    for name in get_args(IdlePolicyName):
        idle_policy(name, 1.0)


def test_since_last_takes_all_after_a_quiet_stretch_and_nothing_else() -> None:
    """Who arrives while another runs pays nothing."""
    policy = idle_policy("since_last", 3600.0)
    assert policy.draw(120.0, 0, 1, True) == 120.0
    assert policy.draw(120.0, 1, 1, False) == 0.0


@given(st.floats(0.1, 600), st.integers(0, 20), st.floats(1, 1_000))
def test_amortised_settles_at_what_is_pooled_between_two_requests(
    every_s: float, per_horizon: int, between_j: float
) -> None:
    """Steady traffic of any rate, from an empty pool: the mean of what is drawn is what is
    pooled, and the pool holds what one horizon and eight requests are due.
    """
    policy = Amortised(every_s * (1 + per_horizon))
    pool_j = drawn_j = 0.0
    for number in range(600):
        pool_j += between_j
        drawn_j = policy.draw(pool_j, round(number * every_s * NS_PER_S), 1, True)
        pool_j -= drawn_j
    assert drawn_j == pytest.approx(between_j, rel=0.01)
    due = (per_horizon + 1) + SMOOTHING_REQUESTS
    assert pool_j == pytest.approx(due * between_j, rel=0.1, abs=between_j)


@given(st.integers(2, 50), st.floats(1, 1e6))
def test_arrivals_at_one_instant_draw_about_as_one_after_another(count: int, pool_j: float) -> None:
    """Within the part by which the rate changes among them, and each the same."""
    together, apart = Amortised(3600.0), Amortised(3600.0)
    for policy in (together, apart):
        for at_ns in range(1_000):
            policy.draw(0.0, at_ns, 1, True)
    left_j = pool_j
    for number in range(count):
        left_j -= apart.draw(left_j, 1_000 + number, 1, False)
    drawn_j = together.draw(pool_j, 1_000, count, False)
    assert drawn_j == pytest.approx(pool_j - left_j, rel=0.06)


def test_amortised_forgets_traffic_after_its_horizon() -> None:
    """A thousand requests make the next ones' part small; ten horizons later it is one in
    nine again, and never more.
    """
    policy = Amortised(3600.0)
    busy_j = [policy.draw(900.0, number * NS_PER_S, 1, True) for number in range(1_000)]
    assert busy_j[0] == pytest.approx(100.0)
    assert all(later < before for before, later in pairwise(busy_j))
    assert busy_j[-1] < 2.0
    late_ns = 1_000 * NS_PER_S + 36_000 * NS_PER_S
    assert policy.draw(900.0, late_ns, 1, True) == pytest.approx(100.0, rel=0.01)
