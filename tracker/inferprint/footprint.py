"""What a request's energy and its time on the hardware mean: the site's overhead, carbon,
water, materials, primary energy and cost. Pure arithmetic on intervals.

Energy e at the devices' meters, PUE p, time t reserved on the machine:

- overhead: e (p - 1); PUE is total over IT energy (ISO/IEC 30134-2:2016);
- carbon: e p I + M t / (L u), the operational and embodied parts of the Software Carbon
  Intensity specification (ISO/IEC 21031:2024), I the grid's intensity, M the hardware's
  embodied emissions, L its lifetime, u the part of it in which it is used;
- water: e (W_site + p W_grid): the site's (ISO/IEC 30134-9:2022, per IT energy) and the
  grid's, which the overhead draws on too (Li et al., arXiv:2304.03271);
- materials and primary energy: as carbon, with the grid's and the hardware's factors;
- cost: e p times the price of electricity + t times the price of the machine's time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inferprint.flags import GRID_UNKNOWN, PUE_UNKNOWN
from inferprint.impacts import Carbon, Cost, Factor, Materials, PrimaryEnergy, Training, Water
from inferprint.ranges import Range
from inferprint.units import GRAMS_PER_KG, JOULES_PER_KWH

if TYPE_CHECKING:
    from inferprint.factors import Factors

__all__ = ["Footprint", "footprint"]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What follows from energy, time and factors; what cannot be known is None.

    Args:
        overhead_j: (PUE - 1) x energy. None while the PUE is not known.
        carbon, water, materials, primary_energy, cost: of use and, where the hardware is
            known, of making it; each the sum of what is known.
        training: the request's part of the model's training, in none of the others.
        flags: ``pue_unknown`` where a figure leaves the site's overhead out for it,
            ``pue_upper`` where it is an upper bound.
    """

    overhead_j: Range | None = None
    carbon: Carbon | None = None
    water: Water | None = None
    materials: Materials | None = None
    primary_energy: PrimaryEnergy | None = None
    cost: Cost | None = None
    training: Training | None = None
    flags: frozenset[str] = frozenset()


def footprint(
    energy_total: Range | None, factors: Factors, reserved_s: float | None = None
) -> Footprint:
    """The footprint of energy used and time reserved, with the ranges carried through.

    Args:
        energy_total: joules that IT devices used. None: not known, nor is what follows.
        factors: what is known of grid, site, hardware and prices.
        reserved_s: seconds of the machine, shared alike among the requests in flight. None:
            not known.
    """
    if energy_total is None:
        return Footprint(training=factors.training)
    pue = factors.pue
    it_kwh = energy_total * (1.0 / JOULES_PER_KWH)
    site_kwh = it_kwh if pue is None else it_kwh * pue.range
    made = Footprint(
        _overhead(energy_total, pue),
        _carbon(site_kwh, factors, reserved_s),
        _water(it_kwh, site_kwh, factors),
        _materials(site_kwh, factors, reserved_s),
        _primary_energy(site_kwh, factors, reserved_s),
        _cost(site_kwh, factors, reserved_s),
        factors.training,
    )
    said = _said(made, factors)
    return replace(made, flags=frozenset(said)) if said else made


def _said(made: Footprint, factors: Factors) -> set[str]:
    """What a careful reader should know of these figures."""
    carbon, materials, primary = made.carbon, made.materials, made.primary_energy
    said = set(factors.said)
    if factors.pue is None and any(
        figure is not None for figure in (carbon, made.water, materials, primary, made.cost)
    ):
        said.add(PUE_UNKNOWN)
    if (
        (carbon is not None and carbon.operational_g is None)
        or (materials is not None and materials.grid_g is None)
        or (primary is not None and primary.grid_megajoule is None)
    ):
        said.add(GRID_UNKNOWN)
    return said


def _overhead(energy_total: Range, pue: Factor | None) -> Range | None:
    if pue is None:
        return None
    known = pue.range
    return energy_total * Range(known.low - 1.0, known.mid - 1.0, known.high - 1.0)


def _carbon(site_kwh: Range, factors: Factors, reserved_s: float | None) -> Carbon | None:
    grid = factors.carbon_intensity
    use = None if grid is None else site_kwh * grid.range
    making = _reserved(factors.hardware.carbon_g_per_s, reserved_s)
    total = _sum(use, making)
    if total is None:
        return None
    basis = grid.basis if grid is not None else ""
    return Carbon(total.low, total.mid, total.high, use, making, basis)


def _water(it_kwh: Range, site_kwh: Range, factors: Factors) -> Water | None:
    site = None if factors.wue_site is None else it_kwh * factors.wue_site.range
    grid = None if factors.water_grid is None else site_kwh * factors.water_grid.range
    total = _sum(site, grid)
    return None if total is None else Water(total.low, total.mid, total.high, site, grid)


def _materials(site_kwh: Range, factors: Factors, reserved_s: float | None) -> Materials | None:
    adpe = factors.adpe_grid
    grid = None if adpe is None else site_kwh * adpe.range * GRAMS_PER_KG
    making = _reserved(factors.hardware.adpe_g_per_s, reserved_s)
    total = _sum(grid, making)
    return None if total is None else Materials(total.low, total.mid, total.high, grid, making)


def _primary_energy(
    site_kwh: Range, factors: Factors, reserved_s: float | None
) -> PrimaryEnergy | None:
    factor = factors.primary_energy_grid
    grid = None if factor is None else site_kwh * factor.range
    making = _reserved(factors.hardware.primary_energy_megajoule_per_s, reserved_s)
    total = _sum(grid, making)
    return None if total is None else PrimaryEnergy(total.low, total.mid, total.high, grid, making)


def _cost(site_kwh: Range, factors: Factors, reserved_s: float | None) -> Cost | None:
    price = factors.electricity_price
    electricity = None if price is None else site_kwh * price.range
    hardware = _reserved(factors.hardware.price_per_s, reserved_s)
    total = _sum(electricity, hardware)
    if total is None:
        return None
    return Cost(total.low, total.mid, total.high, factors.currency, electricity, hardware)


def _reserved(per_s: Range | None, reserved_s: float | None) -> Range | None:
    return None if per_s is None or reserved_s is None else per_s * reserved_s


def _sum(one: Range | None, other: Range | None) -> Range | None:
    """The sum of what is known; None: nothing is."""
    if one is None or other is None:
        return other if one is None else one
    return one + other
