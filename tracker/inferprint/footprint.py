"""What a request's energy means: site overhead, carbon and cost. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferprint.flags import PUE_UNKNOWN
from inferprint.records import Carbon, Cost, Range
from inferprint.units import JOULES_PER_KWH

if TYPE_CHECKING:
    from inferprint.factors import Factors

__all__ = ["Footprint", "footprint"]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What follows from energy and factors; what cannot be known is None.

    Args:
        overhead_j: (PUE - 1) x energy. None while the PUE is not known.
        carbon: of use (operational). None while the carbon intensity is not known.
        cost: of electricity. None while the price is not known.
        flags: ``pue_unknown`` where carbon or cost leave the site's overhead out for it.
    """

    overhead_j: Range | None = None
    carbon: Carbon | None = None
    cost: Cost | None = None
    flags: frozenset[str] = frozenset()


def footprint(energy_total: Range | None, factors: Factors) -> Footprint:
    """The footprint of energy used, with the ranges carried through.

    Carbon is energy x PUE x intensity, as operational emissions E x I in the Software
    Carbon Intensity specification (ISO/IEC 21031:2024); cost is energy x PUE x price.
    PUE is total over IT energy (ISO/IEC 30134-2:2016).

    Args:
        energy_total: joules that IT devices used. None: not known, nor is what follows.
        factors: what is known of grid, site and price; each taken as exact.
    """
    if energy_total is None:
        return Footprint()
    pue = factors.pue.value if factors.pue else None
    site_kwh = energy_total * ((1.0 if pue is None else pue) / JOULES_PER_KWH)
    carbon = _carbon(site_kwh, factors)
    cost = _cost(site_kwh, factors)
    leaves_overhead_out = pue is None and (carbon is not None or cost is not None)
    return Footprint(
        overhead_j=None if pue is None else energy_total * (pue - 1.0),
        carbon=carbon,
        cost=cost,
        flags=frozenset({PUE_UNKNOWN}) if leaves_overhead_out else frozenset(),
    )


def _carbon(site_kwh: Range, factors: Factors) -> Carbon | None:
    if factors.carbon_intensity is None:
        return None
    grams = site_kwh * factors.carbon_intensity.value
    return Carbon(grams.low, grams.mid, grams.high, operational_g=grams)


def _cost(site_kwh: Range, factors: Factors) -> Cost | None:
    if factors.electricity_price is None:
        return None
    money = site_kwh * factors.electricity_price.value
    return Cost(money.low, money.mid, money.high, currency=factors.currency, electricity=money)
