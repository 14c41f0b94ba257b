"""The carbon intensity of a location's grid, from the tables of the codecarbon package.

codecarbon's modules are never imported (they bring pandas): its files are found and read,
once, and dropped again. Its country table is Our World in Data's yearly average, its cloud
table is what Google publishes for each of its regions. Azure and AWS publish none, so
their regions get the average of the country that they stand in, and the source says so.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import metadata, util
from pathlib import Path
from typing import NamedTuple, TypeVar

from inferprint.errors import ConfigError
from inferprint.impacts import Factor

__all__ = ["LIFE_CYCLE", "NAME", "OPERATIONAL", "UNIT", "Located", "locate"]

NAME = "grid_carbon_intensity"
UNIT = "gCO2e/kWh"
# What the tables count. Our World in Data's chart is "Lifecycle carbon intensity of electricity
# generation", with the building of plants and the making of fuels (Ember, methodology, 2024);
# Google's are "average operational gross emissions per unit of energy from the grid"
# (GoogleCloudPlatform/region-carbon-info, README).
LIFE_CYCLE = "average, location-based, life-cycle"
OPERATIONAL = "average, location-based, operational"
_OWN_TABLES = Path(__file__).parent / "data"
# Whose regions they are, by the names that factors of providers go by.
_COMPANIES = {"gcp": "google", "azure": "microsoft"}

Found = TypeVar("Found")


class Located(NamedTuple):
    """What the tables have of a location.

    Args:
        intensity: carbon intensity of its grid.
        country: ISO 3166-1 alpha-3 code of the country that it lies in.
        provider: whose region it is, such as ``google``; empty for a country.
    """

    intensity: Factor
    country: str
    provider: str = ""


def locate(location: str) -> Located:
    """The average carbon intensity of a location's grid, in gCO2e per kWh, and where it lies.

    Args:
        location: an ISO 3166-1 country code of two or three letters, or a cloud region
            such as ``aws:eu-west-3``; a region's name alone where only one cloud has it.

    Returns:
        The intensity has its source, its year where the table says, and the region it holds for.

    Raises:
        ConfigError: no table has the location, or several clouds have the region.
    """
    tables = _codecarbon_tables(location)
    version = metadata.version("codecarbon")
    countries = read_countries(tables, version)
    located = {code: Located(found, found.region) for code, found in countries.items()}
    return find(location, located, _regions(tables, version, countries))


def find(location: str, countries: Mapping[str, Found], regions: Mapping[str, Found]) -> Found:
    """Looks a location up in tables that have been read.

    Args:
        location: as for ``locate``.
        countries: what is known by upper-case country code, of both lengths.
        regions: what is known by lower-case ``provider:region``.
    """
    name = str(location).strip()
    if country := countries.get(name.upper()):
        return country
    if region := regions.get(name.lower()):
        return region
    matches = [key for key in regions if key.partition(":")[2] == name.lower()]
    if len(matches) == 1:
        return regions[matches[0]]
    raise _unknown(location, matches or _near(name, [*countries, *regions]))


def _near(name: str, known: list[str]) -> list[str]:
    by_lower_case = {key.lower(): key for key in known}
    by_lower_case |= {key.lower().partition(":")[2]: key for key in known if ":" in key}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=3)
    return list(dict.fromkeys(by_lower_case[key] for key in near))


def _unknown(location: str, candidates: list[str]) -> ConfigError:
    expected = (
        "a location that a table has a carbon intensity for: an ISO 3166-1 country code "
        "such as 'FRA' or a cloud region such as 'aws:eu-west-3'"
    )
    nearest = f"Did you mean {' or '.join(map(repr, candidates))}? " if candidates else ""
    mend = "Or give the figure itself: INFERPRINT_CARBON_INTENSITY_G_PER_KWH=<gCO2e per kWh>."
    return ConfigError("location", location, expected, nearest + mend)


def _codecarbon_tables(location: str) -> Path:
    spec = util.find_spec("codecarbon")
    if spec is None or not spec.submodule_search_locations:
        expected = "None while the package codecarbon, which has the tables, is not installed"
        mend = "Run: pip install 'codecarbon>=3.2,<4'"
        raise ConfigError("location", location, expected, mend)
    return Path(spec.submodule_search_locations[0]) / "data"


def read_countries(tables: Path, version: str) -> dict[str, Factor]:
    """Reads codecarbon's country table.

    Args:
        tables: codecarbon's ``data`` folder.
        version: codecarbon's version, for the source.

    Returns:
        Factors by country code, of two letters and of three.
    """
    source = f"codecarbon {version} (Our World in Data)"
    text = (tables / "private_infra" / "global_energy_mix.json").read_text("utf-8")
    # The table's one 0.0 is a gap: grids of hydropower alone have 20 to 24 in it.
    countries = {
        code: Factor(
            NAME, row["carbon_intensity"], UNIT, source, code, row["year"], basis=LIFE_CYCLE
        )
        for code, row in json.loads(text).items()
        if row["carbon_intensity"]
    }
    for row in _rows(_OWN_TABLES / "countries.csv"):
        if factor := countries.get(row["alpha_3"]):
            countries[row["alpha_2"]] = factor
    return countries


def _regions(tables: Path, version: str, countries: Mapping[str, Factor]) -> dict[str, Located]:
    regions: dict[str, Located] = {}
    for row in _rows(_OWN_TABLES / "cloud_regions.csv"):
        key = f"{row['provider']}:{row['region']}"
        if country := countries.get(row["country"]):
            stands_in = replace(country, source=f"{country.source}, country of {key}")
            regions[key] = _located(stands_in, row["country"], key)
    for row in _rows(tables / "cloud" / "impact.csv"):
        key = f"{row['provider']}:{row['region']}".lower()
        source = f"codecarbon {version} ({row['providerName']})"
        factor = Factor(NAME, float(row["impact"]), UNIT, source, key, basis=OPERATIONAL)
        regions[key] = _located(factor, row["countryIsoCode"], key)
    return regions


def _located(intensity: Factor, country: str, region: str) -> Located:
    cloud = region.partition(":")[0]
    return Located(intensity, country, _COMPANIES.get(cloud, cloud))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)
