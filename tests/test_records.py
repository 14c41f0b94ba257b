"""The records keep their promises: intervals stay in order, the weakest provenance wins."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from inferprint.ranges import Range
from inferprint.records import WEAKEST_FIRST, Balance, DeviceBalance, Provenance, weakest
from strategies import joules, provenances, ranges


@given(ranges(), ranges(), st.floats(-1e6, 1e6))
def test_intervals_stay_in_order(one: Range, other: Range, factor: float) -> None:
    """Sums and multiples, also by a negative price, keep low <= mid <= high."""
    for figure in (one + other, one * factor):
        assert figure.low <= figure.mid <= figure.high


@given(joules, st.floats(0, 2))
def test_a_relative_error_is_symmetric(mid: float, relative: float) -> None:
    """The interval lies evenly around the middle; without an error it is a point."""
    figure = Range.within(mid, relative)
    assert float(figure) == mid
    assert math.isclose(figure.high - mid, mid - figure.low, rel_tol=1e-6, abs_tol=1e-9)
    assert Range.within(mid, 0.0) == Range.exactly(mid)


@given(st.lists(provenances))
def test_a_figure_is_as_certain_as_its_weakest_part(parts: list[Provenance]) -> None:
    """The sum of a measured and a modelled figure is modelled; that of none is unknown."""
    expected = min(map(WEAKEST_FIRST.index, parts), default=0)
    assert weakest(parts) == WEAKEST_FIRST[expected]


@given(st.lists(joules, min_size=6, max_size=6))
def test_the_closure_error_is_what_the_terms_miss(terms: list[float]) -> None:
    """Books whose terms add up to the meter are closed; a joule too many on the meter shows."""
    measured_j = math.fsum(terms)
    closed = DeviceBalance("gpu", "a", "measured", measured_j, *terms)
    open_ = DeviceBalance("gpu", "a", "measured", measured_j + 1.0, *terms)
    assert closed.closure_error <= 1e-9
    assert math.isclose(open_.closure_error, 1.0 / (measured_j + 1.0), rel_tol=1e-3, abs_tol=1e-9)
    assert Balance({"a": closed, "b": open_}).closure_error == open_.closure_error


def test_nothing_measured_is_closed() -> None:
    """Before the first window, and without devices, the books are closed."""
    nothing = DeviceBalance("gpu", "a", "measured", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert nothing.closure_error == 0.0
    assert Balance({}).closure_error == 0.0
