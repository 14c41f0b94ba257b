"""Where carbon intensity, PUE and price come from, and what a location can be."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from inferprint import Config, ConfigError
from inferprint.factors import Factors, resolve
from inferprint.grid import find, locate, read_countries
from inferprint.impacts import Factor
from support import run_python

WITHOUT_PANDAS = """
import sys
from inferprint._config import Config
from inferprint.factors import resolve
print(resolve(Config(location="aws:eu-west-3")).carbon_intensity.value)
heavy = {"codecarbon", "numpy", "pandas", "pydantic", "requests"} & set(sys.modules)
print(sorted(heavy))
"""

# As in a process that serves metrics, which has prometheus_client loaded.
MEMORY = """
import prometheus_client, psutil
from inferprint._config import Config
from inferprint import factors
process = psutil.Process()
before = process.memory_info().rss
factors.resolve(Config(location="FRA"))
print((process.memory_info().rss - before) / 2**20)
"""


FRANCE = {"carbon_intensity": 56.0, "year": 2023}


def intensity(name: str, value: float) -> Factor:
    """A factor of a table made up for the test."""
    return Factor("grid_carbon_intensity", value, "gCO2e/kWh", "test", name)


@pytest.mark.parametrize(
    ("location", "g_per_kwh"), [("FRA", 56.039), ("USA", 369.473), ("gcp:europe-west9", 34.0)]
)
def test_figures_of_the_tables_come_back_unchanged(location: str, g_per_kwh: float) -> None:
    """France, the USA and Google's region in Paris have what codecarbon 3.3 tables."""
    if not metadata.version("codecarbon").startswith("3.3."):
        pytest.skip("the figures are those of another release: pip install 'codecarbon==3.3.*'")
    assert locate(location).intensity.value == g_per_kwh


@pytest.mark.parametrize(
    ("location", "region"),
    [
        ("FRA", "FRA"),
        ("FR", "FRA"),
        (" fra ", "FRA"),
        ("gcp:europe-west9", "gcp:europe-west9"),
        ("europe-west9", "gcp:europe-west9"),
        ("GCP:Europe-West9", "gcp:europe-west9"),
        ("aws:eu-west-3", "FRA"),
        ("eu-west-3", "FRA"),
        ("azure:francecentral", "FRA"),
    ],
)
def test_a_location_can_be_spelled_in_many_ways(location: str, region: str) -> None:
    """Either country code, or a cloud region with or without its cloud; case is free."""
    factor = locate(location).intensity
    assert factor.region == region
    assert factor.value == locate(region).intensity.value
    assert factor.unit == "gCO2e/kWh"


def test_a_country_has_its_year() -> None:
    """A yearly average says of which year it is."""
    year = locate("FRA").intensity.year
    assert year is not None
    assert 2020 <= year <= 2030


def test_the_source_names_package_version_and_publisher() -> None:
    """A receipt can be traced to the table: who published it, and in which release it was read."""
    assert locate("FRA").intensity.source.startswith("codecarbon 3.")
    assert "Our World in Data" in locate("FRA").intensity.source
    assert "Google" in locate("gcp:europe-west9").intensity.source


def test_a_country_that_stands_in_for_a_region_says_so() -> None:
    """AWS and Azure publish no intensity by region: the source says that it is the country's."""
    assert "country of aws:eu-west-3" in locate("aws:eu-west-3").intensity.source


@pytest.mark.parametrize(
    ("location", "near"),
    [
        ("FRX", "FRA"),
        ("aws:eu-west-33", "aws:eu-west-3"),
        ("europe-west99", "gcp:europe-west9"),
        ("me-central-l", "aws:me-central-1"),
    ],
)
def test_a_location_that_no_table_has_is_an_error(location: str, near: str) -> None:
    """The error names the field, what was given, what is near, and another way."""
    with pytest.raises(ConfigError) as caught:
        locate(location)
    assert (caught.value.field, caught.value.given) == ("location", location)
    assert repr(near) in caught.value.mend
    assert "INFERPRINT_CARBON_INTENSITY_G_PER_KWH" in caught.value.mend


@pytest.mark.parametrize("location", ["", "Q", "nowhere at all", "aws:"])
def test_nonsense_is_an_error_too(location: str) -> None:
    """What is near nothing still gets an error that says what would be right."""
    with pytest.raises(ConfigError, match="ISO 3166-1"):
        locate(location)


def test_a_zero_of_the_table_is_not_believed(tmp_path: Path) -> None:
    """A 0.0 in the table is a gap, as no grid emits nothing: it is unknown, never 0 g."""
    table = tmp_path / "private_infra" / "global_energy_mix.json"
    table.parent.mkdir()
    rows = {"CAF": {"carbon_intensity": 0.0, "year": 2022}, "FRA": FRANCE}
    table.write_text(json.dumps(rows))
    assert set(read_countries(tmp_path, "test")) == {"FRA", "FR"}


def test_a_region_of_two_clouds_needs_the_cloud() -> None:
    """A bare name that two clouds have is an error that offers both."""
    regions = {"one:north": intensity("one:north", 1.0), "two:north": intensity("two:north", 2.0)}
    assert find("two:north", {}, regions).value == 2.0
    with pytest.raises(ConfigError, match="'one:north' or 'two:north'"):
        find("north", {}, regions)


def test_every_cloud_region_has_a_country_with_an_intensity() -> None:
    """No row of our own table leads nowhere."""
    table = Path(__file__).parent.parent / "tracker" / "inferprint" / "data" / "cloud_regions.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    assert {row[0] for row in rows} == {"aws", "azure"}
    # Reads the tables afresh each time, so a sample of each cloud's spellings is enough.
    for provider, region, country, _ in rows[::8]:
        assert locate(f"{provider}:{region}").country == country


def test_the_setting_wins_over_the_location() -> None:
    """An intensity given by hand is used as it is; the location is then only its name."""
    config = Config(carbon_intensity_g_per_kwh=12.5, location="our own wind park")
    factor = resolve(config).carbon_intensity
    assert factor is not None
    assert (factor.value, factor.source, factor.region) == (12.5, "config", "our own wind park")


def test_nothing_set_is_nothing_known() -> None:
    """Without settings there are no factors: nothing is guessed from the host's address."""
    factors = resolve(Config())
    assert factors == Factors()
    assert factors.as_tuple() == ()


def test_pue_and_price_are_factors_with_a_source() -> None:
    """What was set appears among the factors of a receipt, with its unit."""
    factors = resolve(Config(pue=1.2, electricity_price=0.25, currency="EUR", location="DEU"))
    assert factors.currency == "EUR"
    told = {factor.name: (factor.value, factor.unit) for factor in factors.as_tuple()}
    assert told["pue"] == (1.2, "ratio")
    assert told["electricity_price"] == (0.25, "EUR/kWh")
    of_the_grid = {"grid_carbon_intensity", "water_grid", "adpe_grid", "primary_energy_grid"}
    assert set(told) == {"pue", "electricity_price"} | of_the_grid


def test_a_zero_is_a_value() -> None:
    """An intensity or a price of 0 that was set is known; it is not the same as not set."""
    factors = resolve(Config(carbon_intensity_g_per_kwh=0.0, electricity_price=0.0, currency="EUR"))
    assert [factor.value for factor in factors.as_tuple()] == [0.0, 0.0]


def test_a_currency_without_a_price_is_none() -> None:
    """The currency belongs to the price."""
    assert resolve(Config(currency="EUR")).currency == ""


def test_tables_are_read_without_pandas() -> None:
    """Reading a location loads none of the packages that codecarbon's own modules load."""
    done = run_python("-c", WITHOUT_PANDAS)
    assert (done.stdout.split("\n")[:2], done.stderr) == (["56.039", "[]"], "")


def test_a_location_costs_few_megabytes() -> None:
    """The tables are dropped after reading: 5 MiB is above the 1.6 MiB measured."""
    done = run_python("-c", MEMORY)
    assert done.stderr == ""
    assert 0 <= float(done.stdout) < 5


def test_without_codecarbon_the_error_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An installation without the tables says which package brings them."""
    monkeypatch.setattr("inferprint.grid.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install 'codecarbon"):
        locate("FRA")
