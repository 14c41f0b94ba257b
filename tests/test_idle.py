"""Idle power: seen in quiet windows, held, taken over when it has changed for good."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import flags
from inferprint.idle import CONFIRM_S, IdlePower
from inferprint.records import Device
from strategies import usual_watts

WINDOW_S = 0.1


def idle_power(set_w: float | None = None, **device: float) -> IdlePower:
    return IdlePower(Device("gpu:0", "gpu", "a GPU", **device), set_w)  # type: ignore[arg-type]


def seen(idle: IdlePower, watts: float, seconds: float, window_s: float = WINDOW_S) -> IdlePower:
    """Quiet windows of one power."""
    for _ in range(round(seconds / window_s)):
        idle.observe(watts, window_s)
    return idle


def test_it_is_unknown_until_a_quiet_window_was_seen() -> None:
    """And the flag says so; the first window gives it."""
    idle = idle_power()
    assert (idle.watts, idle.flag) == (None, flags.IDLE_UNKNOWN)
    idle.bound(300.0, 5.0)
    assert idle.watts is None
    idle.observe(70.0, WINDOW_S)
    assert (idle.watts, idle.flag) == (70.0, None)


def test_a_tabled_one_is_used_and_flagged_until_one_was_seen() -> None:
    """Whatever the table says."""
    idle = idle_power(tabled_idle_w=60.0)
    assert (idle.watts, idle.flag) == (60.0, flags.IDLE_MODELLED)
    idle.observe(90.0, WINDOW_S)
    assert (idle.watts, idle.flag) == (90.0, None)


@pytest.mark.parametrize("device", [{"idle_w": 60.0}, {"idle_w": 0.0}])
def test_a_declared_one_never_changes(device: dict[str, float]) -> None:
    """A source that knows its idle power, 0 W included, is believed."""
    idle = seen(idle_power(**device), 90.0, 10.0)
    idle.bound(20.0, 10.0)
    assert (idle.watts, idle.flag) == (device["idle_w"], None)


def test_one_set_by_hand_wins_over_all() -> None:
    """Over a declared one, a tabled one and what is seen."""
    idle = seen(idle_power(50.0, idle_w=60.0, tabled_idle_w=70.0), 90.0, 10.0)
    assert (idle.watts, idle.flag) == (50.0, None)


@given(st.lists(st.tuples(usual_watts, st.floats(1e-3, 30.0)), min_size=1))
def test_it_stays_within_what_quiet_windows_showed(windows: list[tuple[float, float]]) -> None:
    """It is a mean of them, and nothing else goes into it."""
    idle = idle_power()
    for power_w, duration_s in windows:
        idle.observe(power_w, duration_s)
        lowest, highest = min(windows)[0], max(windows)[0]
        assert idle.watts is not None
        assert lowest * (1 - 1e-9) <= idle.watts <= highest * (1 + 1e-9)


@pytest.mark.parametrize(("before_w", "after_w"), [(70.0, 120.0), (120.0, 70.0), (50.0, 0.0)])
@pytest.mark.parametrize("window_s", [0.05, 0.1, 1.0, 10.0])
def test_a_new_level_is_taken_over_when_it_has_held(
    before_w: float, after_w: float, window_s: float
) -> None:
    """A model was loaded or unloaded: a second later its idle power is the new one."""
    idle = seen(idle_power(), before_w, 20.0, window_s)
    assert idle.watts == pytest.approx(before_w)
    seen(idle, after_w, max(CONFIRM_S, window_s), window_s)
    assert idle.watts == pytest.approx(after_w)


@pytest.mark.parametrize("burst_w", [300.0, 0.0])
@pytest.mark.parametrize("burst_s", [0.1, 0.3, 0.5])
def test_a_burst_is_not_a_level(burst_w: float, burst_s: float) -> None:
    """Half a second of work by somebody unseen, or of silence from the counter, moves it by
    no more than the readings of one level lie apart.
    """
    idle, found = seen(idle_power(), 70.0, 5.0), []
    for watts, seconds in ((burst_w, burst_s), (70.0, 2.0)):
        for _ in range(round(seconds / WINDOW_S)):
            idle.observe(watts, WINDOW_S)
            found.append(idle.watts)
    assert found == pytest.approx([70.0] * len(found), rel=0.1)
    assert idle.watts == pytest.approx(70.0)


def test_a_power_that_falls_after_load_is_followed_down() -> None:
    """The sensor's average falls for a second after the first requests: it ends at idle."""
    idle = idle_power()
    for window in range(40):
        idle.observe(70.0 + 230.0 * 0.7**window, WINDOW_S)
    assert idle.watts == pytest.approx(70.0, rel=0.01)


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.2, 0.3])
def test_a_noisy_sensor_biases_it_little(noise: float) -> None:
    """Its mean over many windows is theirs within 2 %, and it strays by no more than noise."""
    random, idle, found = Random(7), idle_power(), []
    for _ in range(3_000):
        idle.observe(max(0.0, random.gauss(70.0, 70.0 * noise)), WINDOW_S)
        found.append(idle.watts or 0.0)
    assert sum(found) / len(found) == pytest.approx(70.0, rel=0.02)
    assert min(found[10:]) > 70.0 * (1 - 1.3 * noise)


def test_the_longer_it_is_quiet_the_better_it_is_known() -> None:
    """Behind a sensor of 5 % noise, half a minute's idle power is off by a third, at most, of
    what a second's is.
    """
    random, seconds_w, found = Random(11), [], []
    for _ in range(60):
        idle = idle_power()
        for window in range(300):
            idle.observe(random.gauss(70.0, 3.5), WINDOW_S)
            if window == 9:
                seconds_w.append(idle.watts or 0.0)
        found.append(idle.watts or 0.0)
    assert _deviation(found) <= _deviation(seconds_w) / 3


def _deviation(watts: list[float]) -> float:
    return (sum((one - 70.0) ** 2 for one in watts) / len(watts)) ** 0.5


@pytest.mark.parametrize("step_s", [0.02, 0.07, 0.15, 0.25, 0.4, 1.0])
def test_a_counter_that_steps_slower_than_it_is_read_does_not_idle_at_nothing(
    step_s: float,
) -> None:
    """Windows with no step, one or two are averaged over a second: within 25 %."""
    idle, energy_j = idle_power(), 0.0
    for window in range(1, 300):
        now_j = 70.0 * step_s * int(window * WINDOW_S / step_s + 1e-9)
        idle.observe((now_j - energy_j) / WINDOW_S, WINDOW_S)
        energy_j = now_j
    assert idle.watts == pytest.approx(70.0, rel=0.25)


def test_it_is_no_higher_than_what_busy_windows_used() -> None:
    """Seen too high, such as while another process ran unseen: a second with requests at
    less than that corrects it, a tenth of a second does not, nor does a higher power.
    """
    idle = seen(idle_power(), 250.0, 5.0)
    idle.bound(100.0, WINDOW_S)
    idle.bound(400.0, 5.0)
    assert idle.watts == pytest.approx(250.0)
    for _ in range(20):
        idle.bound(120.0, WINDOW_S)
    assert idle.watts == pytest.approx(120.0)
    seen(idle, 70.0, CONFIRM_S)
    assert idle.watts == pytest.approx(70.0)


def test_a_bound_is_no_quiet_second() -> None:
    """What busy windows corrected it to has no part in it once it is quiet again."""
    idle = seen(idle_power(), 250.0, 5.0)
    for _ in range(20):
        idle.bound(120.0, WINDOW_S)
    seen(idle, 115.0, 5.0)
    assert idle.watts == pytest.approx(115.0)


def test_one_quiet_window_is_not_taken_to_be_exact() -> None:
    """Until a second was seen, idle power is as uncertain as the sensor is noisy."""
    idle = IdlePower(Device("gpu:0", "gpu", "a GPU", noise=0.02))
    idle.observe(70.0, WINDOW_S)
    assert idle.deviation_w == pytest.approx(0.02 * 70.0)
