"""The quote: what a request is expected to use, before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inferprint.impacts import Carbon, Cost, Factor, Materials, PrimaryEnergy, Water
from inferprint.ranges import Range
from inferprint.receipt import as_dict, as_json
from inferprint.records import Energy, IdlePolicyName, Provenance


@dataclass(frozen=True, slots=True)
class Quote:
    """The footprint that a request is expected to have, at the load of now.

    Every figure is a range that holds 90 % of the requests like it; ``mid`` is the middle.

    Args:
        model: the model's name.
        input_tokens: prompt tokens, the cached ones included.
        cached_input_tokens: the part of them that comes from a cache.
        output_tokens: output tokens as told, or as many as are usual; None: not known.
        max_output_tokens: at most so many; None where ``output_tokens`` was told.
        in_flight: requests that were in flight when it was made.
        energy: itemised joules, as on the receipt.
        duration_s: from its start to its end; None: not known.
        carbon, water, materials, primary_energy, cost: what the energy, and the time reserved
            on the hardware, mean; None while the factors for it are not known.
        idle_policy: who pays for idle energy.
        provenance: ``modelled``; ``unknown`` where nothing was learned yet of a device that
            it will use.
        reason: why its energy is not known; empty where it is.
        flags: what a careful reader should know, as on the receipt.
        factors: every number that these were computed with, and its source.
    """

    model: str
    input_tokens: int
    cached_input_tokens: int
    output_tokens: float | None
    max_output_tokens: int | None
    in_flight: int
    energy: Energy
    duration_s: Range | None
    carbon: Carbon | None
    cost: Cost | None
    idle_policy: IdlePolicyName
    provenance: Provenance
    reason: str = ""
    flags: frozenset[str] = frozenset()
    factors: tuple[Factor, ...] = ()
    water: Water | None = None
    materials: Materials | None = None
    primary_energy: PrimaryEnergy | None = None

    def to_dict(self) -> dict[str, Any]:
        """The quote as plain dicts, lists, strings and numbers; unknown is None."""
        return as_dict(self)

    def to_json(self) -> str:
        """The quote as one JSON object; unknown is null."""
        return as_json(self.to_dict())

    def __str__(self) -> str:
        """One line for people."""
        # Imported here: figures for people are not made on a request's path.
        from inferprint.readable import CARBON, energy_line, figure

        model = " ".join(self.model.split())
        out = "?" if self.output_tokens is None else f"{self.output_tokens:.0f}"
        told = f"quote {model} in {self.input_tokens} out {out}"
        if self.max_output_tokens is not None:
            told += f" (usual, of {self.max_output_tokens} at most)"
        if self.reason:
            return f"{told} | energy unknown: {self.reason}"
        words = [told, energy_line(self.energy)]
        if self.duration_s is not None:
            words.append(figure(self.duration_s, "s"))
        if self.carbon is not None:
            words.append(figure(self.carbon, CARBON))
        if self.cost is not None:
            words.append(figure(self.cost, self.cost.currency))
        return " | ".join([*words, self.provenance, *sorted(self.flags)])

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        from inferprint.html import record_table

        return record_table(self)
