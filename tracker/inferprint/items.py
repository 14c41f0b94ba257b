"""A request's energy by its items: what devices charged it, summed by component, with ranges.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from inferprint import flags
from inferprint.ranges import Range
from inferprint.records import (
    ComponentEnergy,
    Device,
    Energy,
    Provenance,
    Tokens,
    WorkEnergy,
    weakest,
)
from inferprint.stakes import Earned
from inferprint.uncertainty import Doubt, ItemDoubts, WorkPart, half_width_j


class Part(NamedTuple):
    """What one device charged to a request."""

    device: Device
    earned: Earned
    provenance: Provenance
    said: frozenset[str]
    doubts: ItemDoubts
    work: WorkPart | None = None


def work_energy(parts: Iterable[Part], tokens: Tokens) -> WorkEnergy | None:
    """What active energy was for, and the own work of each token."""
    known = [part.work for part in parts if part.work is not None]
    if not known:
        return None
    shared_j = _range(sum(work.shared_j for work in known), [work.shared for work in known])
    prompt_j = _range(sum(work.prompt_j for work in known), [work.prompt for work in known])
    output_j = _range(sum(work.output_j for work in known), [work.output for work in known])
    computed = (tokens.input or 0) - (tokens.cached_input or 0)
    return WorkEnergy(
        shared_j,
        prompt_j,
        output_j,
        prompt_j * (1 / computed) if computed > 0 else None,
        output_j * (1 / tokens.output) if tokens.output else None,
    )


def itemised(parts: Iterable[Part]) -> tuple[Energy, Provenance]:
    """The energy of a request by its parts, without the site's overhead, and how it is known."""
    by_component = _by_component(parts)
    items = _Items()
    for component in by_component.values():
        items.add_items(component)
    energy = Energy(
        active_j=items.split(0),
        idle_j=items.split(1),
        standing_j=items.item(2),
        overhead_j=None,
        total_j=items.total(),
        by_component={name: found.energy() for name, found in by_component.items()},
    )
    return energy, weakest(items.provenances)


class _Items:
    """Active, idle and standing energy and their sum, in joules, each with its errors.

    Devices have sensors of their own, so their errors are independent.
    """

    __slots__ = ("doubts", "known", "mids_j", "provenances", "unsplit")

    def __init__(self) -> None:
        self.mids_j = [0.0, 0.0, 0.0]
        self.doubts: list[ItemDoubts] = []
        self.provenances: list[Provenance] = []
        self.known = self.unsplit = False

    def add(self, part: Part) -> None:
        """Adds what one device charged."""
        self.provenances.append(part.provenance)
        if part.provenance == "unknown":
            return
        self.known = True
        self.unsplit |= flags.IDLE_UNKNOWN in part.said
        self.doubts.append(part.doubts)
        for i, joules in enumerate(part.earned):
            self.mids_j[i] += joules

    def add_items(self, items: _Items) -> None:
        """Adds what one component charged."""
        self.provenances += items.provenances
        self.known |= items.known
        self.unsplit |= items.unsplit
        self.doubts += items.doubts
        for i in range(3):
            self.mids_j[i] += items.mids_j[i]

    def item(self, i: int) -> Range | None:
        """One of the three; None: not known."""
        return _range(self.mids_j[i], [doubts[i] for doubts in self.doubts]) if self.known else None

    def split(self, i: int) -> Range | None:
        """Active or idle energy; None where the two can't be told apart."""
        return None if self.unsplit else self.item(i)

    def total(self) -> Range | None:
        """The sum of all three."""
        if not self.known:
            return None
        return _range(sum(self.mids_j), [doubts.total for doubts in self.doubts])

    def energy(self) -> ComponentEnergy:
        """The same as a record."""
        provenance = weakest(self.provenances)
        return ComponentEnergy(self.split(0), self.split(1), self.item(2), self.total(), provenance)


def _by_component(parts: Iterable[Part]) -> dict[str, _Items]:
    by_component: dict[str, _Items] = {}
    for part in parts:
        component = part.device.component
        if component not in by_component:
            by_component[component] = _Items()
        by_component[component].add(part)
    return by_component


def _range(mid_j: float, doubts: Sequence[Doubt]) -> Range:
    half_j = half_width_j(doubts)
    # Nothing that was used is less than nothing.
    return Range(max(0.0, mid_j - half_j), mid_j, mid_j + half_j)
