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
from inferprint.windows import Window, Windower
from strategies import durations_ns, joules, readings


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


@given(joules, joules, durations_ns)
def test_a_gap_keeps_its_energy_and_says_so(start_j: float, more_j: float, gap_ns: int) -> None:
    """The window over a suspended host is flagged, its energy is what the meter says, and the
    next window is an ordinary one again.
    """
    windower = Windower("gpu:0")
    windower.push(Reading("gpu:0", 0, start_j))
    windower.stalled()
    gap = windower.push(Reading("gpu:0", gap_ns, start_j + more_j))
    after = windower.push(Reading("gpu:0", 2 * gap_ns, start_j + more_j))
    assert gap is not None
    assert after is not None
    assert (gap.gap, gap.flags) == (True, {flags.GAP})
    assert gap.energy_j == start_j + more_j - start_j
    assert (after.gap, after.flags) == (False, frozenset())


@pytest.mark.parametrize("energy_j", [math.nan, math.inf, -math.inf])
def test_a_reading_that_is_no_number_is_refused(energy_j: float) -> None:
    """It never reaches the books."""
    with pytest.raises(ValueError, match="gpu:0"):
        Windower("gpu:0").push(Reading("gpu:0", 0, energy_j))
