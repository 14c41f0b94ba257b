"""What a figure takes in: the boundaries that others draw, so that figures can be compared.

- ``narrow``: what the accelerators used above idle, and no more.
- ``comprehensive``: also the host, idle and standing energy, and the site's overhead; the
  boundary of Elsworth et al., "Measuring the environmental impact of delivering AI at Google
  Scale" (arXiv:2508.15734, section 3), whose four parts ``four_parts`` gives.
- ``life_cycle``: also making the hardware; its stages are those of Recommendation ITU-T L.1410.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from inferprint.errors import ConfigError
from inferprint.ranges import Range, sum_known
from inferprint.units import JOULES_PER_KWH

if TYPE_CHECKING:
    from inferprint.receipt import Receipt
    from inferprint.records import Energy

__all__ = ["BoundaryName", "Bounded", "FourParts", "Stage", "bounded", "four_parts", "stages"]

BoundaryName: TypeAlias = Literal["narrow", "comprehensive", "life_cycle"]

_ACCELERATOR, _HOST = "gpu", ("cpu", "dram")


@dataclass(frozen=True, slots=True)
class FourParts:
    """The energy of a request in the four parts that Google publishes; None: not known.

    Args:
        accelerator_j: what accelerators used above idle.
        host_j: what CPUs and DRAM used above idle.
        idle_j: idle energy of all of them, while it ran and while it waited for requests.
        overhead_j: the site's, (PUE - 1) x the sum of the other three.
    """

    accelerator_j: Range | None
    host_j: Range | None
    idle_j: Range | None
    overhead_j: Range | None

    @property
    def total_j(self) -> Range | None:
        """The sum; None where a part is not known."""
        return sum_known((self.accelerator_j, self.host_j, self.idle_j, self.overhead_j))


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a life cycle, and what of it is in a figure.

    Args:
        code: A to D, as in ITU-T L.1410.
        name: of the stage.
        included: whether it is in the figure.
        what: what of it is; empty where nothing is.
        why_not: why it, or the rest of it, is not.
    """

    code: str
    name: str
    included: bool
    what: str
    why_not: str


@dataclass(frozen=True, slots=True)
class Bounded:
    """Energy and carbon within a boundary; None: a part of them is not known.

    Args:
        boundary: which.
        energy_j: joules.
        carbon_g: grams of CO2 equivalent.
        stages: of the life cycle, what is in them and what is not.
    """

    boundary: BoundaryName
    energy_j: Range | None
    carbon_g: Range | None
    stages: tuple[Stage, ...]


def four_parts(energy: Energy) -> FourParts:
    """The energy of a request in Google's four parts."""
    components = energy.by_component
    accelerator = components.get(_ACCELERATOR)
    host = [components[name] for name in _HOST if name in components]
    return FourParts(
        accelerator.active_j if accelerator is not None else None,
        sum_known(part.active_j for part in host),
        sum_known((energy.idle_j, energy.standing_j)),
        energy.overhead_j,
    )


def bounded(receipt: Receipt, boundary: BoundaryName) -> Bounded:
    """Energy and carbon of a receipt within a boundary.

    Raises:
        ConfigError: there is no boundary of this name.
    """
    if boundary not in get_args(BoundaryName):
        raise ConfigError("boundary", boundary, " or ".join(map(repr, get_args(BoundaryName))))
    energy, carbon = receipt.energy, receipt.carbon
    if boundary == "narrow":
        active_j = four_parts(energy).accelerator_j
        return Bounded(boundary, active_j, _carbon_of(active_j, receipt), stages(receipt, boundary))
    used = sum_known((energy.total_j, energy.overhead_j))
    grams = carbon.operational_g if carbon is not None and used is not None else None
    if boundary == "life_cycle":
        grams = sum_known((grams, carbon.embodied_g if carbon is not None else None))
    return Bounded(boundary, used, grams, stages(receipt, boundary))


def _carbon_of(joules: Range | None, receipt: Receipt) -> Range | None:
    grid = next((f for f in receipt.factors if f.name == "grid_carbon_intensity"), None)
    if joules is None or grid is None:
        return None
    return joules * grid.range * (1.0 / JOULES_PER_KWH)


def stages(receipt: Receipt, boundary: BoundaryName = "life_cycle") -> tuple[Stage, ...]:
    """The stages of the life cycle of the equipment, and what of them is in the carbon figure
    of a receipt.
    """
    outside = f"not in the boundary {boundary!r}"
    known = receipt.carbon is not None and receipt.carbon.embodied_g is not None
    made = known and boundary == "life_cycle"
    why = "" if made else outside if boundary != "life_cycle" else _NO_HARDWARE
    use = "what accelerators used above idle" if boundary == "narrow" else _USE
    return (
        Stage("A", "raw material acquisition", made, _MAKING if made else "", why),
        Stage("B", "production", made, _MAKING if made else "", why or _NO_BUILDING),
        Stage("C", "use", True, use, _NO_NETWORK),
        Stage("D", "end-of-life treatment", False, "", _NO_END),
    )


_MAKING = "making the hardware, for the time reserved on it: one factor for stages A and B"
_USE = "electricity of accelerators, CPUs and DRAM, idle times too, and the site's overhead"
_NO_HARDWARE = "the hardware, or a factor for it, is not known: set `hardware`"
_NO_BUILDING = "the building, its cooling and its power supply have no factor here"
_NO_NETWORK = "networks, storage and the user's device have no meter here; nor has maintenance"
_NO_END = "no factor with a source covers the treatment of servers and accelerators"
