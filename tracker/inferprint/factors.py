"""The numbers that turn joules and hours into grams, litres and money, each with its source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from inferprint.errors import ConfigError
from inferprint.flags import PUE_UPPER
from inferprint.hardware import NO_HARDWARE, Hardware, parse_hardware, pieces_of, rent, spread
from inferprint.impacts import Factor, Training
from inferprint.ranges import Range
from inferprint.units import GRAMS_PER_KG, JOULES_PER_KWH

if TYPE_CHECKING:
    from inferprint._config import Config
    from inferprint.factor_tables import Tables
    from inferprint.grid import Located
    from inferprint.records import Device

__all__ = ["Factors", "Rates", "equipped", "resolve"]


class Rates(NamedTuple):
    """What one joule that the devices' meters counted stands for; what is not known is None.

    Args:
        site_kwh: kWh that the site used for it; without its overhead where that is unknown.
        overhead_j: joules of the site's overhead.
        water_site_l: litres that the site evaporates.
        water_grid_l: litres for making the electricity.
        adpe_g: grams of antimony equivalent for making it.
        primary_energy_megajoule: primary energy for making it.
        price: money, in the factors' currency.
    """

    site_kwh: Range
    overhead_j: Range | None
    water_site_l: Range | None
    water_grid_l: Range | None
    adpe_g: Range | None
    primary_energy_megajoule: Range | None
    price: Range | None


@dataclass(frozen=True, slots=True)
class Factors:
    """The factors in force for a tracker; what is not known is None.

    Args:
        carbon_intensity: gCO2e per kWh of the grid.
        pue: power usage effectiveness of the site.
        wue_site: litres that the site evaporates per kWh of its IT devices.
        water_grid: litres consumed in making a kWh of electricity.
        adpe_grid: kg of antimony equivalent in making a kWh.
        primary_energy_grid: MJ of primary energy in making a kWh.
        electricity_price: money per kWh, in ``currency``.
        currency: ISO 4217 code of the prices; empty where there is none.
        hardware: what each second of the machine stands for.
        training: what each request bears of its model's training.
        said: flags of every figure that is computed with the PUE.

    Attributes:
        rates: what one joule of the devices stands for.
    """

    carbon_intensity: Factor | None = None
    pue: Factor | None = None
    electricity_price: Factor | None = None
    currency: str = ""
    wue_site: Factor | None = None
    water_grid: Factor | None = None
    adpe_grid: Factor | None = None
    primary_energy_grid: Factor | None = None
    hardware: Hardware = NO_HARDWARE
    training: Training | None = None
    said: frozenset[str] = frozenset()
    rates: Rates = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rates", _rates(self))

    def as_tuple(self, intensity: Factor | None = None) -> tuple[Factor, ...]:
        """The factors that are known, for a receipt.

        Args:
            intensity: the carbon intensity of its hours, where that changes.
        """
        factors = (
            intensity or self.carbon_intensity,
            self.pue,
            self.wue_site,
            self.water_grid,
            self.adpe_grid,
            self.primary_energy_grid,
            self.electricity_price,
            *self.hardware.factors,
        )
        return tuple(factor for factor in factors if factor is not None)


def _rates(factors: Factors) -> Rates:
    one_kwh = 1.0 / JOULES_PER_KWH
    pue = Range.exactly(1.0) if factors.pue is None else factors.pue.range
    site_kwh = pue * one_kwh

    def per_j(factor: Factor | None, kwh: Range, scale: float = 1.0) -> Range | None:
        return None if factor is None else factor.range * kwh * scale

    return Rates(
        site_kwh,
        None if factors.pue is None else Range(pue.low - 1.0, pue.mid - 1.0, pue.high - 1.0),
        per_j(factors.wue_site, Range.exactly(one_kwh)),
        per_j(factors.water_grid, site_kwh),
        per_j(factors.adpe_grid, site_kwh, GRAMS_PER_KG),
        per_j(factors.primary_energy_grid, site_kwh),
        per_j(factors.electricity_price, site_kwh),
    )


def resolve(config: Config) -> Factors:
    """The factors that the settings name; reads tables only where they name a location, a file
    of factors or something that is to be looked up.

    Args:
        config: what it gives itself wins over its own file, and that over the tables.

    Returns:
        The factors, with the hardware that the settings name.

    Raises:
        ConfigError: no table has the location; a file of factors can't be used.
    """
    located = _located(config)
    country, provider = (located.country, located.provider) if located else ("", "")
    tables = _tables(config) if located or config.factors_path or config.pue == "upper" else None
    pue = _pue(config, tables, country, provider)
    price = _electricity_price(config, tables, country)
    wue = _given("wue_site", config.wue_l_per_kwh, "L/kWh")
    factors = Factors(
        carbon_intensity=_carbon_intensity(config, tables, located),
        pue=pue,
        electricity_price=price,
        currency=_currency(config, price),
        wue_site=wue or _find(tables, "wue_site", provider),
        water_grid=_find(tables, "water_grid", country),
        adpe_grid=_find(tables, "adpe_grid", country),
        primary_energy_grid=_find(tables, "primary_energy_grid", country),
        training=_training(config),
        said=frozenset({PUE_UPPER}) if config.pue == "upper" else frozenset(),
    )
    return equipped(factors, (), config)


def equipped(factors: Factors, devices: Iterable[Device], config: Config) -> Factors:
    """The same factors with the hardware of a machine.

    Args:
        factors: as ``resolve`` gives them.
        devices: what has been found; looked up where the settings name no hardware.
        config: names the hardware, its lifetime, use and price.
    """
    gpus = [device for device in devices if device.component == "gpu"]
    named = parse_hardware(config.hardware or ())
    price = config.hardware_price_per_hour
    # Found hardware alone would make a carbon figure that leaves the electricity out.
    grid = config.location or config.carbon_intensity_source or factors.carbon_intensity
    found = gpus and grid is not None
    if not (found or named) and price is None:
        return factors
    tables = _tables(config)
    pieces = named or (pieces_of(gpus, tables) if found or price == "rent" else {})
    paid = _given("hardware_price", price, f"{config.currency}/h")
    if price == "rent":
        paid = rent(pieces, tables)
        # The rent has the electricity in it already.
        factors = replace(factors, electricity_price=None, currency=_money_of(paid))
    years = _given("lifetime", config.hardware_lifetime_years, "year")
    used = _given("utilisation", config.hardware_utilisation, "ratio")
    made_of = pieces if found or named else {}
    return replace(factors, hardware=spread(made_of, tables, years, used, paid))


def _money_of(price: Factor | None) -> str:
    return price.unit.partition("/")[0] if price is not None else ""


def _tables(config: Config) -> Tables:
    # Imported here: most users name no file, and tomllib stays unloaded without a location.
    from inferprint.factor_tables import shipped

    return shipped(config.factors_path)


def _located(config: Config) -> Located | None:
    if config.location is None:
        return None
    # Imported here: without a location no table is read and csv stays unloaded.
    from inferprint.grid import locate

    try:
        return locate(config.location)
    except ConfigError:
        # A place of the user's own, such as a site's name: its intensity is given beside it.
        if config.carbon_intensity_g_per_kwh is None:
            raise
        return None


def _carbon_intensity(
    config: Config, tables: Tables | None, located: Located | None
) -> Factor | None:
    given, place = config.carbon_intensity_g_per_kwh, config.location or ""
    if given is not None:
        return _given("grid_carbon_intensity", given, "gCO2e/kWh", place)
    own = _find(tables, "grid_carbon_intensity", place, located.country if located else "")
    return own or (located.intensity if located else None)


def _pue(config: Config, tables: Tables | None, country: str, provider: str) -> Factor | None:
    if config.pue == "upper":
        return _find(tables, "pue", f"upper:{country}", "upper:world")
    return _given("pue", config.pue, "ratio") or _find(tables, "pue", provider)


def _electricity_price(config: Config, tables: Tables | None, country: str) -> Factor | None:
    price = config.electricity_price
    if price is not None:
        return _given("electricity_price", price, f"{config.currency}/kWh")
    found = _find(tables, "electricity_price", country)
    # Money of two currencies is not added up: there is no rate of exchange here.
    if found is None or config.currency not in (None, found.unit.partition("/")[0]):
        return None
    return found


def _currency(config: Config, price: Factor | None) -> str:
    if price is not None:
        return _money_of(price)
    return config.currency or "" if config.hardware_price_per_hour is not None else ""


def _training(config: Config) -> Training | None:
    if config.training_requests is None:
        return None
    each = 1.0 / config.training_requests
    kwh, kg = config.training_energy_kwh, config.training_carbon_kg
    return Training(
        None if kwh is None else Range.exactly(kwh * JOULES_PER_KWH * each),
        None if kg is None else Range.exactly(kg * GRAMS_PER_KG * each),
    )


def _find(tables: Tables | None, name: str, *regions: str) -> Factor | None:
    return None if tables is None else tables.find(name, *filter(None, regions))


def _given(name: str, value: float | str | None, unit: str, region: str = "") -> Factor | None:
    if not isinstance(value, int | float):
        return None
    return Factor(name, value, unit, source="config", region=region)
