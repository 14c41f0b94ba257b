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

if TYPE_CHECKING:
    from inferprint.factors import Factors
    from inferprint.hardware import Hardware

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
    energy_total: Range | None,
    factors: Factors,
    reserved_s: float | None = None,
    intensity: Factor | None = None,
) -> Footprint:
    """The footprint of energy used and time reserved, with the ranges carried through.

    Args:
        energy_total: joules that IT devices used. None: not known, nor is what follows.
        factors: what is known of grid, site, hardware and prices.
        reserved_s: seconds of the machine, shared alike among the requests in flight. None:
            not known.
        intensity: carbon intensity of the hours in which it was used; None: the factors'.
    """
    if energy_total is None:
        return Footprint(training=factors.training)
    rates, hardware = factors.rates, factors.hardware
    grid = intensity or factors.carbon_intensity
    site_kwh = energy_total * rates.site_kwh
    made = Footprint(
        _times(rates.overhead_j, energy_total),
        _carbon(None if grid is None else site_kwh * grid.range, reserved_s, hardware, grid),
        _water(_times(rates.water_site_l, energy_total), _times(rates.water_grid_l, energy_total)),
        _materials(_times(rates.adpe_g, energy_total), reserved_s, hardware),
        _primary_energy(_times(rates.primary_energy_megajoule, energy_total), reserved_s, hardware),
        _cost(_times(rates.price, energy_total), reserved_s, factors),
        factors.training,
    )
    said = _said(made, factors)
    return replace(made, flags=said) if said else made


def _times(rate: Range | None, times: float | Range | None) -> Range | None:
    return None if rate is None or times is None else rate * times


def _carbon(
    use: Range | None, reserved_s: float | None, hardware: Hardware, grid: Factor | None
) -> Carbon | None:
    making = _times(hardware.carbon_g_per_s, reserved_s)
    total = _sum(use, making)
    basis = "" if grid is None else grid.basis
    return Carbon(*total, use, making, basis) if total is not None else None


def _water(site: Range | None, grid: Range | None) -> Water | None:
    total = _sum(site, grid)
    return Water(*total, site, grid) if total is not None else None


def _materials(
    grid: Range | None, reserved_s: float | None, hardware: Hardware
) -> Materials | None:
    making = _times(hardware.adpe_g_per_s, reserved_s)
    total = _sum(grid, making)
    return Materials(*total, grid, making) if total is not None else None


def _primary_energy(
    grid: Range | None, reserved_s: float | None, hardware: Hardware
) -> PrimaryEnergy | None:
    making = _times(hardware.primary_energy_megajoule_per_s, reserved_s)
    total = _sum(grid, making)
    return PrimaryEnergy(*total, grid, making) if total is not None else None


def _cost(electricity: Range | None, reserved_s: float | None, factors: Factors) -> Cost | None:
    machine = _times(factors.hardware.price_per_s, reserved_s)
    total = _sum(electricity, machine)
    return Cost(*total, factors.currency, electricity, machine) if total is not None else None


def _sum(one: Range | None, other: Range | None) -> tuple[float, float, float] | None:
    """Low, middle and high of the sum of what is known; None: nothing is."""
    if one is None or other is None:
        known = other if one is None else one
        return None if known is None else (known.low, known.mid, known.high)
    return one.low + other.low, one.mid + other.mid, one.high + other.high


def _said(made: Footprint, factors: Factors) -> frozenset[str]:
    """What a careful reader should know of these figures."""
    carbon, materials, primary = made.carbon, made.materials, made.primary_energy
    said = factors.said
    known = carbon or made.water or materials or primary or made.cost
    if factors.pue is None and known is not None:
        said |= {PUE_UNKNOWN}
    if (
        (carbon is not None and carbon.operational_g is None)
        or (materials is not None and materials.grid_g is None)
        or (primary is not None and primary.grid_megajoule is None)
    ):
        said |= {GRID_UNKNOWN}
    return said
