"""Hypothesis strategies of the domain."""

from __future__ import annotations

from hypothesis import strategies as st

from inferprint.records import Range, Reading
from inferprint.units import NS_PER_S

watts = st.floats(0, 2_000)
joules = st.floats(0, 1e9)
durations_ns = st.integers(1, 60 * NS_PER_S)
provenances = st.sampled_from(["measured", "prorated", "modelled", "unknown"])


@st.composite
def ranges(draw: st.DrawFn, values: st.SearchStrategy[float] = joules) -> Range:
    """Figures with their interval in order."""
    return Range(*sorted(draw(st.tuples(values, values, values))))


@st.composite
def readings(draw: st.DrawFn, device_id: str = "gpu:0") -> list[Reading]:
    """Readings of one counter that only grows, at instants that only grow."""
    steps = draw(st.lists(st.tuples(durations_ns, watts), min_size=2, max_size=20))
    at_ns, energy_j, series = draw(st.integers(0, 10**18)), draw(joules), []
    for duration_ns, power_w in steps:
        at_ns += duration_ns
        energy_j += power_w * duration_ns / NS_PER_S
        series.append(Reading(device_id, at_ns, energy_j))
    return series
