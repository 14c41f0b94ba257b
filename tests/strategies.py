"""Hypothesis strategies of the domain."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

from inferprint.records import Provenance, Range, Reading, Tokens
from inferprint.units import NS_PER_S
from inferprint.windows import Window

provenances = st.sampled_from(["measured", "prorated", "modelled", "unknown"])
watts = st.floats(0, 2_000)
joules = st.floats(0, 1e9)
durations_ns = st.integers(1, 60 * NS_PER_S)
token_counts = st.none() | st.integers(0, 200_000)


@st.composite
def ranges(draw: st.DrawFn, values: st.SearchStrategy[float] = joules) -> Range:
    """Figures with their interval in order."""
    return Range(*sorted(draw(st.tuples(values, values, values))))


@st.composite
def tokens(draw: st.DrawFn) -> Tokens:
    """Token counts as a server tells them; what is cached is part of the input."""
    given, output = draw(token_counts), draw(token_counts)
    cached = draw(st.none() | st.integers(0, given)) if given is not None else None
    return Tokens(given, cached, output)


@st.composite
def readings(
    draw: st.DrawFn, device_id: str = "gpu:0", provenance: Provenance = "measured"
) -> list[Reading]:
    """Readings of one counter that only grows, at instants that only grow."""
    steps = draw(st.lists(st.tuples(durations_ns, watts), min_size=2, max_size=20))
    at_ns, energy_j, series = draw(st.integers(0, 10**18)), draw(joules), []
    for duration_ns, power_w in steps:
        at_ns += duration_ns
        energy_j += power_w * duration_ns / NS_PER_S
        series.append(Reading(device_id, at_ns, energy_j, provenance))
    return series


@st.composite
def windows(draw: st.DrawFn, device_id: str = "gpu:0") -> list[Window]:
    """Windows of one device, each beginning where the one before ends."""
    series = draw(readings(device_id))
    return [
        Window(device_id, a.at_ns, b.at_ns, b.energy_j - a.energy_j, b.provenance)
        for a, b in pairwise(series)
    ]
