"""The factors that ship: each has a source, a licence and a plausible value, and is documented."""

from __future__ import annotations

import csv
import math
import re
import tomllib
from collections import Counter
from typing import Any, NamedTuple

import pytest

from support import REPO

DATA = REPO / "tracker" / "inferprint" / "data"
FILES = {path.name: tomllib.loads(path.read_text()) for path in DATA.glob("factors/*.toml")}
FACTORS = [
    pytest.param(factor, content["source"], id=f"{file}-{factor['name']}-{factor['region']}")
    for file, content in sorted(FILES.items())
    for factor in content["factor"]
]
PAGE = (REPO / "docs" / "factors.md").read_text()

Row = dict[str, Any]


class Limits(NamedTuple):
    """What a factor of a name must look like: its unit, and the values that are believable."""

    unit: str
    least: float
    most: float


LIMITS = {
    # All of a site's power is at least that of its IT equipment; above 3 nobody reports.
    "pue": Limits("ratio", 1.0, 3.0),
    # The wettest site reported (Jakarta, evaporative cooling) has 2.85.
    "wue_site": Limits("L/kWh", 0.0, 3.0),
    # From a little for gas and wind to 18.6 where reservoirs evaporate (Brazil).
    "water_grid": Limits("L/kWh", 0.5, 25.0),
    # Base IMPACTS' countries lie between 1.3e-8 and 2.4e-7.
    "adpe_grid": Limits("kgSbeq/kWh", 1e-8, 3e-7),
    # A kWh holds 3.6 MJ; four times as much is a grid of stations at 25 %.
    "primary_energy_grid": Limits("MJ/kWh", 3.6, 14.4),
    # From a gigabyte of memory to a server at the top of its interval.
    "embodied_carbon": Limits("kgCO2eq", 1.0, 13_000.0),
    "embodied_adpe": Limits("kgSbeq", 5e-5, 0.6),
    "embodied_primary_energy": Limits("MJ", 10.0, 160_000.0),
    # Nobody plans for less than a year, and ten years ago today's accelerators had no use.
    "lifetime": Limits("year", 1.0, 10.0),
    "utilisation": Limits("ratio", 0.01, 1.0),
    # Between the cheapest industry and three times the dearest average of the EU.
    "electricity_price": Limits("/kWh", 0.02, 0.75),
    # Between a small old GPU and four times today's dearest.
    "hardware_price": Limits("/h", 0.1, 25.0),
}
OF_COUNTRIES = {"water_grid", "adpe_grid", "primary_energy_grid", "electricity_price"}
OF_HARDWARE = re.compile(r"gpu(:[A-Z0-9]+)?|server|dram_gb")


def unit_fits(factor: Row) -> bool:
    """Whether it is the unit of the name; a price has a currency before it."""
    unit = LIMITS[factor["name"]].unit
    if unit.startswith("/"):
        return re.fullmatch(f"[A-Z]{{3}}{unit}", factor["unit"]) is not None
    return bool(factor["unit"] == unit)


def interval(factor: Row) -> tuple[float, float, float]:
    value = factor["value"]
    return factor.get("low", value), value, factor.get("high", value)


def by_region(name: str) -> dict[str, Row]:
    return {row["region"]: row for row, _ in (f.values for f in FACTORS) if row["name"] == name}


@pytest.mark.parametrize(("factor", "sources"), FACTORS)
def test_factor_has_a_source_with_title_licence_and_address(factor: Row, sources: Row) -> None:
    """No figure ships without saying who says so, and on what terms it may be passed on."""
    source = sources[factor["source"]]
    assert set(source) == {"title", "url", "licence"}
    assert all(text.strip() for text in source.values())
    assert source["url"].startswith("https://")


@pytest.mark.parametrize(("factor", "sources"), FACTORS)
def test_factor_has_the_fields_of_its_kind(factor: Row, sources: Row) -> None:
    """The fields are those that are read, an interval has two ends, the unit is the name's."""
    required = {"name", "region", "value", "unit", "year", "source"}
    assert required <= set(factor) <= required | {"low", "high", "note", "basis"}
    assert ("low" in factor) == ("high" in factor)
    assert unit_fits(factor)
    assert isinstance(factor["year"], int)


@pytest.mark.parametrize(("factor", "sources"), FACTORS)
def test_factor_is_plausible(factor: Row, sources: Row) -> None:
    """Its interval is finite, positive, around its value, and of a size that can be true."""
    low, value, high = interval(factor)
    limits = LIMITS[factor["name"]]
    assert all(math.isfinite(number) and number > 0 for number in (low, value, high))
    assert limits.least <= low <= value <= high <= limits.most
    assert 2005 <= factor["year"] <= 2026


def test_no_factor_ships_twice() -> None:
    """A name has one value for a region, and a source's key means one source."""
    rows = Counter((row["name"], row["region"]) for row, _ in (f.values for f in FACTORS))
    keys = Counter(key for content in FILES.values() for key in content["source"])
    assert [key for key, count in (rows + keys).items() if count > 1] == []


def test_every_source_is_used() -> None:
    """No source is named that nothing comes from."""
    for content in FILES.values():
        assert {row["source"] for row in content["factor"]} == set(content["source"])


def test_regions_are_those_of_the_name() -> None:
    """What belongs to a country names one, what belongs to hardware a piece of it.

    An average of the world stands for no country: where a country's figure is not known, there
    is none.
    """
    with (DATA / "countries.csv").open() as table:
        countries = {row["alpha_3"] for row in csv.DictReader(table)}
    for name in OF_COUNTRIES:
        assert set(by_region(name)) <= countries
    for name in set(LIMITS) - OF_COUNTRIES - {"pue", "wue_site"}:
        assert [region for region in by_region(name) if not OF_HARDWARE.fullmatch(region)] == []


def test_upper_bound_of_the_pue_is_above_every_known_site() -> None:
    """The bound for sites that tell nothing is no lower than the worst of those that do."""
    pue = by_region("pue")
    bounds = {region for region in pue if region.startswith("upper:")}
    assert "upper:world" in bounds
    worst = max(interval(row)[2] for region, row in pue.items() if region not in bounds)
    assert min(pue[region]["value"] for region in bounds) >= worst


def test_primary_energy_behind_hardware_fits_its_carbon() -> None:
    """Fossil fuels alone give 10.6 MJ (coal) to 17.8 MJ (gas) per kgCO2, by IPCC 2006's defaults.

    Electronics come from mixed grids and emit other gases too: outside of 8 to 25 MJ per kg one
    of the two figures would be in a wrong unit.
    """
    carbon, energy = by_region("embodied_carbon"), by_region("embodied_primary_energy")
    for region in set(carbon) & set(energy) - {"gpu:H100"}:
        assert 8.0 <= energy[region]["value"] / carbon[region]["value"] <= 25.0
    assert 8.0 <= energy["gpu:H100"]["value"] / carbon["gpu:H100"]["high"] <= 25.0


def test_memory_does_not_outweigh_the_server_that_has_it() -> None:
    """A server's 2 TB of memory are part of its figure, so they are less than all of it."""
    for name in ("embodied_carbon", "embodied_adpe", "embodied_primary_energy"):
        rows = by_region(name)
        assert 2048 * rows["dram_gb"]["value"] < rows["server"]["value"]


def test_every_file_and_name_is_documented() -> None:
    """The page lists each file that ships, each name, and nothing that is gone."""
    cells = set(re.findall(r"^\| `([^`]+)`", PAGE, flags=re.M))
    assert {cell for cell in cells if cell.endswith(".toml")} == set(FILES)
    names = {row["name"] for row, _ in (f.values for f in FACTORS)}
    assert names == set(LIMITS)
    assert names <= set(re.findall(r"`(\w+)`", PAGE))
