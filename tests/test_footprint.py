"""Carbon, cost and overhead follow from energy by arithmetic, ranges and all."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import Config
from inferprint.factors import Factors, resolve
from inferprint.flags import GRID_UNKNOWN, PUE_UNKNOWN, PUE_UPPER
from inferprint.footprint import Footprint, footprint
from inferprint.hardware import Hardware
from inferprint.impacts import Carbon, Cost, Factor, sum_impacts
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


def full(spread: float = 0.2) -> Factors:
    """Every factor known, each with an interval of this relative half-width."""

    def factor(name: str, value: float) -> Factor:
        return Factor(name, value, "", "test", low=value * (1 - spread), high=value * (1 + spread))

    second = Range.within(1e-3, spread)
    return Factors(
        carbon_intensity=factor("grid_carbon_intensity", 100.0),
        # PUE is over 1 by its overhead.
        pue=Factor("pue", 1.2, "", "test", low=1.2 - 0.2 * spread, high=1.2 + 0.2 * spread),
        electricity_price=factor("electricity_price", 0.3),
        currency="EUR",
        wue_site=factor("wue_site", 0.5),
        water_grid=factor("water_grid", 3.0),
        adpe_grid=factor("adpe_grid", 5e-8),
        primary_energy_grid=factor("primary_energy_grid", 9.0),
        hardware=Hardware(second, second, second, second),
    )


def everything(result: Footprint) -> list[Range]:
    """Every figure of a footprint, parts included; all are known."""
    found: list[Range] = []
    for impact in (result.carbon, result.water, result.materials, result.primary_energy):
        assert impact is not None
        found += [impact, *(v for v in map_fields(impact) if isinstance(v, Range))]
    return [*found, *figures(result)]


def map_fields(impact: object) -> list[object]:
    return [getattr(impact, field.name) for field in dataclasses.fields(impact)]  # type: ignore[arg-type]


def test_one_kwh_with_everything_known() -> None:
    """1 kWh and 1,000 s of the machine, worked out by hand; PUE counts once for water."""
    result = footprint(Range.exactly(JOULES_PER_KWH), full(0.0), 1000.0)
    carbon, water, materials = result.carbon, result.water, result.materials
    primary, cost = result.primary_energy, result.cost
    assert carbon is not None
    assert water is not None
    assert materials is not None
    assert primary is not None
    assert cost is not None
    assert float(carbon.operational_g or 0) == pytest.approx(120.0)
    assert (carbon.mid, float(carbon.embodied_g or 0)) == pytest.approx((121.0, 1.0))
    assert (float(water.site_l or 0), float(water.grid_l or 0)) == pytest.approx((0.5, 3.6))
    assert water.mid == pytest.approx(0.5 + 1.2 * 3.0)
    assert (float(materials.grid_g or 0), materials.mid) == pytest.approx((6e-5, 1 + 6e-5))
    assert (float(primary.grid_megajoule or 0), primary.mid) == pytest.approx((10.8, 11.8))
    assert (float(cost.electricity or 0), float(cost.hardware or 0)) == pytest.approx((0.36, 1.0))


@pytest.mark.parametrize(
    ("site", "pue", "grid", "millilitres"),
    [(0.55, 1.17, 3.142, 16.90), (0.95, 1.15, 9.501, 47.5), (0.25, 1.28, 1.287, 7.59)],
)
def test_the_published_water_of_a_request(
    site: float, pue: float, grid: float, millilitres: float
) -> None:
    """4 Wh at three places (Li et al., Making AI Less Thirsty, arXiv:2304.03271, table 1)."""
    known = Factors(
        wue_site=_factor("wue_site", site),
        pue=_factor("pue", pue),
        water_grid=_factor("water_grid", grid),
    )
    water = footprint(Range.exactly(4 * 3600.0), known).water
    assert float(water or 0) * 1000 == pytest.approx(millilitres, rel=0.01)


@given(ranges, st.floats(0, 0.9), st.floats(0, 1e6))
def test_every_figure_stays_ordered(energy: Range, spread: float, reserved_s: float) -> None:
    """Also with intervals in all factors: low <= mid <= high, of sums and parts."""
    for figure in everything(footprint(energy, full(spread), reserved_s)):
        assert figure.low <= figure.mid <= figure.high


@given(ranges, st.floats(0, 0.9), st.floats(0, 1), st.floats(0, 1e6))
def test_a_narrower_factor_never_widens_the_result(
    energy: Range, spread: float, narrower: float, reserved_s: float
) -> None:
    """Knowing the factors better cannot make a figure less certain."""
    wide = everything(footprint(energy, full(spread), reserved_s))
    narrow = everything(footprint(energy, full(spread * narrower), reserved_s))
    for inner, outer in zip(narrow, wide, strict=True):
        slack = 1e-9 * abs(outer.high) + 1e-300
        assert outer.low <= inner.low + slack
        assert inner.high <= outer.high + slack


@pytest.mark.parametrize(
    "missing",
    ["carbon_intensity", "wue_site", "water_grid", "adpe_grid", "primary_energy_grid",
     "electricity_price"],
)  # fmt: skip
def test_a_part_that_is_not_known_is_none(missing: str) -> None:
    """The other part remains; of the part itself nothing is made up."""
    result = footprint(Range.exactly(1e6), replace(full(), **{missing: None}), 10.0)
    parts = {
        "carbon_intensity": result.carbon and result.carbon.operational_g,
        "wue_site": result.water and result.water.site_l,
        "water_grid": result.water and result.water.grid_l,
        "adpe_grid": result.materials and result.materials.grid_g,
        "primary_energy_grid": result.primary_energy and result.primary_energy.grid_megajoule,
        "electricity_price": result.cost and result.cost.electricity,
    }
    assert parts.pop(missing) is None
    assert None not in parts.values()
    of_the_grid = {"carbon_intensity", "adpe_grid", "primary_energy_grid"}
    assert (GRID_UNKNOWN in result.flags) == (missing in of_the_grid)


def test_an_upper_bound_of_the_pue_says_so() -> None:
    """`pue="upper"` takes the area's bound, with its source, and flags every receipt."""
    config = Config(location="FRA", pue="upper")
    factors = resolve(config)
    assert factors.pue is not None
    assert factors.pue.value > 1.5
    assert factors.pue.source != "config"
    assert PUE_UPPER in footprint(Range.exactly(1.0), factors).flags
    assert resolve(Config(location="FRA")).pue is None


def test_a_cloud_region_has_its_providers_pue_and_water() -> None:
    """What the provider publishes for all its sites, with its source and range."""
    google = resolve(Config(location="gcp:europe-west9"))
    assert google.pue is not None
    assert google.wue_site is not None
    assert (google.pue.region, google.wue_site.region) == ("google", "google")
    assert google.carbon_intensity is not None
    assert google.carbon_intensity.basis == "average, location-based, operational"
    france = resolve(Config(location="FRA"))
    assert (france.pue, france.wue_site) == (None, None)
    assert france.carbon_intensity is not None
    assert france.carbon_intensity.basis == "average, location-based, life-cycle"
    assert france.water_grid is not None


def test_training_is_on_a_line_of_its_own() -> None:
    """BLOOM's 433,196 kWh and 24.69 t over a million requests, in no other figure."""
    config = Config(
        training_energy_kwh=433_196, training_carbon_kg=24_690, training_requests=1e6,
        carbon_intensity_g_per_kwh=57.0,
    )  # fmt: skip
    result = footprint(Range.exactly(1.0), resolve(config))
    assert result.training is not None
    assert float(result.training.energy_j or 0) == pytest.approx(433_196 * 3.6)
    assert float(result.training.carbon_g or 0) == pytest.approx(24.69)
    assert float(result.carbon or 0) < 1e-3


def test_sums_keep_what_can_be_added() -> None:
    """Parts are summed; carbon of two bases and costs in two currencies have no sum."""
    one = Carbon(1.0, 2.0, 3.0, Range(1.0, 2.0, 3.0), None, "average")
    both = sum_impacts([one, one])
    assert both == Carbon(2.0, 4.0, 6.0, Range(2.0, 4.0, 6.0), None, "average")
    assert sum_impacts([one, replace(one, basis="marginal")]) is None
    assert sum_impacts([one, None]) is None
    euro = Cost(1.0, 1.0, 1.0, "EUR", Range.exactly(1.0))
    assert sum_impacts([euro, replace(euro, currency="USD")]) is None
