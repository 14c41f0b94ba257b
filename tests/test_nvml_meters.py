"""Power integrated between readings, with sensors and clocks that are only numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.sources._nvml_meters import PowerIntegral

STEPS_MS = st.lists(st.tuples(st.integers(1, 4000), st.floats(0, 1000)), max_size=30)
MAX_GAP_S = 2.0


def meter(watts: list[float], max_gap_s: float = MAX_GAP_S) -> PowerIntegral:
    """A meter whose sensor says these watts, one after the other."""
    sensor = iter(watts)
    return PowerIntegral("test", lambda handle: next(sensor), max_gap_s)


def test_power_is_taken_to_change_evenly_between_readings() -> None:
    """100 W, then 300 W a second later: the mean for that second."""
    integral = meter([100.0, 300.0, 300.0])
    joules = [integral.joules(None, at_ns) for at_ns in (5, 1_000_000_005, 1_500_000_005)]
    assert joules == pytest.approx([0.0, 200.0, 350.0])


def test_the_longest_gap_is_still_covered() -> None:
    """Exactly max_gap_s apart counts; a nanosecond more begins anew, below all before."""
    integral = meter([100.0] * 4)
    instants_ns = (0, 2_000_000_000, 4_000_000_001, 5_000_000_001)
    assert [integral.joules(None, at_ns) for at_ns in instants_ns] == [0.0, 200.0, -1.0, 99.0]


@given(STEPS_MS)
def test_energy_is_bounded_by_the_time_that_was_looked_at(steps: list[tuple[int, float]]) -> None:
    """It decreases at every gap and nowhere else, and adds at most the highest power's."""
    integral = meter([watts for _, watts in steps])
    highest_w = max((watts for _, watts in steps), default=0.0)
    at_ms, last_j = 0, 0.0
    for index, (step_ms, _) in enumerate(steps):
        at_ms += step_ms
        energy_j = integral.joules(None, at_ms * 1_000_000)
        if index and step_ms > MAX_GAP_S * 1000:
            assert energy_j < last_j
        elif index:
            assert last_j <= energy_j <= last_j + highest_w * step_ms / 1000 * (1 + 1e-9)
        last_j = energy_j
