"""What a window's energy was for, before requests take their shares."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.splitting import Split, split_window
from inferprint.units import NS_PER_S
from inferprint.windows import Window
from strategies import device_windows, usual_watts
from traffic import window


@given(device_windows(), st.floats(0, 1), st.none() | usual_watts)
def test_the_parts_sum_to_the_window_and_none_is_negative(
    windows: list[Window], busy_share: float, idle_w: float | None
) -> None:
    """Whatever is known of it: all of its joules are somewhere."""
    for one in windows:
        length_ns = one.end_ns - one.start_ns
        busy_ns = round(busy_share * length_ns)
        parts = split_window(one, busy_ns, length_ns - busy_ns, idle_w)
        energy_j = one.energy_j or 0.0
        assert math.fsum(parts) == pytest.approx(energy_j, rel=1e-12)
        assert min(parts) >= -1e-12 * energy_j
        assert parts.idle_j <= (idle_w or 0.0) * one.duration_s
        assert parts.requests_j == 0.0 or busy_ns > 0


def halves(one: Window, idle_w: float | None, busy_share: float = 0.5) -> Split:
    """The split of a window in which requests ran for a share of the time."""
    length_ns = one.end_ns - one.start_ns
    busy_ns = round(busy_share * length_ns)
    return split_window(one, busy_ns, length_ns - busy_ns, idle_w)


def test_idle_energy_is_idle_power_for_the_length_of_the_window() -> None:
    """The rest is the requests', also where they ran for a part of it."""
    assert halves(window(0, 2, 500.0), 100.0) == (200.0, 300.0, 0.0, 0.0)


def test_idle_energy_is_at_most_what_the_window_used() -> None:
    """Nothing is left, and nothing is negative."""
    assert halves(window(0, 2, 150.0), 100.0) == (150.0, 0.0, 0.0, 0.0)


def test_others_get_their_share_of_the_active_energy_alone() -> None:
    """A quarter of the busy time is ours."""
    shared = window(0, 2, 600.0, busy_s=1.0, own_s=0.25)
    assert halves(shared, 100.0) == (200.0, 100.0, 300.0, 0.0)


def test_without_idle_power_requests_get_the_time_in_which_they_ran() -> None:
    """What was used in the rest of the window is not explained."""
    assert halves(window(0, 2, 600.0), None) == (0.0, 300.0, 0.0, 300.0)
    shared = window(0, 2, 600.0, busy_s=1.0, own_s=0.25)
    assert halves(shared, None) == (0.0, 75.0, 225.0, 300.0)


def test_without_a_request_what_is_ours_is_nobody_s() -> None:
    """What is others' stays theirs."""
    quiet = window(0, 2, 600.0, busy_s=1.0, own_s=0.25)
    assert halves(quiet, 100.0, busy_share=0.0) == (200.0, 0.0, 300.0, 100.0)


@pytest.mark.parametrize("idle_w", [None, 100.0])
def test_a_gap_is_nobody_s_and_a_reset_has_nothing(idle_w: float | None) -> None:
    """Its requests did not run in it, or what it used is not known."""
    assert halves(window(0, 2, 600.0, gap=True), idle_w) == (0.0, 0.0, 0.0, 600.0)
    assert halves(window(0, 2, None), idle_w) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("busy_s", "own_s", "share"),
    [(None, None, None), (1.0, None, None), (0.0, 0.0, None), (1.0, 0.5, 0.5), (1.0, 3.0, 1.0)],
)
def test_our_share_is_known_where_both_times_are(
    busy_s: float | None, own_s: float | None, share: float | None
) -> None:
    """At most all of it, as two clocks are never read at one instant."""
    one = Window("cpu:0", 0, NS_PER_S, 1.0, busy_s=busy_s, own_s=own_s)
    assert one.own_share == share
