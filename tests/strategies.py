"""Hypothesis strategies of the domain."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import strategies as st

from inferprint import flags
from inferprint.impacts import Carbon, Cost
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint.records import Energy, Reading
from inferprint.units import NS_PER_S
from inferprint.windows import Window
from receipts import receipt
from traffic import Run

watts = st.floats(0, 2_000)
joules = st.floats(0, 1e9)
durations_ns = st.integers(1, 60 * NS_PER_S)
provenances = st.sampled_from(["measured", "prorated", "modelled", "unknown"])
policies = st.sampled_from(["in_flight", "amortised", "since_last", "separate"])
# No subnormal numbers: a relative error of 1e-9 means nothing to them.
usual_watts = st.just(0.0) | st.floats(1e-3, 2_000)
idle_powers = st.none() | usual_watts

# Traffic lies on a coarse grid or beside it, so that events often meet at one instant.
TICK_NS = NS_PER_S // 10
LAST_END_TICK = 24
LAST_WINDOW_TICK = 26


@st.composite
def ranges(draw: st.DrawFn, values: st.SearchStrategy[float] = joules) -> Range:
    """Figures with their interval in order."""
    return Range(*sorted(draw(st.tuples(values, values, values))))


@st.composite
def receipts_of_any_kind(draw: st.DrawFn) -> Receipt:
    """Receipts of which any figure may be unknown, with any text for a name."""
    figures = st.none() | ranges()
    parts = [draw(figures) for _ in range(5)]
    carbon, cost = draw(figures), draw(figures)
    made = receipt(
        draw(st.text()),
        outcome=draw(st.sampled_from(["ok", "error", "cancelled"])),
        carbon=None if carbon is None else Carbon(carbon.low, carbon.mid, carbon.high),
        cost=None if cost is None else Cost(cost.low, cost.mid, cost.high, draw(st.text())),
    )
    known = draw(st.frozensets(st.sampled_from(sorted(flags.MEANING)), max_size=3))
    energy = Energy(*parts, by_component={})
    return replace(made, energy=energy, flags=known, provenance=draw(provenances))


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


@st.composite
def instants(draw: st.DrawFn, low_ns: int, high_ns: int) -> int:
    """An instant between two, both included; often one of the grid."""
    on_grid = st.integers(-(-low_ns // TICK_NS), high_ns // TICK_NS)
    if -(-low_ns // TICK_NS) <= high_ns // TICK_NS and draw(st.booleans()):
        return draw(on_grid) * TICK_NS
    return draw(st.integers(low_ns, high_ns))


@st.composite
def traffic(draw: st.DrawFn, children: bool = True, most: int = 8) -> list[Run]:
    """Requests that overlap as they like; a child starts while its parent runs."""
    runs: list[Run] = []
    for number in range(draw(st.integers(1, most))):
        parent = draw(st.none() | st.integers(0, number - 1)) if number and children else None
        low_ns, high_ns = 0, (LAST_END_TICK - 1) * TICK_NS
        if parent is not None:
            low_ns, high_ns = runs[parent].start_ns, min(high_ns, runs[parent].end_ns - 1)
        start_ns = draw(instants(min(low_ns, high_ns), high_ns))
        end_ns = draw(instants(start_ns + 1, LAST_END_TICK * TICK_NS))
        runs.append(Run(start_ns, end_ns, parent))
    return runs


@st.composite
def device_windows(draw: st.DrawFn, device_id: str = "gpu:0", faults: bool = True) -> list[Window]:
    """The windows of one device, at instants of its own, until all traffic is over."""
    ticks = st.lists(instants(0, LAST_END_TICK * TICK_NS), min_size=1, max_size=10, unique=True)
    cuts = [*sorted(draw(ticks)), LAST_WINDOW_TICK * TICK_NS]
    return [
        draw(_window(device_id, start_ns, end_ns, faults)) for start_ns, end_ns in pairwise(cuts)
    ]


@st.composite
def _window(draw: st.DrawFn, device_id: str, start_ns: int, end_ns: int, faults: bool) -> Window:
    duration_s = (end_ns - start_ns) / NS_PER_S
    energy_j = draw(usual_watts) * duration_s
    shares = st.none() | st.floats(0, 1)
    busy, own = draw(shares), draw(shares)
    busy_s = None if busy is None else busy * duration_s
    own_s = None if busy_s is None or own is None else own * busy_s
    said = draw(st.sampled_from([None, None, None, flags.COUNTER_RESET, flags.GAP]))
    if not faults or said is None:
        return Window(device_id, start_ns, end_ns, energy_j, busy_s=busy_s, own_s=own_s)
    if said == flags.COUNTER_RESET:
        return Window(device_id, start_ns, end_ns, None, flags=frozenset({said}))
    return Window(device_id, start_ns, end_ns, energy_j, flags=frozenset({said}), gap=True)
