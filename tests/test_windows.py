"""Windows: every joule of a counter is in one of them, and none is invented."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import flags
from inferprint.records import Reading
from inferprint.units import NS_PER_S
from inferprint.windows import Window, Windower
from strategies import durations_ns, joules, readings, watts


def windows(series: list[Reading]) -> list[Window]:
    windower = Windower("gpu:0")
    return [window for reading in series if (window := windower.push(reading)) is not None]


@given(readings())
def test_windows_hold_all_that_the_counter_counted(series: list[Reading]) -> None:
    """Each window begins where the one before ends, and together they have every joule."""
    closed = windows(series)
    assert len(closed) == len(series) - 1
    assert all(before.end_ns == after.start_ns for before, after in pairwise(closed))
    assert (closed[0].start_ns, closed[-1].end_ns) == (series[0].at_ns, series[-1].at_ns)
    counted_j = series[-1].energy_j - series[0].energy_j
    found_j = math.fsum(window.energy_j or 0.0 for window in closed)
    assert found_j == pytest.approx(counted_j, rel=1e-9, abs=1e-6)


@given(readings(), st.data())
def test_a_reset_has_no_energy_and_spoils_no_other_window(
    series: list[Reading], data: st.DataObject
) -> None:
    """The window in which a counter went back is unknown, not negative; the others stand."""
    at = data.draw(st.integers(1, len(series) - 1))
    lost_j = series[at].energy_j
    before = [replace(reading, energy_j=reading.energy_j + 1.0) for reading in series[:at]]
    after = [replace(reading, energy_j=reading.energy_j - lost_j) for reading in series[at:]]
    whole, cut = windows(before), windows(before + after)
    assert cut[at - 1].energy_j is None
    assert cut[at - 1].flags == {flags.COUNTER_RESET}
    assert cut[: at - 1] == whole
    assert cut[at:] == windows(after)


@given(readings(), st.data())
def test_a_reading_that_is_no_later_is_left_to_the_next_window(
    series: list[Reading], data: st.DataObject
) -> None:
    """A second reading of the same instant closes no window, and its energy is not lost."""
    at = data.draw(st.integers(0, len(series) - 1))
    doubled = [*series[: at + 1], series[at], *series[at + 1 :]]
    assert windows(doubled) == windows(series)


@given(joules, watts, durations_ns)
def test_a_gap_keeps_its_energy_and_says_so(start_j: float, power_w: float, gap_ns: int) -> None:
    """The window over a suspended host is flagged, its energy is what the meter says, and the
    next window is an ordinary one again.
    """
    later_j = start_j + power_w * gap_ns / NS_PER_S
    windower = Windower("gpu:0")
    windower.push(Reading("gpu:0", 0, start_j))
    windower.stalled()
    gap = windower.push(Reading("gpu:0", gap_ns, later_j))
    after = windower.push(Reading("gpu:0", 2 * gap_ns, later_j))
    assert gap is not None
    assert after is not None
    assert (gap.gap, gap.flags) == (True, {flags.GAP})
    assert gap.energy_j == later_j - start_j
    assert (after.gap, after.flags) == (False, frozenset())


@pytest.mark.parametrize("jump_j", [1.8e16, 1e300, -1e-6])
def test_a_counter_that_jumps_was_reset(jump_j: float) -> None:
    """Forward to what no machine draws, as a wrapped counter does, or back: the energy of the
    window is unknown, and the next one counts from there.
    """
    windower = Windower("gpu:0")
    windower.push(Reading("gpu:0", 0, 1_000.0))
    jumped = windower.push(Reading("gpu:0", NS_PER_S, 1_000.0 + jump_j))
    after = windower.push(Reading("gpu:0", 2 * NS_PER_S, 1_000.0 + jump_j))
    assert jumped is not None
    assert after is not None
    assert (jumped.energy_j, jumped.flags) == (None, {flags.COUNTER_RESET})
    assert (after.energy_j, after.flags) == (0.0, frozenset())


def test_a_reading_that_failed_is_said_of_the_window_that_spans_it() -> None:
    """Its energy is whole, and before the first reading there is nothing to say."""
    windower = Windower("gpu:0")
    windower.missed()
    windower.stalled()
    windower.push(Reading("gpu:0", 0, 0.0))
    windower.missed()
    spans = windower.push(Reading("gpu:0", 3 * NS_PER_S, 300.0))
    assert spans is not None
    assert (spans.energy_j, spans.flags, spans.gap) == (300.0, {flags.MISSING_READING}, False)


def test_an_abandoned_device_has_a_window_without_energy_and_then_a_gap() -> None:
    """What it counted meanwhile is real, and nobody's, as its requests were settled."""
    windower = Windower("gpu:0")
    windower.push(Reading("gpu:0", 0, 0.0))
    lost = windower.abandon(10 * NS_PER_S)
    assert (lost.start_ns, lost.end_ns, lost.energy_j) == (0, 10 * NS_PER_S, None)
    back = windower.push(Reading("gpu:0", 12 * NS_PER_S, 500.0))
    assert back is not None
    assert (back.energy_j, back.gap) == (500.0, True)
    unread = Windower("gpu:1").abandon(5)
    assert (unread.start_ns, unread.end_ns, unread.energy_j) == (5, 5, None)


@pytest.mark.parametrize(
    ("before", "after", "advance"),
    [(1.0, 3.5, 2.5), (None, 3.5, None), (1.0, None, None), (3.5, 1.0, None), (1.0, 1.0, 0.0)],
)
def test_busy_times_are_known_where_both_readings_have_them(
    before: float | None, after: float | None, advance: float | None
) -> None:
    """One that went back is not known."""
    windower = Windower("cpu:0")
    windower.push(Reading("cpu:0", 0, 0.0, busy_s=before, own_s=before))
    closed = windower.push(Reading("cpu:0", NS_PER_S, 1.0, busy_s=after, own_s=after))
    assert closed is not None
    assert (closed.busy_s, closed.own_s) == (advance, advance)


@pytest.mark.parametrize("energy_j", [math.nan, math.inf, -math.inf])
def test_a_reading_that_is_no_number_is_refused(energy_j: float) -> None:
    """It never reaches the books."""
    with pytest.raises(ValueError, match="gpu:0"):
        Windower("gpu:0").push(Reading("gpu:0", 0, energy_j))
