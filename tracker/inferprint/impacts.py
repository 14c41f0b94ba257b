"""What energy and hardware mean: carbon, water, materials, primary energy, money, each with
its parts, and the factors that they are computed with.

As a Range, each is the sum of the parts that are known; a part that is not known is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, cast

from inferprint.ranges import Range, sum_known

__all__ = [
    "Carbon",
    "Cost",
    "Factor",
    "Materials",
    "PrimaryEnergy",
    "Training",
    "Water",
    "mean_factor",
    "sum_impacts",
]


@dataclass(frozen=True, slots=True)
class Carbon(Range):
    """Grams of CO2 equivalent.

    Args:
        operational_g: of the electricity that was used.
        embodied_g: of making the hardware, for the time that was reserved on it.
        basis: what the grid's intensity counts, such as ``average, location-based, life-cycle``.
    """

    operational_g: Range | None = None
    embodied_g: Range | None = None
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Water(Range):
    """Litres of water that were consumed.

    Args:
        site_l: evaporated at the site, to cool it.
        grid_l: consumed where the electricity was made.
    """

    site_l: Range | None = None
    grid_l: Range | None = None


@dataclass(frozen=True, slots=True)
class Materials(Range):
    """Grams of antimony equivalent: abiotic depletion of elements (ADPe, CML 2002).

    Args:
        grid_g: of making the electricity.
        embodied_g: of making the hardware, for the time that was reserved on it.
    """

    grid_g: Range | None = None
    embodied_g: Range | None = None


@dataclass(frozen=True, slots=True)
class PrimaryEnergy(Range):
    """Megajoules of primary energy.

    Args:
        grid_megajoule: of making the electricity.
        embodied_megajoule: of making the hardware, for the time that was reserved on it.
    """

    grid_megajoule: Range | None = None
    embodied_megajoule: Range | None = None


@dataclass(frozen=True, slots=True)
class Cost(Range):
    """Money, in ``currency``.

    Args:
        currency: ISO 4217 code.
        electricity: of what the site used for it.
        hardware: of the machine, for the time that was reserved on it.
    """

    currency: str = ""
    electricity: Range | None = None
    hardware: Range | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """A request's part of what training its model took. It is in no sum.

    Args:
        energy_j: joules; None: not given.
        carbon_g: grams of CO2 equivalent; None: not given.
    """

    energy_j: Range | None = None
    carbon_g: Range | None = None


@dataclass(frozen=True, slots=True)
class Factor:
    """A number that a figure was computed with, and where it comes from.

    Args:
        name: such as ``grid_carbon_intensity``.
        value: in ``unit``.
        unit: such as ``gCO2e/kWh``.
        source: who published it, or ``config``.
        region: what it holds for: a place such as ``FRA``, a provider, a product; empty where
            that does not apply.
        year: the year it holds for, where the source says.
        low, high: the interval that its source gives; None: it is taken as exact.
        licence: under which it is published, where that is known.
        basis: what a carbon intensity counts: average or marginal, location- or market-based,
            direct or life-cycle.
    """

    name: str
    value: float
    unit: str
    source: str
    region: str = ""
    year: int | None = None
    low: float | None = None
    high: float | None = None
    licence: str = ""
    basis: str = ""

    @property
    def range(self) -> Range:
        """The value with its interval."""
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        return Range(low, self.value, high)


def mean_factor(weighted: Iterable[tuple[Factor | None, float]]) -> Factor | None:
    """The mean of factors of one kind, such as of a grid's carbon intensity in several hours.

    Args:
        weighted: each with its weight, 0 or more; those of weight 0 do not count.

    Returns:
        It names every source, and the year that all are of. None where one of them is not
        known, where there are none, and where they count different things: their bases differ.
    """
    known = [(factor, weight) for factor, weight in weighted if weight > 0.0]
    if not known or any(factor is None for factor, _ in known):
        return None
    factors = [factor for factor, _ in known if factor is not None]
    first = factors[0]
    if all(factor == first for factor in factors):
        return first
    if any((factor.basis, factor.unit) != (first.basis, first.unit) for factor in factors):
        return None
    whole = math.fsum(weight for _, weight in known)
    low, mid, high = (
        math.fsum(weight * end / whole for (_, weight), end in zip(known, ends, strict=True))
        for ends in zip(*((f.range.low, f.value, f.range.high) for f in factors), strict=True)
    )
    exact = all(factor.low is None and factor.high is None for factor in factors)
    return replace(
        first,
        value=mid,
        low=None if exact else low,
        high=None if exact else high,
        source=_joined(factor.source for factor in factors),
        region=_joined(factor.region for factor in factors),
        year=first.year if all(factor.year == first.year for factor in factors) else None,
    )


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(one for text in texts for one in text.split("; ")))


Impact = TypeVar("Impact", Carbon, Water, Materials, PrimaryEnergy, Cost)

_OWN = {field.name for field in fields(Range)}


def sum_impacts(parts: Iterable[Impact | None]) -> Impact | None:
    """The sum of several of one kind, part by part.

    Returns:
        The sum. A part that is not known of one of them is None in it. None where one of them
        is not known, and where they can't be added: carbon of two bases, costs in two
        currencies.
    """
    known = list(parts)
    first = known[0] if known else None
    if first is None or any(part is None for part in known):
        return None
    total = cast("Range", sum_known(Range(p.low, p.mid, p.high) for p in known if p is not None))
    itemised: dict[str, Any] = {}
    for field in fields(first):
        if field.name in _OWN:
            continue
        found = [getattr(part, field.name) for part in known]
        if isinstance(found[0], str):
            if any(text != found[0] for text in found):
                return None
            itemised[field.name] = found[0]
        else:
            itemised[field.name] = sum_known(found)
    return type(first)(total.low, total.mid, total.high, **itemised)
