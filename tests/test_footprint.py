"""Carbon, cost and overhead follow from energy by arithmetic, ranges and all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.factors import Factors
from inferprint.flags import PUE_UNKNOWN
from inferprint.footprint import Footprint, footprint
from inferprint.impacts import Factor
from inferprint.ranges import Range
from inferprint.units import JOULES_PER_KWH

joules = st.floats(0, 1e12)
ranges = st.lists(joules, min_size=3, max_size=3).map(lambda values: Range(*sorted(values)))


def factors(
    intensity: float | None = None, pue: float | None = None, price: float | None = None
) -> Factors:
    """Factors of these values; what is None is not known."""
    return Factors(
        carbon_intensity=_factor("grid_carbon_intensity", intensity),
        pue=_factor("pue", pue),
        electricity_price=_factor("electricity_price", price),
        currency="EUR" if price is not None else "",
    )


def _factor(name: str, value: float | None) -> Factor | None:
    return None if value is None else Factor(name, value, "", "test")


known = st.builds(factors, st.floats(0, 2000), st.floats(1, 3), st.floats(-1, 10))


def figures(result: Footprint) -> list[Range]:
    """Overhead, carbon and cost of a footprint in which all are known."""
    assert result.overhead_j is not None
    assert result.carbon is not None
    assert result.cost is not None
    return [result.overhead_j, result.carbon, result.cost]


def width(figure: Range) -> float:
    """How far the ends are apart."""
    return figure.high - figure.low


def test_one_kwh_in_a_known_place() -> None:
    """1 kWh at 100 g/kWh, PUE 1.2 and 0.30 EUR/kWh: 120 g, 0.36 EUR, 0.2 kWh overhead."""
    result = footprint(Range.exactly(JOULES_PER_KWH), factors(100.0, 1.2, 0.30))
    overhead, carbon, cost = figures(result)
    assert float(overhead) == pytest.approx(0.2 * JOULES_PER_KWH)
    assert float(carbon) == pytest.approx(120.0)
    assert float(cost) == pytest.approx(0.36)
    assert result.flags == frozenset()


def test_the_published_training_run_of_bloom() -> None:
    """433,196 kWh at 57 g/kWh are 24.69 t (Luccioni et al., 2022, arXiv 2211.02001)."""
    result = footprint(Range.exactly(433_196 * JOULES_PER_KWH), factors(57.0))
    assert float(result.carbon or 0) / 1e6 == pytest.approx(24.69, abs=0.005)


def test_all_carbon_is_operational() -> None:
    """What is known is the carbon of use; the making of the hardware stays unknown, not 0."""
    carbon = footprint(Range(1e6, 2e6, 4e6), factors(100.0)).carbon
    assert carbon is not None
    assert carbon.operational_g == Range(carbon.low, carbon.mid, carbon.high)
    assert carbon.embodied_g is None


def test_cost_is_of_electricity_in_its_currency() -> None:
    """Cost names its currency and its one known part."""
    cost = footprint(Range(1e6, 2e6, 4e6), factors(price=0.3)).cost
    assert cost is not None
    assert (cost.currency, cost.hardware) == ("EUR", None)
    assert cost.electricity == Range(cost.low, cost.mid, cost.high)


def test_without_factors_nothing_is_known() -> None:
    """No intensity, no carbon; no price, no cost; no PUE, no overhead: None, never 0."""
    assert footprint(Range.exactly(1e6), Factors()) == Footprint()


def test_of_unknown_energy_nothing_follows() -> None:
    """Where the energy is not known, neither is anything that it means."""
    assert footprint(None, factors(100.0, 1.2, 0.3)) == Footprint()


@pytest.mark.parametrize("given_factors", [factors(intensity=100.0), factors(price=0.3)])
def test_an_unknown_pue_is_flagged(given_factors: Factors) -> None:
    """Carbon and cost without the site's overhead say so, and overhead stays unknown."""
    result = footprint(Range.exactly(1e6), given_factors)
    assert result.flags == {PUE_UNKNOWN}
    assert result.overhead_j is None


def test_a_negative_price_gives_an_ordered_cost() -> None:
    """When the grid pays for use, the most energy brings the lowest cost."""
    result = footprint(
        Range(1 * JOULES_PER_KWH, 2 * JOULES_PER_KWH, 4 * JOULES_PER_KWH), factors(price=-0.1)
    )
    assert result.cost is not None
    assert (result.cost.low, result.cost.mid, result.cost.high) == pytest.approx((-0.4, -0.2, -0.1))


@given(ranges, known)
def test_ranges_stay_ordered(energy: Range, given_factors: Factors) -> None:
    """Low <= mid <= high in, low <= mid <= high out."""
    for figure in figures(footprint(energy, given_factors)):
        assert figure.low <= figure.mid <= figure.high


@given(ranges, known, st.floats(0, 1000))
def test_twice_the_energy_is_twice_the_footprint(
    energy: Range, given_factors: Factors, times: float
) -> None:
    """Every figure is proportional to the energy."""
    once = figures(footprint(energy, given_factors))
    often = figures(footprint(energy * times, given_factors))
    for one, many in zip(once, often, strict=True):
        assert (many.low, many.mid, many.high) == pytest.approx(
            (one.low * times, one.mid * times, one.high * times), rel=1e-9, abs=1e-9
        )


@given(ranges, ranges, known)
def test_a_workflow_is_the_sum_of_its_steps(
    one: Range, other: Range, given_factors: Factors
) -> None:
    """The footprint of energies together is the sum of their footprints."""
    together = figures(footprint(one + other, given_factors))
    apart = zip(
        figures(footprint(one, given_factors)),
        figures(footprint(other, given_factors)),
        strict=True,
    )
    for whole, (first, second) in zip(together, apart, strict=True):
        assert whole.mid == pytest.approx(first.mid + second.mid, rel=1e-9, abs=1e-9)


@given(st.lists(joules, min_size=5, max_size=5).map(sorted), known)
def test_a_narrower_reading_never_widens_the_result(
    ends: list[float], given_factors: Factors
) -> None:
    """Knowing the energy better cannot make the footprint less certain."""
    wide = figures(footprint(Range(ends[0], ends[2], ends[4]), given_factors))
    narrow = figures(footprint(Range(ends[1], ends[2], ends[3]), given_factors))
    for inner, outer in zip(narrow, wide, strict=True):
        assert width(inner) <= width(outer)
        assert outer.low <= inner.low
        assert inner.high <= outer.high
