"""The numbers that turn joules into grams and money, looked up once, each with its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferprint.records import Factor

if TYPE_CHECKING:
    from inferprint._config import Config

__all__ = ["Factors", "resolve"]


@dataclass(frozen=True, slots=True)
class Factors:
    """The factors in force for a tracker; what is not known is None.

    Args:
        carbon_intensity: gCO2e per kWh of the grid, location-based average.
        pue: power usage effectiveness of the site.
        electricity_price: money per kWh, in ``currency``.
        currency: ISO 4217 code of the price; empty where there is none.
    """

    carbon_intensity: Factor | None = None
    pue: Factor | None = None
    electricity_price: Factor | None = None
    currency: str = ""

    def as_tuple(self) -> tuple[Factor, ...]:
        """The factors that are known, for a receipt."""
        factors = (self.carbon_intensity, self.pue, self.electricity_price)
        return tuple(factor for factor in factors if factor is not None)


def resolve(config: Config) -> Factors:
    """The factors that the settings name; reads tables where they name a location.

    Args:
        config: its carbon intensity wins over its location; PUE and price are as given.

    Returns:
        The factors. No table states an uncertainty, so each value is taken as exact.

    Raises:
        ConfigError: no table has the location.
    """
    price_unit = f"{config.currency}/kWh"
    price = _given("electricity_price", config.electricity_price, price_unit)
    return Factors(
        carbon_intensity=_carbon_intensity(config),
        pue=_given("pue", config.pue, "ratio"),
        electricity_price=price,
        currency=(config.currency or "") if price else "",
    )


def _carbon_intensity(config: Config) -> Factor | None:
    # Imported here: without a location no table is read and csv stays unloaded.
    from inferprint import grid

    if config.carbon_intensity_g_per_kwh is not None:
        region = config.location or ""
        return _given(grid.NAME, config.carbon_intensity_g_per_kwh, grid.UNIT, region)
    if config.location is not None:
        return grid.carbon_intensity(config.location)
    return None


def _given(name: str, value: float | None, unit: str, region: str = "") -> Factor | None:
    return None if value is None else Factor(name, value, unit, source="config", region=region)
