"""The receipt: what one request used, itemised, with ranges and sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from inferprint.impacts import (
    Carbon,
    Cost,
    Factor,
    Materials,
    PrimaryEnergy,
    Training,
    Water,
    sum_impacts,
)
from inferprint.ranges import sum_known
from inferprint.records import (
    ComponentEnergy,
    Energy,
    IdlePolicyName,
    Outcome,
    Provenance,
    Tokens,
    WorkEnergy,
    weakest,
)

if TYPE_CHECKING:
    from inferprint.boundaries import BoundaryName, Bounded, FourParts
    from inferprint.quote import Quote


@dataclass(frozen=True, slots=True)
class Receipt:
    """The footprint of one request, settled or, from ``estimate()``, provisional.

    Args:
        request_id: unique, also in the reply's header and in exemplars.
        model: the model's name as given.
        labels: the labels as given.
        outcome: ``ok``, ``error`` or ``cancelled``; None while it runs.
        started_at: wall time of the start, for people; durations never use it. None: not told,
            as in a reply of another's server.
        duration_s: seconds on the monotonic clock; None: not told, likewise.
        time_to_first_token_s: seconds to the first output token; None where none was told.
        tokens: as told.
        energy: itemised joules.
        carbon, water, materials, primary_energy, cost: what the energy, and the time reserved
            on the hardware, mean; None while the factors for it are not known.
        idle_policy: who pays for idle energy.
        attribution_method: how the active energy of a window was shared.
        provenance: the weakest provenance among the components.
        flags: what a careful reader should know, such as ``idle_unknown``, ``short``.
        factors: every number that it was computed with, and its source.
        children: the receipts of the requests that ran inside this one. Their energy is
            not in this one's: ``with_children()`` adds it.
        work: what its active energy was for, where the cost of work was learned; None: there
            it was shared by time.
        quote: what it was expected to use, if it was quoted before it ran.
        quote_error_ratio: its total energy over the middle of what was quoted; None while it
            is provisional, and where either is not known.
        reserved_s: seconds of the machine, shared alike among the requests in flight; None:
            not known.
        training: its part of what training the model took, where the settings give that; it
            is in no other figure.
        reason: why its figures are not known, of a call to a hosted model or of a request that the
            agent told nothing of; else empty.
    """

    request_id: str
    model: str
    labels: Mapping[str, str]
    outcome: Outcome | None
    started_at: datetime | None
    duration_s: float | None
    time_to_first_token_s: float | None
    tokens: Tokens
    energy: Energy
    idle_policy: IdlePolicyName
    attribution_method: str
    provenance: Provenance
    carbon: Carbon | None = None
    water: Water | None = None
    materials: Materials | None = None
    primary_energy: PrimaryEnergy | None = None
    cost: Cost | None = None
    flags: frozenset[str] = frozenset()
    factors: tuple[Factor, ...] = ()
    children: tuple[Receipt, ...] = ()
    work: WorkEnergy | None = None
    quote: Quote | None = None
    quote_error_ratio: float | None = None
    reserved_s: float | None = None
    training: Training | None = None
    reason: str = ""

    def with_children(self) -> Receipt:
        """The receipt of the whole workflow: this request and all that ran inside it.

        Energy and what it means are summed; a part that is not known of one of them is not
        known of the sum. Tokens, times and outcome stay those of this request; what active
        energy was for is left out.
        """
        if not self.children:
            return self
        family = [self, *(child.with_children() for child in self.children)]
        return replace(
            self,
            energy=_sum_energy([member.energy for member in family]),
            carbon=sum_impacts(member.carbon for member in family),
            water=sum_impacts(member.water for member in family),
            materials=sum_impacts(member.materials for member in family),
            primary_energy=sum_impacts(member.primary_energy for member in family),
            cost=sum_impacts(member.cost for member in family),
            reserved_s=_sum_seconds([member.reserved_s for member in family]),
            provenance=weakest(member.provenance for member in family),
            flags=frozenset().union(*(member.flags for member in family)),
            children=(),
            work=None,
        )

    def within(self, boundary: BoundaryName) -> Bounded:
        """Its energy and carbon within a boundary, to compare with figures of others.

        Args:
            boundary: ``narrow`` (active accelerators), ``comprehensive`` (also host, idle and
                overhead) or ``life_cycle`` (also making the hardware).

        Raises:
            ConfigError: there is no boundary of this name.
        """
        from inferprint.boundaries import bounded  # as for figures for people, below

        return bounded(self, boundary)

    def four_parts(self) -> FourParts:
        """Its energy in the four parts that Google publishes: accelerators, host, idle and
        overhead.
        """
        from inferprint.boundaries import four_parts

        return four_parts(self.energy)

    def to_dict(self) -> dict[str, Any]:
        """The receipt as plain dicts, lists, strings and numbers; unknown is None."""
        return as_dict(self)

    def to_json(self) -> str:
        """The receipt as one JSON object; unknown is null."""
        return as_json(self.to_dict())

    def __str__(self) -> str:
        """One line for people."""
        # Imported here: figures for people are not made on a request's path.
        from inferprint.readable import CARBON, energy_line, figure

        model = " ".join(self.model.split())  # a name with line breaks could forge lines of a log
        words = [self.request_id, model, self.outcome or "running", figure(self.duration_s, "s")]
        told = self.tokens
        if told.input is not None or told.output is not None:
            words.append(f"in {_count(told.input)} out {_count(told.output)}")
        line = " ".join(words) + " | " + energy_line(self.energy)
        if self.reason:
            line += f": {self.reason}"
        if self.carbon is not None:
            line += f" | {figure(self.carbon, CARBON)}"
        if self.cost is not None:
            line += f" | {figure(self.cost, self.cost.currency)}"
        return " | ".join([line, self.provenance, *sorted(self.flags)])

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        from inferprint.html import record_table

        return record_table(self)


def _sum_energy(parts: Sequence[Energy]) -> Energy:
    names = dict.fromkeys(name for part in parts for name in part.by_component)
    return Energy(
        active_j=sum_known(part.active_j for part in parts),
        idle_j=sum_known(part.idle_j for part in parts),
        standing_j=sum_known(part.standing_j for part in parts),
        overhead_j=sum_known(part.overhead_j for part in parts),
        total_j=sum_known(part.total_j for part in parts),
        by_component={
            name: _sum_component([p.by_component[name] for p in parts if name in p.by_component])
            for name in names
        },
    )


def _sum_component(parts: Sequence[ComponentEnergy]) -> ComponentEnergy:
    return ComponentEnergy(
        active_j=sum_known(part.active_j for part in parts),
        idle_j=sum_known(part.idle_j for part in parts),
        standing_j=sum_known(part.standing_j for part in parts),
        total_j=sum_known(part.total_j for part in parts),
        provenance=weakest(part.provenance for part in parts),
    )


def _sum_seconds(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def as_dict(record: object) -> dict[str, Any]:
    """A record as a plain dict."""
    found = plain(record)
    assert isinstance(found, dict)
    return found


def as_json(plain_dict: Mapping[str, Any]) -> str:
    """One JSON object."""
    import json  # 5 ms, and not of all users

    return json.dumps(plain_dict, ensure_ascii=False, allow_nan=False)


def plain(value: object) -> object:
    """Records as plain dicts, lists, strings and numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(str(item) for item in value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else str(tokens)
